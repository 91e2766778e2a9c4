//! The foreign keys that Postgres has, whether clients know of them or not.

use tokio_postgres::{Client, Error, Row};

/// A foreign key.
#[derive(Debug)]
pub struct Constraint {
    /// The id of the table that refers.
    pub child: u32,
    /// As a FROM clause takes it.
    pub child_name: String,
    /// The referring columns.
    pub columns: Vec<String>,
    /// The id of the table referred to.
    pub parent: u32,
    /// As a FROM clause takes it.
    pub parent_name: String,
    /// The columns referred to, paired with `columns`.
    pub referenced: Vec<String>,
    /// What deleting the row referred to does.
    pub on_delete: OnDelete,
}

/// What deleting a row does to those that refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// It fails if they are still there when the statement is done.
    NoAction,
    /// It fails while they are there.
    Restrict,
    /// They go as well.
    Cascade,
    /// They refer to nothing afterwards, or to something else.
    Release,
}

/// Tables with their schema; not those that inherit from them, but all partitions.
const LOAD: &str = "\
    SELECT c.conrelid, f.name, c.confrelid, t.name, c.confdeltype::text, \
        ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k (number, n) \
            JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY k.n), \
        ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY k (number, n) \
            JOIN pg_catalog.pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number ORDER BY k.n) \
    FROM pg_catalog.pg_constraint c, \
        LATERAL (SELECT CASE WHEN r.relkind = 'p' THEN '' ELSE 'ONLY ' END || format('%I.%I', s.nspname, r.relname) AS name \
            FROM pg_catalog.pg_class r JOIN pg_catalog.pg_namespace s ON s.oid = r.relnamespace WHERE r.oid = c.conrelid) f, \
        LATERAL (SELECT CASE WHEN r.relkind = 'p' THEN '' ELSE 'ONLY ' END || format('%I.%I', s.nspname, r.relname) AS name \
            FROM pg_catalog.pg_class r JOIN pg_catalog.pg_namespace s ON s.oid = r.relnamespace WHERE r.oid = c.confrelid) t \
    WHERE c.contype = 'f' ORDER BY c.oid";

/// All foreign keys of the database.
pub async fn load(client: &Client) -> Result<Vec<Constraint>, Error> {
    client.query(LOAD, &[]).await?.iter().map(Constraint::read).collect()
}

impl Constraint {
    fn read(row: &Row) -> Result<Constraint, Error> {
        Ok(Constraint {
            child: row.try_get(0)?,
            child_name: row.try_get(1)?,
            parent: row.try_get(2)?,
            parent_name: row.try_get(3)?,
            on_delete: match row.try_get(4)? {
                "r" => OnDelete::Restrict,
                "c" => OnDelete::Cascade,
                "n" | "d" => OnDelete::Release,
                _ => OnDelete::NoAction,
            },
            columns: row.try_get(5)?,
            referenced: row.try_get(6)?,
        })
    }
}
