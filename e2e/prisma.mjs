// Prisma's schema engine, a real one, as WebAssembly: the part of Prisma that asks Postgres and makes something of the answers. What
// is written here is only the connection that it wants to be given.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import pg from 'pg'

const require = createRequire(import.meta.url)
const PACKAGE = '@prisma/schema-engine-wasm/schema_engine_bg'

// What the engine says when it breaks.
globalThis.PRISMA_WASM_PANIC_REGISTRY = { set_message: (message) => console.error(message) }

const ok = (value) => ({ ok: true, value })

// The engine's numbers for types of columns, by Postgres' own.
const TYPES = { 16: 5, 18: 6, 19: 7, 20: 1, 21: 0, 23: 0, 25: 7, 26: 1, 1009: 72, 1043: 7, 1184: 10 }

function value(text, type) {
  if (text === null) return null
  if (type === 16) return text === 't'
  if (type === 21 || type === 23) return Number(text)
  if (type === 1184) return new Date(text).toISOString()
  return type === 1009 ? pg.types.getTypeParser(1009)(text) : text
}

// A datasource for the engine; where the database is, it is not told.
export const DATASOURCE = 'datasource db {\n  provider = "postgresql"\n}\n'

const glue = await import(PACKAGE)
const module = new WebAssembly.Module(readFileSync(join(dirname(require.resolve(PACKAGE)), 'schema_engine_bg.wasm')))
const { exports } = new WebAssembly.Instance(module, { './schema_engine_bg.js': glue })
glue.__wbg_set_wasm(exports)
exports.__wbindgen_start()

// Opens an engine for the database of a connection string and has it do something.
export async function withEngine(url, action) {
  const main = await connect(url, () => {})
  const factory = {
    provider: 'postgres',
    adapterName: main.adapterName,
    errorRegistry: main.errorRegistry,
    connect: async () => ok({ ...main, dispose: async () => ok() }),
    connectToShadowDb: () => attempt(shadow(url)),
  }
  try {
    return await action(await glue.SchemaEngine.new({ datamodels: [['schema.prisma', DATASOURCE]] }, () => {}, factory))
  } finally {
    await main.dispose()
  }
}

// A database for once, as Prisma makes it.
async function shadow(url) {
  const name = `prisma_migrate_shadow_db_${crypto.randomUUID()}`
  const admin = new pg.Client({ connectionString: url })
  await admin.connect()
  await admin.query(`CREATE DATABASE "${name}"`)
  const there = new URL(url)
  there.pathname = name
  return connect(there.toString(), async () => {
    await admin.query(`DROP DATABASE "${name}"`)
    await admin.end()
  })
}

const attempt = (promise) =>
  promise.then(ok, (error) => ({
    ok: false,
    error: {
      kind: 'postgres',
      code: error.code ?? 'XX000',
      severity: error.severity ?? 'ERROR',
      message: error.message,
      detail: error.detail,
      hint: error.hint,
      originalCode: error.code,
      originalMessage: error.message,
    },
  }))

async function connect(url, afterwards) {
  const client = new pg.Client({ connectionString: url, types: { getTypeParser: () => (text) => text } })
  await client.connect()
  const run = ({ sql, args }) => client.query({ text: sql, values: args, rowMode: 'array' })
  const read = ({ fields, rows }) => {
    const types = fields.map((field) => field.dataTypeID)
    const unknown = types.find((type) => !(type in TYPES))
    if (unknown) throw new Error(`the engine is not known to take columns of type ${unknown}`)
    return {
      columnNames: fields.map((field) => field.name),
      columnTypes: types.map((type) => TYPES[type]),
      rows: rows.map((row) => row.map((text, i) => value(text, types[i]))),
    }
  }
  return {
    provider: 'postgres',
    adapterName: 'tieline-e2e',
    errorRegistry: { consumeError: () => undefined },
    queryRaw: (query) => attempt(run(query).then(read)),
    executeRaw: (query) => attempt(run(query).then((result) => result.rowCount ?? 0)),
    executeScript: (script) => attempt(client.query(script).then(() => undefined)),
    getConnectionInfo: () => ok({ schemaName: 'public', supportsRelationJoins: true, maxBindValues: 32767 }),
    startTransaction: () => Promise.reject(new Error('no transaction is wanted here')),
    dispose: () => attempt(client.end().then(afterwards)),
  }
}
