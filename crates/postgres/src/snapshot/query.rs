//! The SQL of a read. Nothing that a user wrote is spliced in but names from the catalogue and one quoted literal.

use std::fmt::Write;

use schema::{OWNER_COLUMN, Table, quote_postgres};

/// What is to be read of a table.
#[derive(Clone, Copy, Debug)]
pub struct ReadQuery<'a> {
    /// The table.
    pub table: &'a Table,
    /// What of its rows.
    pub wanted: Wanted,
    /// Only rows of this owner and of nobody: those whose column `electric_user_id`, as text, is this, empty or NULL
    /// (spec 06 §9). Has no effect on a table without the column.
    pub owner: Option<&'a str>,
}

/// What is wanted of each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All columns, and the tags.
    Rows,
    /// The primary key; all other columns come as NULL, and there are no tags.
    Keys,
}

impl ReadQuery<'_> {
    /// The columns that the query returns, as indexes into the table's, in order.
    pub(super) fn columns(&self) -> Vec<usize> {
        (0..self.table.columns.len())
            .filter(|column| self.wanted == Wanted::Rows || self.table.primary_key.contains(column))
            .collect()
    }

    /// The statement: the tags (for [`Wanted::Rows`]), then the columns.
    pub(super) fn sql(&self) -> String {
        let table = self.table;
        let name = |column: &usize| {
            table.columns.get(*column).map(|column| quote_postgres(&column.name)).unwrap_or_default()
        };
        let mut selected: Vec<String> =
            self.columns().iter().map(|column| format!("m.{}", name(column))).collect();
        let mut from = format!("ONLY {}.{} m", quote_postgres(&table.schema), quote_postgres(&table.name));
        if self.wanted == Wanted::Rows {
            selected.insert(0, "s._tags".to_owned());
            let same: Vec<String> = table.primary_key.iter().map(name).collect();
            let same: Vec<String> = same.iter().map(|key| format!("s.{key} = m.{key}")).collect();
            let shadow = quote_postgres(&table.shadow.name);
            let _ = write!(from, " LEFT JOIN electric.{shadow} s ON {}", same.join(" AND "));
        }
        let has_owner = table.columns.iter().any(|column| column.name == OWNER_COLUMN);
        let filter = match self.owner.filter(|_| has_owner) {
            None => String::new(),
            Some(owner) => {
                let column = quote_postgres(OWNER_COLUMN);
                format!(" WHERE m.{column} IS NULL OR m.{column}::text IN ({}, '')", literal(owner))
            }
        };
        format!("COPY (SELECT {} FROM {from}{filter}) TO STDOUT", selected.join(", "))
    }
}

/// A text as a literal (`standard_conforming_strings` is on). A text with U+0000 equals nothing that Postgres can hold; it becomes
/// one that no token can name.
fn literal(text: &str) -> String {
    if text.contains('\0') {
        return "NULL".to_owned();
    }
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use change::RelationId;
    use schema::{Column, ColumnType, Shadow};

    use super::*;

    fn table() -> Table {
        let column = |name: &str| Column {
            name: name.to_owned(),
            ty: ColumnType::Text,
            modifiers: Vec::new(),
            sql_type: "text".to_owned(),
            collation: None,
            not_null: false,
        };
        Table {
            id: RelationId(1),
            schema: "public".to_owned(),
            name: "My \"items\"".to_owned(),
            columns: ["order", "Key", "electric_user_id", "k2"].map(column).into(),
            primary_key_name: "p".to_owned(),
            primary_key: vec![3, 1],
            foreign_keys: Vec::new(),
            indexes: Vec::new(),
            shadow: Shadow { id: RelationId(2), name: "shadow__1".to_owned(), tag_columns: Vec::new() },
            held_back: None,
        }
    }

    #[test]
    fn quotes_everything() {
        let table = Arc::new(table());
        let rows = ReadQuery { table: &table, wanted: Wanted::Rows, owner: Some("o'); DROP TABLE x; --") };
        assert_eq!(
            rows.sql(),
            "COPY (SELECT s._tags, m.\"order\", m.\"Key\", m.electric_user_id, m.k2 FROM ONLY \
             public.\"My \"\"items\"\"\" m LEFT JOIN electric.shadow__1 s ON s.k2 = m.k2 AND s.\"Key\" = m.\"Key\" \
             WHERE m.electric_user_id IS NULL OR m.electric_user_id::text IN ('o''); DROP TABLE x; --', '')) TO STDOUT"
        );
        let keys = ReadQuery { table: &table, wanted: Wanted::Keys, owner: None };
        assert_eq!(
            keys.sql(),
            "COPY (SELECT m.\"Key\", m.k2 FROM ONLY public.\"My \"\"items\"\"\" m) TO STDOUT"
        );
        assert_eq!(keys.columns(), [1, 3]);
    }
}
