// What node-postgres sees of a database: everything it is asked below, as one JSON document. Run twice, straight and through the
// migrations proxy, it is to print the same.
//
//   node node-postgres.mjs <connection string>
import pg from 'pg'

const [url] = process.argv.slice(2)
const seen = []

const client = new pg.Client({ connectionString: url, application_name: 'node' })
const news = []
client.on('notice', (notice) => news.push(['notice', notice.severity, notice.message, notice.hint]))
client.on('notification', ({ channel, payload }) => news.push(['notification', channel, payload]))
await client.connect()

function result({ command, rowCount, rows, fields }) {
  return { command, rowCount, rows, fields: fields.map(({ name, dataTypeID, format }) => [name, dataTypeID, format]) }
}

async function ask(...query) {
  try {
    const answer = await client.query(...query)
    seen.push(Array.isArray(answer) ? answer.map(result) : result(answer))
  } catch (error) {
    const { severity, code, message, detail, hint, position, constraint, table, routine } = error
    seen.push({ severity, code, message, detail, hint, position, constraint, table, routine })
  }
}

await ask('CREATE TEMP TABLE t (id int PRIMARY KEY, body text, at timestamptz, tags text[], doc jsonb)')
await ask('INSERT INTO t VALUES ($1, $2, $3, $4, $5) RETURNING *', [1, 'grün', '2024-02-29T12:00:00Z', ['a', 'b"c'], { x: [1] }])
await ask('INSERT INTO t VALUES ($1, $2)', [1, 'again'])
await ask({ name: 'by id', text: 'SELECT * FROM t WHERE id = $1', values: [1] })
await ask({ name: 'by id', text: 'SELECT * FROM t WHERE id = $1', values: [2] })
await ask({ text: 'SELECT id, body FROM t', rowMode: 'array' })
await ask('SELECT 1 AS a; SELECT 2 AS b; INSERT INTO t (id) VALUES (9); SELECT count(*)::int FROM t')
await ask('SELECT 1; SELECT 1/0; SELECT 2')
await ask('SELECT nothing FROM t')
await ask('SELECT $1::int', ['not a number'])
await ask('')
await ask('-- ping')
await ask('BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY')
await ask('SHOW transaction_isolation')
await ask('DELETE FROM t; DROP TABLE pg_class')
await ask('SELECT 1')
await ask('ROLLBACK')
await ask("DO $$ BEGIN RAISE NOTICE 'heed'; RAISE WARNING 'beware' USING HINT = 'look'; END $$")
await ask('LISTEN news')
await ask("NOTIFY news, 'extra'")
await ask("SELECT i, repeat('x', 1000) AS long FROM generate_series(1, 5000) i")
seen.at(-1).rows = seen.at(-1).rows.reduce((sum, { i, long }) => sum + i + long.length, 0)
await ask('SELECT length($1)', ['y'.repeat(2_000_000)])
await ask({ text: 'SELECT $1::bytea', values: [Buffer.from([0, 1, 255])], binary: true })
// Many at once, on connections of a pool.
const pool = new pg.Pool({ connectionString: url, max: 5 })
seen.push(await Promise.all([...Array(200).keys()].map(async (i) => (await pool.query('SELECT $1::int AS i', [i])).rows[0].i)))
await pool.end()
await client.end()
console.log(JSON.stringify({ seen, news }))
