#!/usr/bin/env node
// Stands in for the two native engines that Prisma 4.8.1 would download, with real ones of later versions that are to be had as
// WebAssembly from the registry. The Prisma that `electric-sql generate` runs is told of this script by its own settings:
//
//   PRISMA_INTROSPECTION_ENGINE_BINARY   lines of JSON-RPC on standard input and output: `db pull`
//   PRISMA_QUERY_ENGINE_BINARY           `… cli dmmf`, with PRISMA_CLI_QUERY_ENGINE_TYPE=binary: what `generate` makes code from

import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { DATASOURCE, withEngine } from './prisma.mjs'

async function call(method, { schema }) {
  if (method !== 'introspect') throw new Error(`${method} is not wanted here`)
  const datasource = /datasource\s+\w+\s*{[^}]*}/
  const [given] = datasource.exec(schema)
  const [, url] = /url\s*=\s*"([^"]*)"/.exec(given)
  const files = [{ path: 'schema.prisma', content: DATASOURCE }]
  const input = { schema: { files }, baseDirectoryPath: '/', force: true, compositeTypeDepth: -1, namespaces: null }
  const introspected = await withEngine(url, (engine) => engine.introspect(input))
  return { datamodel: introspected.schema.files[0].content.replace(datasource, () => given), warnings: [], version: 'NonPrisma' }
}

const failure = (error) => {
  const data = { is_panic: false, message: String(error?.message ?? error), meta: null }
  return { error: { code: 4466, message: 'An error happened. Check the data field for details.', data } }
}

const command = process.argv.slice(2).filter((word) => !word.startsWith('--'))
if (process.argv.includes('--version')) {
  console.log('engine 0000000000000000000000000000000000000000')
} else if (command.join(' ') === 'cli dmmf') {
  const { get_dmmf } = await import('@prisma/prisma-fmt-wasm')
  const prismaSchema = readFileSync(process.env.PRISMA_DML_PATH, 'utf8')
  process.stdout.write(get_dmmf(JSON.stringify({ prismaSchema })))
} else {
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, method, params } = JSON.parse(line)
    const answer = await call(method, params?.[0] ?? params).then((result) => ({ result }), failure)
    console.log(JSON.stringify({ jsonrpc: '2.0', id, ...answer }))
  }
}
