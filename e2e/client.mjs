// One real client in a process of its own, driven by JSON lines.
//
//   node client.mjs '{"url": "http://127.0.0.1:5133", "file": "/tmp/a.db", "tables": {"items": {"id": "UUID"}}}'
//
// The local database is SQLite, or PGlite in the folder `file` with "dialect": "postgres". "tables" may also be the file of a
// generated client, compiled. "skew" sets the clock wrong, by milliseconds.
//
// A line in:  {"id": 1, "do": "connect" | "disconnect" | "sync" | "unsync" | "subscriptions" | "db" | "sql" | "transact" | "wait" | "state" | "close", …}
// A line out: {"id": 1, "ok": …} or {"id": 1, "error": "…"}, and at any time {"event": "connectivity" | "stranded" | "reset" | "uncaught", …}.
//
// The client throws uncaught errors by design when the server misbehaves: that is reported, and ends the process with 70.

import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { describe } from './schema.mjs'

const say = (line) => process.stdout.write(JSON.stringify(line, (_, v) => (typeof v === 'bigint' ? v.toString() : v)) + '\n')
const text = (error) => String(error?.stack ?? error?.message ?? JSON.stringify(error))

const fatal = (error) => {
  process.stdout.write(JSON.stringify({ event: 'uncaught', error: text(error) }) + '\n', () => process.exit(70))
}
process.on('uncaughtException', fatal)
process.on('unhandledRejection', fatal)
// The client logs through the console; the lines on standard output are ours.
const now = Date.now
console.log = console.info = console.warn = console.debug = (...words) => console.error(new Date(now()).toISOString(), ...words)

const { url, file, tables, dialect, skew } = JSON.parse(process.argv[2])
if (skew) {
  globalThis.Date = class extends Date {
    constructor(...args) {
      super(...(args.length > 0 ? args : [now() + skew]))
    }
    static now() {
      return now() + skew
    }
  }
}
const schema = typeof tables === 'string' ? (await import(pathToFileURL(tables))).schema : describe(tables)
const config = { url, timeout: 3000, debug: process.env.DEBUG === '1' }

async function sqlite() {
  const { default: Database } = await import('better-sqlite3')
  const { electrify } = await import('electric-sql/node')
  const database = new Database(file)
  database.pragma('journal_mode = WAL')
  // What is written survives the process; it does not have to survive the machine.
  database.pragma('synchronous = OFF')
  const reads = (sql) => database.prepare(sql).reader
  return { electric: await electrify(database, schema, config), reads, close: () => database.close() }
}

async function pglite() {
  const { PGlite } = await import('@electric-sql/pglite')
  const { electrify } = await import('electric-sql/pglite')
  // Its default is the browser's WebSocket, which Node.js 20 does not have.
  const { WebSocketNode } = await import('electric-sql/sockets/node')
  const database = new PGlite(file)
  const electric = await electrify(database, schema, config, { socketFactory: WebSocketNode })
  return { electric, reads: () => true, close: () => database.close() }
}

const { electric, reads, close } = await (dialect === 'postgres' ? pglite() : sqlite())
let token
let status
const isStranded = () => status === 'connected' && !electric.satellite.client.isConnected()
electric.notifier.subscribeToConnectivityStateChanges(({ connectivityState }) => {
  status = connectivityState.status
  say({ event: 'connectivity', status, reason: connectivityState.reason?.message })
  // A connection that ends between the client's authentication and the answer to its request for the stream leaves it without one, and
  // believing that it has one. It connects again when its app asks for that, as an app does now and then.
  if (isStranded()) {
    say({ event: 'stranded' })
    setTimeout(() => electric.connect(token).catch(() => {}))
  }
})

// A reset empties the synced tables and starts anew: rarely right, and to be noticed.
const reset = electric.satellite._resetClientState
electric.satellite._resetClientState = function (...args) {
  say({ event: 'reset', reason: text(new Error()) })
  return reset.apply(this, args)
}

// A message that comes while a request is to be answered is handled after that: perhaps when its connection has long ended, and what
// it refers to is forgotten.
const { client } = electric.satellite
const { disconnect, handleIncoming } = client
let ended = 0
client.disconnect = function (...args) {
  ended++
  return disconnect.apply(this, args)
}
client.handleIncoming = async function (...args) {
  const before = ended
  try {
    return await handleIncoming.apply(this, args)
  } catch (error) {
    throw ended === before ? error : new Error(`a message of a connection that has ended: ${text(error)}`)
  }
}

// Runs statements in one local transaction; the answer is the rows that each of them returns.
const transact = (statements) =>
  electric.adapter.transaction((transaction, finish) => {
    const results = []
    const next = () => {
      const sql = statements[results.length]
      const done = (rows) => (results.push(rows), next())
      if (sql === undefined) finish(results)
      else if (reads(sql)) transaction.query({ sql }, (_, rows) => done(rows))
      else transaction.run({ sql }, () => done([]))
    }
    next()
  })

// Waits until a query returns a row whose first column is true; polls, since changes may come from anywhere.
async function wait(sql, args, limit) {
  const until = performance.now() + limit
  for (;;) {
    let row
    const asked = performance.now()
    try {
      ;[row] = await electric.db.rawQuery({ sql, args })
    } catch (error) {
      if (!/no such (table|column)|does not exist/.test(text(error))) throw error
    }
    if (row && Object.values(row)[0]) return row
    if (performance.now() > until) throw new Error(`still not so after ${limit} ms: ${sql}`)
    // The client has to get on with its work between the questions.
    const pause = Math.max(2, 4 * (performance.now() - asked))
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
}

// What JSON has no form for: {"$date": "…"}, {"$bigint": "…"}.
const revive = (_, value) => (value?.$date ? new Date(value.$date) : value?.$bigint ? BigInt(value.$bigint) : value)

const commands = {
  connect: async (how) => {
    token = how.token
    do await electric.connect(token)
    while (isStranded())
  },
  disconnect: () => electric.disconnect(),
  // Either shapes as they are on the wire, or what an app gives to a table's own `sync`.
  sync: async ({ shapes, table, options, key }) => {
    const subscription = await (table ? electric.db[table].sync(options) : electric.satellite.subscribe(shapes, key))
    await subscription.synced
    return subscription.key
  },
  // A method of the generated client: the arguments are what an app gives to it.
  db: ({ table, method, args }) => electric.db[table][method](JSON.parse(JSON.stringify(args), revive)),
  subscriptions: () => electric.satellite.subscriptionManager.listAllSubscriptions().map(({ status }) => status?.status ?? 'none'),
  unsync: ({ keys }) => electric.satellite.unsubscribe(keys),
  sql: async ({ sql, args }) => {
    const result = await (reads(sql) ? electric.adapter.query({ sql, args }) : electric.adapter.run({ sql, args }))
    electric.potentiallyChanged()
    return result
  },
  transact: async ({ statements }) => {
    const results = await transact(statements)
    electric.potentiallyChanged()
    return results
  },
  wait: ({ sql, args, limit }) => wait(sql, args, limit ?? 60000),
  state: () => ({ connected: electric.isConnected, client: electric.satellite._authState?.clientId }),
  close: async () => {
    await electric.close()
    await close()
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
