//! The SQL of a read. Nothing that a user wrote is spliced in but names from the catalogue, quoted literals, and the condition that
//! the caller has made.

use std::fmt::Write;

use schema::{Table, quote_postgres};

use super::keys::Keys;

/// How statements call the table that they read: what conditions have to write before the names of columns.
pub const ALIAS: &str = "m";

/// What is to be read of a table.
#[derive(Clone, Copy, Debug)]
pub struct ReadQuery<'a> {
    /// The table.
    pub table: &'a Table,
    /// What of its rows.
    pub wanted: Wanted<'a>,
    /// A condition in SQL on the columns of [`ALIAS`], for rows to be left out early. It must not be able to raise.
    pub condition: Option<&'a str>,
    /// Only rows with these values.
    pub keys: Option<Keys<'a>>,
}

/// What is wanted of each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// All columns, and the tags.
    Rows,
    /// These columns, as indexes into the table's in any order, and the primary key. All others come as NULL, and there are
    /// no tags.
    Columns(&'a [usize]),
}

impl ReadQuery<'_> {
    /// The columns that the query returns, as indexes into the table's, in order.
    pub(super) fn columns(&self) -> Vec<usize> {
        let is_wanted = |column: &usize| match self.wanted {
            Wanted::Rows => true,
            Wanted::Columns(columns) => columns.contains(column) || self.table.primary_key.contains(column),
        };
        (0..self.table.columns.len()).filter(is_wanted).collect()
    }

    /// The statement: the tags (for [`Wanted::Rows`]), then the columns.
    pub(super) fn sql(&self) -> String {
        let table = self.table;
        let name = |column: &usize| {
            table.columns.get(*column).map(|column| quote_postgres(&column.name)).unwrap_or_default()
        };
        let mut selected: Vec<String> =
            self.columns().iter().map(|column| format!("{ALIAS}.{}", name(column))).collect();
        let mut from = self.from();
        if self.wanted == Wanted::Rows {
            selected.insert(0, "s._tags".to_owned());
            let same: Vec<String> = table.primary_key.iter().map(name).collect();
            let same: Vec<String> = same.iter().map(|key| format!("s.{key} = {ALIAS}.{key}")).collect();
            let shadow = quote_postgres(&table.shadow.name);
            let _ = write!(from, " LEFT JOIN electric.{shadow} s ON {}", same.join(" AND "));
        }
        format!("COPY (SELECT {} FROM {from}{}) TO STDOUT", selected.join(", "), self.restriction())
    }

    /// The statement that counts the rows, but not further than `limit`.
    pub(super) fn count_sql(&self, limit: u64) -> String {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        format!(
            "SELECT count(*) FROM (SELECT FROM {}{} LIMIT {limit}) counted",
            self.from(),
            self.restriction()
        )
    }

    fn from(&self) -> String {
        format!("ONLY {}.{} {ALIAS}", quote_postgres(&self.table.schema), quote_postgres(&self.table.name))
    }

    fn restriction(&self) -> String {
        let keys = self.keys.map(|keys| keys.sql(self.table));
        match (self.condition, keys) {
            (None, None) => String::new(),
            (Some(condition), None) => format!(" WHERE {condition}"),
            (None, Some(keys)) => format!(" WHERE {keys}"),
            (Some(condition), Some(keys)) => format!(" WHERE ({condition}) AND {keys}"),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use change::{RelationId, Row};
    use schema::{Column, ColumnType, Shadow};
    use shapes::Key;

    use super::*;

    pub(in crate::snapshot) fn column(name: &str, ty: ColumnType, sql_type: &str) -> Column {
        Column {
            name: name.to_owned(),
            ty,
            modifiers: Vec::new(),
            sql_type: sql_type.to_owned(),
            collation: None,
            not_null: false,
            default: None,
            identity: None,
        }
    }

    pub(in crate::snapshot) fn table(columns: Vec<Column>) -> Table {
        Table {
            id: RelationId(1),
            schema: "public".to_owned(),
            name: "My \"items\"".to_owned(),
            columns,
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
        let text = |name| column(name, ColumnType::Text, "text");
        let table = table(["order", "Key", "v", "k2"].map(text).into());
        let all = ReadQuery { table: &table, wanted: Wanted::Rows, condition: None, keys: None };
        assert_eq!(
            ReadQuery { condition: Some("m.v = 'a' OR true"), ..all }.sql(),
            "COPY (SELECT s._tags, m.\"order\", m.\"Key\", m.v, m.k2 FROM ONLY \
             public.\"My \"\"items\"\"\" m LEFT JOIN electric.shadow__1 s ON s.k2 = m.k2 AND s.\"Key\" = m.\"Key\" \
             WHERE m.v = 'a' OR true) TO STDOUT"
        );
        let keys = ReadQuery { wanted: Wanted::Columns(&[]), ..all };
        assert_eq!(
            keys.sql(),
            "COPY (SELECT m.\"Key\", m.k2 FROM ONLY public.\"My \"\"items\"\"\" m) TO STDOUT"
        );
        assert_eq!(keys.columns(), [1, 3]);
        assert_eq!(ReadQuery { wanted: Wanted::Columns(&[3, 2]), ..all }.columns(), [1, 2, 3]);
        let row: Row = [Some(b"x".as_slice())].into_iter().collect();
        let values: Vec<Key> = Key::of(&row, &[0]).into_iter().collect();
        let some = ReadQuery {
            condition: Some("a OR b"),
            keys: Some(Keys { columns: &[2], values: &values }),
            ..keys
        };
        assert_eq!(
            some.count_sql(7),
            "SELECT count(*) FROM (SELECT FROM ONLY public.\"My \"\"items\"\"\" m WHERE (a OR b) AND \
             m.v = ANY ('{\"x\"}'::text[]) LIMIT 7) counted"
        );
    }
}
