// Prisma Migrate at work on the database of a connection string: the migrations of a folder are played in a shadow database, as
// `prisma migrate dev` does it, and those that are missing are applied. Prints the names of those, as JSON.
//
//   node prisma-migrate.mjs postgresql://… migrations

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { withEngine } from './prisma.mjs'

const [url, folder] = process.argv.slice(2)
const script = (name) => ({ tag: 'ok', value: readFileSync(join(folder, name, 'migration.sql'), 'utf8') })
const input = {
  migrationsList: {
    baseDir: folder,
    lockfile: { path: 'migration_lock.toml', content: 'provider = "postgresql"\n' },
    shadowDbInitScript: '',
    migrationDirectories: readdirSync(folder)
      .sort()
      .map((name) => ({ path: name, migrationFile: { path: 'migration.sql', content: script(name) } })),
  },
  filters: { externalTables: [], externalEnums: [] },
}

// Each step has an engine of its own, as with Prisma's commands.
const { action } = await withEngine(url, (engine) => engine.devDiagnostic(input))
if (action.tag !== 'createMigration') throw new Error(`the database needs ${JSON.stringify(action)}`)
const { appliedMigrationNames } = await withEngine(url, (engine) => engine.applyMigrations(input))
console.log(JSON.stringify(appliedMigrationNames))
