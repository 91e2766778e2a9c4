#!/usr/bin/env node
// Stands in for the two native engines that Prisma 4.8.1 would download, with real ones of later versions that are to be had as
// WebAssembly from the registry. The Prisma that `electric-sql generate` runs is told of this script by its own settings:
//
//   PRISMA_INTROSPECTION_ENGINE_BINARY   lines of JSON-RPC on standard input and output: `db pull`
//   PRISMA_QUERY_ENGINE_BINARY           `… cli dmmf`, with PRISMA_CLI_QUERY_ENGINE_TYPE=binary: what `generate` makes code from
//
// Only the transport is written here: what is asked of Postgres, and what is made of the answers, is the engines'.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { dirname, join } from 'node:path'

const require = createRequire(import.meta.url)
async function call(method, { schema }) {
  if (method !== 'introspect') throw new Error(`${method} is not wanted here`)
  const datasource = /datasource\s+\w+\s*{[^}]*}/.exec(schema)[0]
  const url = /url\s*=\s*"([^"]*)"/.exec(datasource)[1]
  const introspected = await introspect(url)
  return { datamodel: introspected.replace(/datasource\s+\w+\s*{[^}]*}/, () => datasource), warnings: [], version: 'NonPrisma' }
}

async function introspect(url) {
  const { SchemaEngine } = await engine()
  const database = await adapter(url)
  const content = 'datasource db {\n  provider = "postgresql"\n}\n'
  const files = [{ path: 'schema.prisma', content }]
  try {
    const schema = await SchemaEngine.new({ datamodels: [['schema.prisma', content]] }, () => {}, {
      ...database,
      connect: async () => ok(database),
      connectToShadowDb: () => Promise.reject(new Error('there is no shadow database')),
    })
    const result = await schema.introspect({ schema: { files }, baseDirectoryPath: '/', force: true, compositeTypeDepth: -1, namespaces: null })
    return result.schema.files[0].content
  } finally {
    await database.dispose()
  }
}

async function engine() {
  const glue = await import('@prisma/schema-engine-wasm/schema_engine_bg')
  const folder = dirname(require.resolve('@prisma/schema-engine-wasm/schema_engine_bg'))
  const module = new WebAssembly.Module(readFileSync(join(folder, 'schema_engine_bg.wasm')))
  const { exports } = new WebAssembly.Instance(module, { './schema_engine_bg.js': glue })
  glue.__wbg_set_wasm(exports)
  exports.__wbindgen_start()
  return glue
}

const ok = (value) => ({ ok: true, value })

// What the engine knows of a connection. Its numbers for types of columns, by Postgres' own.
const TYPES = { 16: 5, 18: 6, 19: 7, 20: 1, 21: 0, 23: 0, 25: 7, 26: 1, 1009: 72, 1043: 7 }
const numbers = [21, 23]

async function adapter(url) {
  const { default: pg } = await import('pg')
  const client = new pg.Client({ connectionString: url, types: { getTypeParser: () => (text) => text } })
  await client.connect()
  const value = (text, type) => {
    if (text === null) return null
    if (type === 16) return text === 't'
    if (type === 1009) return pg.types.getTypeParser(1009)(text)
    return numbers.includes(type) ? Number(text) : text
  }
  const run = async ({ sql, args }) => {
    const { fields, rows } = await client.query({ text: sql, values: args, rowMode: 'array' })
    const types = fields.map((field) => field.dataTypeID)
    const unknown = types.find((type) => !(type in TYPES))
    if (unknown) throw new Error(`the engine is not known to take columns of type ${unknown}`)
    return {
      columnNames: fields.map((field) => field.name),
      columnTypes: types.map((type) => TYPES[type]),
      rows: rows.map((row) => row.map((text, i) => value(text, types[i]))),
    }
  }
  const attempt = (promise) =>
    promise.then(ok, (error) => ({
      ok: false,
      error: { kind: 'postgres', code: error.code ?? 'XX000', severity: 'ERROR', message: error.message, originalCode: error.code, originalMessage: error.message },
    }))
  return {
    provider: 'postgres',
    adapterName: 'tieline-e2e',
    errorRegistry: { consumeError: () => undefined },
    queryRaw: (query) => attempt(run(query)),
    executeRaw: (query) => attempt(run(query).then(() => 0)),
    executeScript: (script) => attempt(client.query(script).then(() => undefined)),
    getConnectionInfo: () => ok({ schemaName: 'public', supportsRelationJoins: true, maxBindValues: 32767 }),
    startTransaction: () => Promise.reject(new Error('no transaction is wanted here')),
    dispose: () => attempt(client.end()),
  }
}

const command = process.argv.slice(2).filter((word) => !word.startsWith('--'))

if (process.argv.includes('--version')) {
  console.log('engine 0000000000000000000000000000000000000000')
} else if (command.join(' ') === 'cli dmmf') {
  const { get_dmmf } = require('@prisma/prisma-fmt-wasm')
  const prismaSchema = readFileSync(process.env.PRISMA_DML_PATH, 'utf8')
  process.stdout.write(get_dmmf(JSON.stringify({ prismaSchema })))
} else {
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, method, params } = JSON.parse(line)
    const answer = await call(method, params?.[0] ?? params).then(
      (result) => ({ result }),
      (error) => ({ error: { code: 4466, message: 'An error happened. Check the data field for details.', data: { is_panic: false, message: String(error?.message ?? error), meta: null } } }),
    )
    console.log(JSON.stringify({ jsonrpc: '2.0', id, ...answer }))
  }
}
