// A description of tables for the real client, of the kind that its generator writes, from a plain list of columns:
// { items: { id: 'UUID', content: 'TEXT' } }. Types are Postgres' own names in upper case.

import { DbSchema } from 'electric-sql/client/model'
import { z } from 'zod'

export function describe(tables) {
  const described = Object.entries(tables).map(([name, columns]) => [name, table(columns)])
  return new DbSchema(Object.fromEntries(described), [], [])
}

function table(columns) {
  const names = Object.keys(columns)
  const values = z.object(Object.fromEntries(names.map((name) => [name, z.any()])))
  const select = z.object(Object.fromEntries(names.map((name) => [name, z.boolean().optional()]))).optional()
  const where = z.any().optional()
  const find = z.object({ select, where, orderBy: z.any(), take: z.any(), skip: z.any(), include: z.object({}).optional() }).partial()
  return {
    fields: new Map(Object.entries(columns)),
    relations: [],
    modelSchema: values.partial(),
    createSchema: z.object({ select, data: values.partial() }),
    createManySchema: z.object({ data: z.array(values.partial()), skipDuplicates: z.boolean().optional() }),
    findUniqueSchema: z.object({ select, where }),
    findSchema: find,
    updateSchema: z.object({ select, data: values.partial(), where }),
    updateManySchema: z.object({ data: values.partial(), where }),
    upsertSchema: z.object({ select, where, create: values.partial(), update: values.partial() }),
    deleteSchema: z.object({ select, where }),
    deleteManySchema: z.object({ where }),
  }
}
