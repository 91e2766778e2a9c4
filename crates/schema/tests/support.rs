//! Snapshots as `electric.table_snapshot` makes them, and shorthands for what comes of them.

use change::Xid;
use schema::{
    Held, Migration, MigrationOp, Record, Schema, Snapshot, Statement, evolve, parse, parse_record,
};
use serde_json::{Value, json};

/// Builds the JSON of one snapshot.
pub struct TableJson {
    oid: u32,
    name: String,
    columns: Vec<Value>,
    key: Vec<String>,
    foreign_keys: Vec<Value>,
    indexes: Vec<Value>,
    enums: Vec<Value>,
}

pub fn table(oid: u32, name: &str) -> TableJson {
    TableJson {
        oid,
        name: name.into(),
        columns: Vec::new(),
        key: Vec::new(),
        foreign_keys: Vec::new(),
        indexes: Vec::new(),
        enums: Vec::new(),
    }
}

impl TableJson {
    /// `ty` as SQL spells it in short: `uuid!` is NOT NULL, `timestamp(3)` has a modifier.
    pub fn column(mut self, name: &str, ty: &str) -> Self {
        let (ty, not_null) = ty.strip_suffix('!').map_or((ty, false), |ty| (ty, true));
        let (ty, typmod) = match ty.strip_suffix(')').and_then(|t| t.split_once('(')) {
            Some((ty, modifier)) => (ty, modifier.parse::<i32>().unwrap()),
            None => (ty, -1),
        };
        let precision = if typmod < 0 { String::new() } else { format!("({typmod})") };
        let sql_type = match ty {
            "varchar" => "character varying".to_owned(),
            "bool" => "boolean".to_owned(),
            "int2" => "smallint".to_owned(),
            "int4" => "integer".to_owned(),
            "int8" => "bigint".to_owned(),
            "float4" => "real".to_owned(),
            "float8" => "double precision".to_owned(),
            "time" | "timestamp" => format!("{ty}{precision} without time zone"),
            "timestamptz" => format!("timestamp{precision} with time zone"),
            ty => ty.to_owned(),
        };
        let is_enum = self.enums.iter().any(|e| e["name"] == ty);
        self.columns.push(json!({
            "attnum": self.columns.len() + 1, "name": name, "type": ty, "typmod": typmod, "sql_type": sql_type,
            "type_schema": if is_enum { "public" } else { "pg_catalog" }, "typtype": if is_enum { "e" } else { "b" },
            "not_null": not_null, "collation": null,
        }));
        self
    }

    pub fn enumeration(mut self, name: &str, labels: &[&str]) -> Self {
        self.enums.push(json!({"schema": "public", "name": name, "labels": labels, "new": true}));
        self
    }

    pub fn key(mut self, columns: &[&str]) -> Self {
        self.key = columns.iter().map(ToString::to_string).collect();
        self
    }

    /// `actions` are the letters of `pg_constraint` for delete and update.
    pub fn references(
        self,
        columns: &[&str],
        parent: (u32, &str),
        referenced: &[&str],
        actions: &str,
        tail: &str,
    ) -> Self {
        let name = format!("{}_{}_fkey", self.name, columns.join("_"));
        self.constraint(&name, columns, parent, referenced, actions, tail)
    }

    pub fn constraint(
        mut self,
        name: &str,
        columns: &[&str],
        (oid, parent): (u32, &str),
        referenced: &[&str],
        actions: &str,
        tail: &str,
    ) -> Self {
        let definition = format!(
            "FOREIGN KEY ({}) REFERENCES {}({}){tail}",
            columns.join(", "),
            schema::quote_postgres(parent),
            referenced.join(", ")
        );
        self.foreign_keys.push(json!({
            "name": name, "columns": columns, "table": {"oid": oid, "schema": "public", "name": parent},
            "referenced": referenced, "on_delete": &actions[..1], "on_update": &actions[1..], "definition": definition,
        }));
        self
    }

    /// The last foreign key refers to unique columns other than the primary key.
    pub fn refers_to_unique(mut self) -> Self {
        self.foreign_keys.last_mut().unwrap()["to_key"] = false.into();
        self
    }

    pub fn index(mut self, name: &str, definition: &str) -> Self {
        let unique = definition.starts_with("CREATE UNIQUE");
        self.indexes.push(json!({"name": name, "unique": unique, "definition": definition}));
        self
    }

    pub fn json(&self) -> Value {
        let tag_columns: serde_json::Map<String, Value> = self
            .columns
            .iter()
            .filter_map(|c| c["name"].as_str())
            .filter(|name| !self.key.iter().any(|k| k == name))
            .map(|name| (name.to_owned(), format!("_tag_{name}").into()))
            .collect();
        json!({
            "enums": self.enums,
            "table": {
                "oid": self.oid, "schema": "public", "name": self.name, "columns": self.columns,
                "primary_key": {"name": format!("{}_pkey", self.name), "columns": self.key},
                "foreign_keys": self.foreign_keys, "indexes": self.indexes,
                "shadow": {"oid": self.oid + 100_000, "name": format!("shadow__public__{}", self.name),
                           "tag_columns": tag_columns},
            },
        })
    }

    pub fn record(&self) -> Record {
        parse_record(self.json().to_string().as_bytes()).unwrap()
    }

    pub fn snapshot(&self) -> Snapshot {
        parse(self.json().to_string().as_bytes()).unwrap()
    }
}

/// A migration that holds tables back is an error.
pub fn try_migrate(tables: &[&TableJson], before: &Schema) -> Result<(Migration, Schema), Held> {
    let records: Vec<Record> = tables.iter().map(|t| t.record()).collect();
    let evolution = evolve("20240801120000_123", Xid(1), 0, &records, before);
    match evolution.held.into_iter().next() {
        Some(held) => Err(held),
        None => Ok((evolution.migration, evolution.schema)),
    }
}

pub fn migrate(tables: &[&TableJson], before: &Schema) -> (Migration, Schema) {
    try_migrate(tables, before).unwrap()
}

/// All statements of a migration in order, but for the enumerations.
pub fn statements(migration: &Migration) -> Vec<&Statement> {
    migration
        .ops
        .iter()
        .flat_map(|op| match op {
            MigrationOp::Enum { .. } => &[],
            MigrationOp::Table { statements, .. } | MigrationOp::Statements(statements) => {
                statements.as_slice()
            }
        })
        .collect()
}

pub fn orgs() -> TableJson {
    table(1, "orgs")
        .column("id", "uuid!")
        .column("name", "varchar!")
        .column("created_at", "timestamptz!")
        .key(&["id"])
}
