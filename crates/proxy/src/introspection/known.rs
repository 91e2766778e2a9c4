//! What a generator of clients' code may see: the tables that clients get, as clients have them.

use std::collections::{HashMap, HashSet};

use change::{RelationId, Xid};
use schema::{Column, ColumnType, Record, Schema, evolve, parse_record};

/// The synced tables that exist, under the names that they have now.
pub const LIVE: &str = "
    SELECT e.oid::bigint, n.nspname, c.relname
    FROM electric.electrified e
    JOIN pg_catalog.pg_class c ON c.oid = e.oid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";

/// What happened to them after a row: the history that migrations for clients are made from, in its order.
pub const HISTORY: &str = "
    SELECT d.id, d.version, d.txid::text, d.snapshot::text
    FROM electric.ddl_commands d
    WHERE d.version IS NOT NULL AND d.snapshot IS NOT NULL AND d.id > $1::bigint
    ORDER BY pg_catalog.min(d.id) OVER (PARTITION BY d.txid, d.version), d.txid, d.id";

/// The tables of clients. It is read in steps: each takes in the rows that are new since the last.
#[derive(Debug, Default)]
pub struct Known {
    schema: Schema,
    /// The newest row of the history that is in `schema`.
    last: i64,
    tables: HashMap<Vec<u8>, HashMap<Vec<u8>, Table>>,
    /// By their names in the model: bare in schema `public`.
    enums: HashSet<Vec<u8>>,
}

/// A table as clients have it.
#[derive(Debug)]
pub struct Table {
    columns: HashMap<Vec<u8>, Shown>,
    /// The foreign keys that clients can follow.
    foreign_keys: HashSet<Vec<u8>>,
}

/// How a column is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// With its default: clients have that too, so that whoever makes a row need not give a value.
    pub with_default: bool,
    /// As text, whatever it is.
    pub as_text: bool,
}

/// A batch of rows of [`LIVE`] and [`HISTORY`], as they arrive.
#[derive(Debug, Default)]
pub struct Reading {
    live: Vec<(RelationId, Vec<u8>, Vec<u8>)>,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    id: i64,
    version: String,
    xid: Xid,
    record: Option<Record>,
}

impl Reading {
    /// Takes a row of either query; they differ in their number of columns.
    pub fn add(&mut self, row: &[Option<&[u8]>]) {
        match row {
            [Some(oid), Some(schema), Some(name)] => {
                let Some(oid) = number(oid) else { return };
                self.live.push((RelationId(oid), schema.to_vec(), name.to_vec()));
            }
            [Some(id), Some(version), Some(xid), Some(snapshot)] => {
                let (Some(id), Some(xid)) = (number(id), number(xid)) else { return };
                let version = String::from_utf8_lossy(version).into_owned();
                // What can't be read is said where migrations are made for clients.
                self.steps.push(Step { id, version, xid: Xid(xid), record: parse_record(snapshot).ok() });
            }
            _ => {}
        }
    }
}

impl Known {
    /// The newest row of the history that is known, as the parameter of [`HISTORY`].
    pub fn last(&self) -> String {
        self.last.to_string()
    }

    /// Takes in what was read.
    pub fn learn(&mut self, reading: Reading) {
        let Reading { live, steps } = reading;
        let mut steps = steps.into_iter().peekable();
        while let Some(Step { id, version, xid, record }) = steps.next() {
            let mut records: Vec<Record> = record.into_iter().collect();
            self.last = self.last.max(id);
            while let Some(more) = steps.next_if(|next| next.xid == xid && next.version == version) {
                records.extend(more.record);
                self.last = self.last.max(more.id);
            }
            self.schema = evolve(&version, xid, 0, &records, &self.schema).schema;
        }
        self.show(live);
    }

    fn show(&mut self, live: Vec<(RelationId, Vec<u8>, Vec<u8>)>) {
        self.tables.clear();
        self.enums.clear();
        for (id, schema, name) in live {
            let Some(table) = self.schema.table(id).filter(|table| table.held_back.is_none()) else {
                continue;
            };
            let enums = table.columns.iter().filter_map(|column| column.ty.as_enum());
            self.enums.extend(enums.map(|ty| ty.name.clone().into_bytes()));
            let columns =
                table.columns.iter().map(|column| (column.name.clone().into_bytes(), shown(column)));
            let foreign_keys = table.listed_foreign_keys().map(|key| key.name.clone().into_bytes());
            let table = Table { columns: columns.collect(), foreign_keys: foreign_keys.collect() };
            self.tables.entry(schema).or_default().insert(name, table);
        }
    }

    /// A table; in any schema if none is named.
    pub fn table(&self, schema: Option<&[u8]>, name: &[u8]) -> Option<&Table> {
        match schema {
            Some(schema) => self.tables.get(schema)?.get(name),
            None => self.tables.values().find_map(|tables| tables.get(name)),
        }
    }

    /// Whether there are tables in a schema.
    pub fn has_schema(&self, schema: &[u8]) -> bool {
        self.tables.contains_key(schema)
    }

    /// Whether a table uses an enumeration.
    pub fn uses_enum(&self, schema: &[u8], name: &[u8]) -> bool {
        match schema {
            b"public" => self.enums.contains(name),
            _ => self.enums.contains(&[schema, b".", name].concat()),
        }
    }
}

impl Table {
    /// How a column is shown; `None` if clients don't have it.
    pub fn column(&self, name: &[u8]) -> Option<Shown> {
        self.columns.get(name).copied()
    }

    /// Whether clients can follow a foreign key.
    pub fn has_foreign_key(&self, name: &[u8]) -> bool {
        self.foreign_keys.contains(name)
    }
}

/// Clients hold values of some types as the texts that Postgres prints. The generator has no type for `interval` and `cidr`, and
/// leaves such columns out; what it makes of `numeric` and `timetz` does not take all their values.
fn shown(column: &Column) -> Shown {
    use ColumnType::{Cidr, Interval, Numeric, Timetz};
    Shown {
        with_default: column.has_client_default(),
        as_text: matches!(column.ty, Numeric | Interval | Timetz | Cidr),
    }
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
