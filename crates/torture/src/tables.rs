//! The tables of the workload: for Postgres, for clients, and for the comparison at the end.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// How many rows the tables of fixed size have.
pub(crate) const ROWS: u32 = 12;

/// What an account holds in the beginning.
pub(crate) const BALANCE: i64 = 100;

/// What a project may be.
pub(crate) const STATUSES: [&str; 3] = ["open", "held", "done"];

/// Tables that are made and synced while everything runs.
pub(crate) const LATE: [&str; 3] = ["late_0", "late_1", "late_2"];

/// A synced table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Names and types, as clients describe them; the first is the key.
    pub(crate) columns: Vec<(String, &'static str)>,
    /// Whether clients have all of it; otherwise by shapes.
    pub(crate) whole: bool,
}

/// The column of `shared` that only one process writes to: one of those that were there from the beginning, or of a later generation.
pub(crate) fn cell(generation: u32, process: u16) -> String {
    match generation {
        0 => format!("c{process}"),
        _ => format!("g{generation}c{process}"),
    }
}

/// Reads what [`cell`] writes.
pub(crate) fn read_cell(column: &str) -> Option<(u32, u16)> {
    let (generation, process) = match column.strip_prefix('g') {
        Some(rest) => rest.split_once('c')?,
        None => ("0", column.strip_prefix('c')?),
    };
    Some((generation.parse().ok()?, process.parse().ok()?))
}

/// Every synced table, parents first; `processes` is how many there are that write.
pub(crate) fn tables(processes: u16) -> Vec<Table> {
    let table = |name, whole, columns: &[(&str, &'static str)]| {
        let columns = columns.iter().map(|(column, kind)| ((*column).to_owned(), *kind)).collect();
        Table { name, columns, whole }
    };
    let mut shared = table("shared", true, &[("id", "INT4")]);
    shared.columns.extend((0..processes).map(|process| (cell(0, process), "INT4")));
    vec![
        table(
            "appends",
            true,
            &[("id", "UUID"), ("list", "INT4"), ("process", "INT4"), ("number", "INT4"), ("nth", "INT4")],
        ),
        table(
            "maxima",
            true,
            &[
                ("id", "UUID"),
                ("register", "INT4"),
                ("value", "INT4"),
                ("process", "INT4"),
                ("number", "INT4"),
            ],
        ),
        table("registers", true, &[("id", "INT4"), ("value", "TEXT")]),
        shared,
        table("pairs_left", true, &[("id", "INT4"), ("value", "TEXT")]),
        table("pairs_right", true, &[("id", "INT4"), ("value", "TEXT")]),
        table("accounts", true, &[("id", "INT4"), ("balance", "INT4")]),
        table(
            "mortals",
            true,
            &[("id", "UUID"), ("cohort", "INT4"), ("process", "INT4"), ("number", "INT4")],
        ),
        table("drafts", true, &[("id", "UUID"), ("process", "INT4"), ("number", "INT4"), ("mark", "TEXT")]),
        table("parents", true, &[("id", "INT4"), ("name", "TEXT")]),
        table("children", true, &[("id", "INT4"), ("parent_id", "INT4 -> parents.id"), ("note", "TEXT")]),
        table("fences", true, &[("id", "INT4"), ("number", "INT4")]),
        table("projects", false, &[("id", "INT4"), ("status", "TEXT"), ("title", "TEXT")]),
        table(
            "issues",
            false,
            &[("id", "INT4"), ("project_id", "INT4 -> projects.id"), ("title", "TEXT"), ("points", "INT4")],
        ),
    ]
}

/// The statements that make the tables, fill those of fixed size, and have them synced.
pub(crate) fn schema(tables: &[Table]) -> String {
    let mut sql = String::new();
    for table in tables {
        let columns: Vec<_> = table
            .columns
            .iter()
            .enumerate()
            .map(|(position, (name, kind))| {
                let (kind, reference) = kind.split_once(" -> ").unwrap_or((kind, ""));
                let reference = match reference.split_once('.') {
                    Some((parent, key)) => format!(" REFERENCES {parent} ({key})"),
                    None => String::new(),
                };
                let limit = if position == 0 { "PRIMARY KEY" } else { "NOT NULL" };
                format!("{name} {kind} {limit}{reference}")
            })
            .collect();
        let _ = writeln!(sql, "CREATE TABLE {} ({});", table.name, columns.join(", "));
        let _ = writeln!(sql, "CALL electric.electrify('{}');", table.name);
    }
    let numbers = format!("generate_series(0, {}) AS n", ROWS - 1);
    let cells = tables.iter().find(|table| table.name == "shared").map_or(0, |table| table.columns.len() - 1);
    let zeros = ", 0".repeat(cells);
    let _ = writeln!(
        sql,
        "INSERT INTO registers SELECT n, '0/0' FROM {numbers};
         INSERT INTO shared SELECT n{zeros} FROM {numbers};
         INSERT INTO pairs_left SELECT n, '0/0' FROM {numbers};
         INSERT INTO pairs_right SELECT n, '0/0' FROM {numbers};
         INSERT INTO accounts SELECT n, {BALANCE} FROM {numbers};
         INSERT INTO parents SELECT n, 'parent' FROM {numbers};
         INSERT INTO projects SELECT n, (ARRAY['{}'])[1 + n % {}], 'project' FROM {numbers};
         INSERT INTO fences VALUES (0, 0);",
        STATUSES.join("', '"),
        STATUSES.len(),
    );
    sql
}

/// What a client is told of the tables.
pub(crate) fn description(tables: &[Table]) -> Value {
    let described = tables.iter().map(|table| {
        let columns: Map<String, Value> =
            table.columns.iter().map(|(name, kind)| (name.clone(), json!(kind))).collect();
        (table.name.to_owned(), Value::Object(columns))
    });
    Value::Object(described.collect())
}

/// The shape of projects that the client of a process has, as an app asks for it.
pub(crate) fn shape(process: u16) -> (&'static str, Value) {
    let status = STATUSES[usize::from(process) % STATUSES.len()];
    match process % 2 {
        0 => ("projects", json!({ "where": { "status": status }, "include": { "issues": true } })),
        _ => ("issues", json!({ "where": { "points": { "gte": 50 } }, "include": { "project": true } })),
    }
}

/// Which rows of a table that is not whole that client should have: the condition on them in SQL.
pub(crate) fn condition(process: u16, table: &str) -> String {
    let status = STATUSES[usize::from(process) % STATUSES.len()];
    match (process % 2, table) {
        (0, "projects") => format!("status = '{status}'"),
        (0, "issues") => format!("project_id IN (SELECT id FROM projects WHERE status = '{status}')"),
        (1, "issues") => "points >= 50".into(),
        (1, "projects") => "id IN (SELECT project_id FROM issues WHERE points >= 50)".into(),
        _ => "true".into(),
    }
}
