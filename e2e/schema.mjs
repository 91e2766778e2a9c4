// A description of tables for the real client, of the kind that its generator writes, from a plain list of columns:
// { items: { id: 'UUID', content: 'TEXT', list_id: 'UUID -> lists.id' } }. Types are Postgres' own names in upper case.
//
// A foreign key makes a relation on both sides: on `items` the field `list`, after its column, and on `lists` the field `items`,
// or `items_list_id` if several keys of `items` lead there.

import { DbSchema, Relation } from 'electric-sql/client/model'
import { z } from 'zod'

export function describe(tables) {
  const keys = Object.entries(tables).flatMap(([name, columns]) => foreignKeys(name, columns))
  const described = Object.entries(tables).map(([name, columns]) => [name, table(columns, relations(name, keys))])
  return new DbSchema(Object.fromEntries(described), [], [])
}

function foreignKeys(table, columns) {
  return Object.entries(columns).flatMap(([column, type]) => {
    const [, target, referenced] = /-> (\w+)\.(\w+)$/.exec(type) ?? []
    return target ? [{ table, column, target, referenced }] : []
  })
}

function relations(name, keys) {
  const id = (key) => `${key.table}_${key.column}`
  const alone = (key) => keys.filter((other) => other.table === key.table && other.target === key.target).length === 1
  return keys.flatMap((key) => [
    ...(key.table === name
      ? [new Relation(key.column.replace(/_id$/, ''), key.column, key.referenced, key.target, id(key), 'one')]
      : []),
    ...(key.target === name ? [new Relation(alone(key) ? key.table : id(key), '', '', key.table, id(key), 'many')] : []),
  ])
}

function table(columns, relations) {
  const names = Object.keys(columns)
  const values = z.object(Object.fromEntries(names.map((name) => [name, z.any()])))
  const select = z.object(Object.fromEntries(names.map((name) => [name, z.boolean().optional()]))).optional()
  const where = z.any().optional()
  const find = z.object({ select, where, orderBy: z.any(), take: z.any(), skip: z.any(), include: z.any() }).partial()
  return {
    fields: new Map(Object.entries(columns).map(([column, type]) => [column, type.split(' ')[0]])),
    relations,
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
