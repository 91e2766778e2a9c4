//! Restricting a read to rows with certain values, thousands of them in one statement.

use schema::{Column, ColumnType, Table, quote_postgres};
use shapes::Key;

use super::query::ALIAS;
use crate::sql_type::cast;

/// Rows whose `columns` have one of the `values`. A few thousand values make one statement; more should become several.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// Indexes into the table's columns.
    pub columns: &'a [usize],
    /// Each the values of those columns, as Postgres prints them. One that the columns can't have is passed over.
    pub values: &'a [Key],
}

impl Keys<'_> {
    /// The condition: values as one array for each column, which leaves the statement's plan alone however many they are.
    pub(super) fn sql(&self, table: &Table) -> String {
        let columns: Option<Vec<&Column>> = self.columns.iter().map(|at| table.columns.get(*at)).collect();
        let columns = columns.unwrap_or_default();
        let mut arrays: Vec<String> = columns.iter().map(|_| String::from("'{")).collect();
        let mut is_empty = true;
        for key in self.values {
            let texts =
                key.values(columns.len()).zip(&columns).map(|(value, column)| text(value, &column.ty));
            let Some(texts) = texts.collect::<Option<Vec<&str>>>() else { continue };
            for (array, text) in arrays.iter_mut().zip(texts) {
                if !is_empty {
                    array.push(',');
                }
                push_element(array, text);
            }
            is_empty = false;
        }
        if is_empty || columns.is_empty() {
            return "false".to_owned();
        }
        for (array, column) in arrays.iter_mut().zip(&columns) {
            array.push_str("}'::");
            array.push_str(&cast(column));
            array.push_str("[]");
        }
        let names: Vec<String> =
            columns.iter().map(|column| format!("{ALIAS}.{}", quote_postgres(&column.name))).collect();
        match (names.as_slice(), arrays.as_slice()) {
            ([name], [array]) => format!("{name} = ANY ({array})"),
            _ => format!("({}) IN (SELECT * FROM unnest({}))", names.join(", "), arrays.join(", ")),
        }
    }
}

/// Appends a text as an element of an array that stands in a literal (`standard_conforming_strings` is on).
fn push_element(array: &mut String, text: &str) {
    array.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => array.extend(['\\', char]),
            '\'' => array.push_str("''"),
            _ => array.push(char),
        }
    }
    array.push('"');
}

/// The value as text, if a column of this type can print it. A foreign key may tie columns of different types; what only the other
/// one can have equals nothing here, and must not make a cast fail.
fn text<'a>(value: &'a [u8], ty: &ColumnType) -> Option<&'a str> {
    let text = std::str::from_utf8(value).ok().filter(|text| !text.contains('\0'))?;
    let can_be = match ty {
        ColumnType::Int2 => text.parse::<i16>().is_ok(),
        ColumnType::Int4 => text.parse::<i32>().is_ok(),
        ColumnType::Int8 => text.parse::<i64>().is_ok(),
        ColumnType::Float4 => text.parse::<f32>().is_ok_and(|n| is_float(n.into(), text)),
        ColumnType::Float8 => text.parse::<f64>().is_ok_and(|n| is_float(n, text)),
        ColumnType::Date => !text.contains(':') && (text.contains('-') || text == "infinity"),
        ColumnType::Timestamp | ColumnType::Timestamptz => text.contains(':') || text.ends_with("infinity"),
        ColumnType::Bool
        | ColumnType::Text
        | ColumnType::Varchar
        | ColumnType::Uuid
        | ColumnType::Time
        | ColumnType::Jsonb
        | ColumnType::Bytea
        | ColumnType::Enum(_) => true,
        // No foreign key is made of these (docs/types.md).
        ColumnType::Numeric
        | ColumnType::Bpchar
        | ColumnType::Citext
        | ColumnType::Timetz
        | ColumnType::Interval
        | ColumnType::Json
        | ColumnType::Inet
        | ColumnType::Cidr => false,
    };
    can_be.then_some(text)
}

/// Whether the text is that of the number, which is not one that it had to be rounded to for being too large or too small.
fn is_float(n: f64, text: &str) -> bool {
    match text {
        "0" | "-0" | "Infinity" | "-Infinity" | "NaN" => true,
        _ => n.is_finite() && n != 0.0,
    }
}

#[cfg(test)]
mod tests {
    use change::Row;

    use super::*;
    use crate::snapshot::query::tests::{column, table};

    fn keys(rows: &[&[&str]]) -> Vec<Key> {
        let row = |row: &&[&str]| -> Row { row.iter().map(|text| Some(text.as_bytes())).collect() };
        let columns: Vec<usize> = (0..rows.first().map_or(0, |row| row.len())).collect();
        rows.iter().filter_map(|values| Key::of(&row(values), &columns)).collect()
    }

    #[test]
    fn values_are_elements_of_arrays_whatever_they_are() {
        let table = table(vec![
            column("a", ColumnType::Varchar, "character varying(3)"),
            column("Order", ColumnType::Timestamp, "timestamp(3) without time zone"),
        ]);
        let one = keys(&[&["a"], &["b'\"\\,{}"], &[""], &["NULL"]]);
        assert_eq!(
            Keys { columns: &[0], values: &one }.sql(&table),
            r#"m.a = ANY ('{"a","b''\"\\,{}","","NULL"}'::varchar[])"#
        );
        let two = keys(&[&["2020-01-01 00:00:00", "x"], &["infinity", "y"]]);
        assert_eq!(
            Keys { columns: &[1, 0], values: &two }.sql(&table),
            "(m.\"Order\", m.a) IN (SELECT * FROM unnest('{\"2020-01-01 00:00:00\",\"infinity\"}'::timestamp[], '{\"x\",\"y\"}'::varchar[]))"
        );
    }

    #[test]
    fn what_a_column_can_not_have_is_passed_over() {
        let sql = |ty, name: &str, values: &[&[&str]]| {
            let table = table(vec![column("a", ty, name)]);
            Keys { columns: &[0], values: &keys(values) }.sql(&table)
        };
        let ints: &[&[&str]] = &[&["1"], &["5000000000"], &["x"], &["1.5"]];
        assert_eq!(sql(ColumnType::Int4, "integer", ints), r#"m.a = ANY ('{"1"}'::int4[])"#);
        assert_eq!(sql(ColumnType::Int4, "integer", &[&["x"]]), "false");
        assert_eq!(sql(ColumnType::Int4, "integer", &[]), "false");
        assert_eq!(sql(ColumnType::Text, "text", &[&["a\0"]]), "false");
        let floats: &[&[&str]] = &[&["1e+300"], &["1e-300"], &["-Infinity"], &["NaN"], &["0.5"]];
        assert_eq!(
            sql(ColumnType::Float4, "real", floats),
            r#"m.a = ANY ('{"-Infinity","NaN","0.5"}'::float4[])"#
        );
        let times: &[&[&str]] = &[&["2020-01-01"], &["2020-01-01 00:00:00+00"], &["infinity"]];
        assert_eq!(
            sql(ColumnType::Date, "date", times),
            r#"m.a = ANY ('{"2020-01-01","infinity"}'::date[])"#
        );
        assert_eq!(
            sql(ColumnType::Timestamptz, "timestamp with time zone", times),
            r#"m.a = ANY ('{"2020-01-01 00:00:00+00","infinity"}'::timestamptz[])"#
        );
        let of_no_column = Keys { columns: &[7], values: &keys(&[&["1"]]) };
        assert_eq!(of_no_column.sql(&table(Vec::new())), "false");
    }
}
