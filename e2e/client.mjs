// One real client in a process of its own, driven by JSON lines.
//
//   node client.mjs '{"url": "http://127.0.0.1:5133", "file": "/tmp/a.db", "tables": {"items": {"id": "UUID"}}}'
//
// A line in:  {"id": 1, "do": "connect" | "disconnect" | "sync" | "unsync" | "sql" | "wait" | "state" | "close", …}
// A line out: {"id": 1, "ok": …} or {"id": 1, "error": "…"}, and at any time {"event": "connectivity" | "uncaught", …}.
//
// The client throws uncaught errors by design when the server misbehaves: that is reported, and ends the process with 70.

import { createInterface } from 'node:readline'
import Database from 'better-sqlite3'
import { electrify } from 'electric-sql/node'
import { describe } from './schema.mjs'

const say = (line) => process.stdout.write(JSON.stringify(line, (_, v) => (typeof v === 'bigint' ? v.toString() : v)) + '\n')
const text = (error) => String(error?.stack ?? error?.message ?? JSON.stringify(error))

const fatal = (error) => {
  process.stdout.write(JSON.stringify({ event: 'uncaught', error: text(error) }) + '\n', () => process.exit(70))
}
process.on('uncaughtException', fatal)
process.on('unhandledRejection', fatal)
// The client logs through the console; the lines on standard output are ours.
console.log = console.info = console.warn = console.debug = (...words) => console.error(...words)

const { url, file, tables, timeout } = JSON.parse(process.argv[2])
const database = new Database(file)
database.pragma('journal_mode = WAL')
const electric = await electrify(database, describe(tables), { url, timeout: timeout ?? 3000, debug: process.env.DEBUG === '1' })
electric.notifier.subscribeToConnectivityStateChanges(({ connectivityState }) => {
  say({ event: 'connectivity', status: connectivityState.status, reason: connectivityState.reason?.message })
})

// Waits until a query returns a row whose first column is true; polls, since changes may come from anywhere.
async function wait(sql, args, limit) {
  const until = performance.now() + limit
  for (;;) {
    let row
    try {
      ;[row] = await electric.db.rawQuery({ sql, args })
    } catch (error) {
      if (!/no such table/.test(text(error))) throw error
    }
    if (row && Object.values(row)[0]) return row
    if (performance.now() > until) throw new Error(`still not so after ${limit} ms: ${sql}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

const commands = {
  connect: ({ token }) => electric.connect(token),
  disconnect: () => electric.disconnect(),
  sync: async ({ shapes, key }) => {
    const subscription = await electric.satellite.subscribe(shapes, key)
    await subscription.synced
    return subscription.key
  },
  unsync: ({ keys }) => electric.satellite.unsubscribe(keys),
  sql: async ({ sql, args }) => {
    const reads = database.prepare(sql).reader
    const result = await (reads ? electric.adapter.query({ sql, args }) : electric.adapter.run({ sql, args }))
    electric.potentiallyChanged()
    return result
  },
  wait: ({ sql, args, limit }) => wait(sql, args, limit ?? 10000),
  state: () => ({ connected: electric.isConnected, client: electric.satellite._authState?.clientId }),
  close: async () => {
    await electric.close()
    database.close()
  },
}

say({ event: 'ready' })
for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: name, ...rest } = JSON.parse(line)
  // Commands run at once: a test may wait for something while it does something else.
  Promise.resolve()
    .then(() => commands[name](rest))
    .then((ok) => say({ id, ok: ok ?? null }), (error) => say({ id, error: text(error) }))
    .then(() => name === 'close' && process.exit(0))
}
process.exit(0)
