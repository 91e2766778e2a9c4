//! What the published client can't take, and what its user should know (spec 03 §10.3).

use std::collections::BTreeSet;

use crate::{Column, ForeignKey, Table, is_plain_identifier};

/// A table that has this column shows a row to the user whom it names (spec 06 §9).
pub const OWNER_COLUMN: &str = "electric_user_id";

impl Table {
    /// Position of a column, by its exact name.
    #[must_use]
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// Position of the column that names a row's owner, if the table has one.
    #[must_use]
    pub fn owner_column(&self) -> Option<usize> {
        self.column_index(OWNER_COLUMN)
    }

    /// Whether a column belongs to the primary key.
    #[must_use]
    pub fn is_key(&self, column: usize) -> bool {
        self.primary_key.contains(&column)
    }

    /// The foreign keys that `SatOpMigrate` lists: those of one column. The client fails on composite ones, which
    /// are in the SQL only.
    pub fn listed_foreign_keys(&self) -> impl Iterator<Item = &ForeignKey> {
        self.client_foreign_keys().filter(|fk| fk.columns.len() == 1)
    }

    /// The foreign keys that clients have in their tables.
    pub fn client_foreign_keys(&self) -> impl Iterator<Item = &ForeignKey> {
        self.foreign_keys.iter().filter(|fk| fk.to_key)
    }

    /// What may go wrong on clients with this table as it is, for its developer: advice, one sentence each. Empty for
    /// most tables.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(reason) = &self.held_back {
            warnings.push(format!("clients don't get table {:?}: {reason}", self.name));
        }
        for column in &self.columns {
            warnings.extend(column_name_warning(column));
            if let Some((schema, _)) = column.ty.as_enum().and_then(|ty| ty.name.split_once('.')) {
                warnings.push(format!(
                    "column {:?} has a type of schema {schema:?}, which Postgres clients must already have",
                    column.name
                ));
            }
        }
        if self.columns.len() > MOST_COLUMNS_WRITTEN {
            warnings.push(format!(
                "table {:?} has more than {MOST_COLUMNS_WRITTEN} columns, which Postgres clients can read but not write",
                self.name
            ));
        }
        let unsafe_keys = self.primary_key.iter().filter_map(|i| self.columns.get(*i));
        for column in unsafe_keys.filter(|c| !c.ty.is_canonical()) {
            warnings.push(format!(
                "primary key column {:?} has type {}, whose values have more than one text form, so that clients may \
                 keep a row twice; use uuid, text or an integer type",
                column.name,
                column.ty.type_name()
            ));
        }
        warnings
    }

    /// Why this table alone, as it is, is kept from clients: the triggers that they make for it would not work, and their
    /// migration would fail. Clashes with other tables are found where all are known.
    ///
    /// The SQL function `electric.client_obstacle` says the same to whoever electrifies the table.
    pub(crate) fn obstacle(&self) -> Option<String> {
        if self.schema != "public" {
            return Some(format!("it is in schema {:?}, and they know no schema but public", self.schema));
        }
        if !is_plain_identifier(&self.name) {
            return Some("its name is not a plain identifier (letters, digits, underscores), which their triggers need".into());
        }
        let lower = self.name.to_ascii_lowercase();
        if lower.starts_with("sqlite_") || lower.starts_with("_electric_") {
            return Some("names beginning with sqlite_ or _electric_ are reserved there".into());
        }
        if self.columns.len() > MOST_COLUMNS {
            return Some(format!("it has more than {MOST_COLUMNS} columns"));
        }
        for (i, column) in self.columns.iter().enumerate() {
            if self.columns.iter().take(i).any(|c| c.name.eq_ignore_ascii_case(&column.name)) {
                return Some(format!(
                    "SQLite does not tell column {:?} from another that differs in case only",
                    column.name
                ));
            }
            if breaks_triggers(&column.name, self.is_key(i)) {
                return Some(format!("the name of column {:?} breaks their triggers", column.name));
            }
        }
        let keys = self.listed_foreign_keys().filter_map(|fk| self.columns.get(*fk.columns.first()?));
        let awkward = keys.into_iter().find(|c| !is_plain_identifier(&c.name)).map(|column| {
            format!("foreign key column {:?} is not a plain identifier (letters, digits, underscores), which their triggers need", column.name)
        });
        awkward.or_else(|| {
            let mut seen = BTreeSet::new();
            let twice = self.trigger_functions().into_iter().any(|name| !seen.insert(name));
            twice.then(|| "Postgres clients can't tell the triggers of its foreign keys apart: the names are too long".into())
        })
    }

    /// The names of the functions that Postgres clients make for the table's triggers: unquoted, and cut at 63 bytes.
    pub(crate) fn trigger_functions(&self) -> Vec<String> {
        let table = &self.name;
        let mut names = vec![format!("update_ensure_public_{table}_primarykey_function")];
        names.extend(
            ["insert", "update", "delete"].map(|event| format!("{event}_public_{table}_into_oplog_function")),
        );
        let keys = self.listed_foreign_keys().filter_map(|fk| self.columns.get(*fk.columns.first()?));
        let keys: BTreeSet<&str> = keys.map(|column| column.name.as_str()).collect();
        for key in keys {
            names.extend(
                ["insert", "update"]
                    .map(|event| format!("compensation_{event}_public_{table}_{key}_into_oplog_function")),
            );
        }
        names.iter().map(|name| name.chars().take(63).collect::<String>().to_ascii_lowercase()).collect()
    }
}

/// The most columns of a table: their tags have to fit into a page of Postgres. SQLite would take 500 into the clients' triggers.
const MOST_COLUMNS: usize = 400;

/// The most columns of a table that Postgres clients can write: it takes 100 arguments.
const MOST_COLUMNS_WRITTEN: usize = 50;

/// Whether a column of this name makes the text of the clients' triggers invalid, where it stands without escapes in
/// strings, between double quotes and in a body between `$$`, key columns also in the format of an error.
fn breaks_triggers(name: &str, is_key: bool) -> bool {
    name.contains(['\'', '"', '\n', '\r']) || name.contains("$$") || (is_key && name.contains('%'))
}

fn column_name_warning(column: &Column) -> Option<String> {
    let name = &column.name;
    if !is_plain_identifier(name) {
        return Some(format!(
            "clients write column {name:?} without quotes, which fails; name it with letters, digits, underscores"
        ));
    }
    if SQLITE_KEYWORDS.binary_search(&name.to_ascii_lowercase().as_str()).is_ok() {
        return Some(format!(
            "column {name:?} is named like a keyword, and SQLite clients can't sync it; rename it"
        ));
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return Some(format!(
            "column {name:?} has capital letters, and Postgres clients fail on the initial data; use lower case"
        ));
    }
    None
}

/// Keywords that SQLite does not take as a column name without quotes. Sorted.
const SQLITE_KEYWORDS: &[&str] = &[
    "add",
    "all",
    "alter",
    "and",
    "as",
    "autoincrement",
    "between",
    "case",
    "cast",
    "check",
    "collate",
    "commit",
    "constraint",
    "create",
    "default",
    "deferrable",
    "delete",
    "distinct",
    "drop",
    "else",
    "escape",
    "except",
    "exists",
    "foreign",
    "from",
    "group",
    "having",
    "in",
    "index",
    "insert",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "limit",
    "not",
    "nothing",
    "notnull",
    "null",
    "on",
    "or",
    "order",
    "primary",
    "raise",
    "references",
    "returning",
    "select",
    "set",
    "table",
    "then",
    "to",
    "transaction",
    "union",
    "unique",
    "update",
    "using",
    "values",
    "when",
    "where",
    "with",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keywords_are_sorted_and_sqlite_refuses_them() {
        assert!(SQLITE_KEYWORDS.is_sorted());
        let db = rusqlite::Connection::open_in_memory().unwrap();
        for word in SQLITE_KEYWORDS {
            db.execute_batch(&format!("CREATE TABLE t (id TEXT PRIMARY KEY, \"{word}\" TEXT)")).unwrap();
            let upsert =
                format!("INSERT INTO t (id, {word}) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET {word} = 3");
            let delete = format!("DELETE FROM t WHERE ({word} = 1)");
            assert!(db.execute_batch(&upsert).is_err() || db.execute_batch(&delete).is_err(), "{word}");
            db.execute_batch("DROP TABLE t").unwrap();
        }
    }
}
