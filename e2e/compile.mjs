// Compiles the TypeScript of an app in the folder of the first argument to JavaScript beside it, as a bundler would take it, and
// prints what the type checker has to say of it, one line each.
//
//   node compile.mjs /tmp/app/src

import { readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import ts from 'typescript'

const folder = process.argv[2]
const sources = readdirSync(folder, { recursive: true }).filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
const program = ts.createProgram(sources.map((file) => join(folder, file)), {
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  target: ts.ScriptTarget.ES2022,
  strict: true,
  skipLibCheck: true,
  types: [],
})
// Node.js wants the endings of files where a bundler finds them by itself.
const { diagnostics } = program.emit(undefined, (file, text) => ts.sys.writeFile(file, text.replace(/(from '\.[^']*)'/g, "$1.js'")))
for (const { file, start, messageText } of [...ts.getPreEmitDiagnostics(program), ...diagnostics]) {
  const line = file ? `${relative(folder, file.fileName)}:${file.getLineAndCharacterOfPosition(start).line + 1}: ` : ''
  console.log(line + ts.flattenDiagnosticMessageText(messageText, ' '))
}
