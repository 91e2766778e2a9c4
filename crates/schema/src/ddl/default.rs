//! Defaults that clients can have: plain literals that mean the same in SQLite. All others are Postgres' alone.
//!
//! Postgres prints a default as an expression. A literal is a bare number or truth value, or a string behind which stands
//! the type that it is of. How Postgres gets from there to the column's type is not printed, so only where the two are the
//! same, or of one family, is the literal known to be the value.

use super::kind::Kind;
use crate::{Column, ColumnType, identifier::quote_literal};

/// A default's value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Literal {
    Bool(bool),
    /// Digits, perhaps with a sign, a fraction, an exponent: a number in both dialects.
    Number(String),
    Text(String),
}

impl Literal {
    pub(super) fn sqlite(&self) -> String {
        match self {
            Literal::Bool(value) => u8::from(*value).to_string(),
            Literal::Number(digits) => digits.clone(),
            Literal::Text(text) => quote_literal(text),
        }
    }

    /// Without a cast: the column says of which type it is.
    pub(super) fn postgres(&self) -> String {
        match self {
            Literal::Bool(value) => value.to_string(),
            Literal::Number(digits) => digits.clone(),
            Literal::Text(text) => quote_literal(text),
        }
    }
}

/// The column's default, if clients can have it.
pub(super) fn literal(column: &Column) -> Option<Literal> {
    let (value, ty) = parse(column.default.as_deref()?)?;
    let same_type = ty == Some(column.sql_type.as_str());
    let text_type = ty.is_none_or(|ty| ["text", "character varying"].contains(&ty));
    let number = || value.text().filter(|text| is_number(text)).map(str::to_owned);
    match Kind::of_column(&column.ty) {
        Kind::Bool => Some(value).filter(|value| matches!(value, Literal::Bool(_))),
        Kind::Int => number().filter(|text| is_in_range(text, &column.ty)).map(Literal::Number),
        // Exact numbers are texts in SQLite.
        Kind::Decimal => number().map(Literal::Text),
        Kind::Real => number()
            .filter(|text| text.parse().is_ok_and(|number: f64| number.is_finite()))
            .map(Literal::Number),
        // A text shorter than its column's type is padded there.
        Kind::Text if text_type && !column.sql_type.starts_with("character(") => value.into_text(),
        Kind::Uuid | Kind::Enum | Kind::Date | Kind::Json | Kind::Moment("time" | "timestamp")
            if same_type && !column.sql_type.ends_with(']') =>
        {
            value.into_text()
        }
        _ => None,
    }
}

impl Column {
    /// Whether clients have the column's default, so that whoever writes a row there need not give a value.
    #[must_use]
    pub fn has_client_default(&self) -> bool {
        literal(self).is_some()
    }
}

impl Literal {
    fn text(&self) -> Option<&str> {
        match self {
            Literal::Bool(_) => None,
            Literal::Number(text) | Literal::Text(text) => Some(text),
        }
    }

    fn into_text(self) -> Option<Literal> {
        Some(self).filter(|value| matches!(value, Literal::Text(_)))
    }
}

/// A literal and the type that it is printed with; a bare one has none.
fn parse(expression: &str) -> Option<(Literal, Option<&str>)> {
    match expression {
        "true" => return Some((Literal::Bool(true), None)),
        "false" => return Some((Literal::Bool(false), None)),
        number if is_number(number) => return Some((Literal::Number(number.to_owned()), None)),
        _ => {}
    }
    let quoted = expression.strip_prefix('\'')?;
    let mut text = String::with_capacity(quoted.len());
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('\'')?;
        text.push_str(part);
        match after.strip_prefix('\'') {
            Some(after) => {
                text.push('\'');
                rest = after;
            }
            None => {
                let ty = after.strip_prefix("::")?;
                return is_type_name(ty).then_some((Literal::Text(text), Some(ty)));
            }
        }
    }
}

/// Not the beginning of a longer expression. What stands in double quotes may be anything.
fn is_type_name(ty: &str) -> bool {
    let plain = |part: &str| part.chars().all(|c| c.is_alphanumeric() || "_ .()[],".contains(c));
    !ty.is_empty() && ty.split('"').step_by(2).all(plain) && ty.matches('"').count().is_multiple_of(2)
}

/// `-1`, `1.50`, `1e-7`.
fn is_number(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    digits(whole) && digits(fraction) && digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))
}

fn is_in_range(text: &str, ty: &ColumnType) -> bool {
    match ty {
        ColumnType::Int2 => text.parse::<i16>().is_ok(),
        ColumnType::Int4 => text.parse::<i32>().is_ok(),
        _ => text.parse::<i64>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(default: &str, typname: &str, sql_type: &str) -> Option<(String, String)> {
        let column = Column {
            name: "c".into(),
            ty: ColumnType::from_typname(typname).unwrap(),
            modifiers: Vec::new(),
            sql_type: sql_type.into(),
            collation: None,
            default: Some(default.into()),
            identity: None,
            not_null: false,
        };
        literal(&column).map(|literal| (literal.sqlite(), literal.postgres()))
    }

    /// The defaults are as Postgres 15 prints them.
    #[test]
    fn literals_mean_the_same_in_both() {
        for (default, typname, sql_type, sqlite, postgres) in [
            ("'-1'::integer", "int4", "integer", "-1", "-1"),
            ("5", "int8", "bigint", "5", "5"),
            ("'-5000000000'::bigint", "int8", "bigint", "-5000000000", "-5000000000"),
            ("'x'::text", "text", "text", "'x'", "'x'"),
            (
                r"'it''s \ q'::character varying",
                "varchar",
                "character varying",
                r"'it''s \ q'",
                r"'it''s \ q'",
            ),
            ("'x'::text", "varchar", "character varying", "'x'", "'x'"),
            ("'a\nb'::text", "text", "text", "'a\nb'", "'a\nb'"),
            ("''::text", "text", "text", "''", "''"),
            ("true", "bool", "boolean", "1", "true"),
            ("false", "bool", "boolean", "0", "false"),
            ("0.1", "float4", "real", "0.1", "0.1"),
            ("'-2'::integer", "float8", "double precision", "-2", "-2"),
            ("'1e-07'::numeric", "float8", "double precision", "1e-07", "1e-07"),
            (r#"'{"a": 1}'::jsonb"#, "jsonb", "jsonb", r#"'{"a": 1}'"#, r#"'{"a": 1}'"#),
            ("'2020-01-02'::date", "date", "date", "'2020-01-02'", "'2020-01-02'"),
            (
                "'2020-01-02 00:00:00'::timestamp without time zone",
                "timestamp",
                "timestamp without time zone",
                "'2020-01-02 00:00:00'",
                "'2020-01-02 00:00:00'",
            ),
        ] {
            let expected = Some((sqlite.to_owned(), postgres.to_owned()));
            assert_eq!(rendered(default, typname, sql_type), expected, "{default}");
        }
    }

    #[test]
    fn what_is_no_literal_or_means_something_else_stays_in_postgres() {
        for (default, typname, sql_type) in [
            ("now()", "timestamptz", "timestamp with time zone"),
            ("gen_random_uuid()", "uuid", "uuid"),
            ("nextval('t_id_seq'::regclass)", "int4", "integer"),
            ("CURRENT_USER", "text", "text"),
            ("(1 + 1)", "int4", "integer"),
            ("('a'::text || 'b'::text)", "text", "text"),
            ("'a'::text || 'b'::text", "text", "text"),
            ("(3)::numeric", "int4", "integer"),
            ("1.5", "int4", "integer"),
            ("'2147483648'::bigint", "int4", "integer"),
            ("5", "text", "text"),
            ("'NaN'::double precision", "float8", "double precision"),
            ("'a'::bpchar", "text", "text"),
            ("'2020-01-02 00:00:00+00'::timestamp with time zone", "timestamptz", "timestamp with time zone"),
            (
                "'2020-01-02 00:00:00.123456'::timestamp without time zone",
                "timestamp",
                "timestamp(3) without time zone",
            ),
            (r"'\xff'::bytea", "bytea", "bytea"),
            ("'t'::text", "bool", "boolean"),
            ("NULL::integer", "int4", "integer"),
            ("'unfinished", "text", "text"),
            ("'x'", "text", "text"),
            ("", "text", "text"),
            ("-", "int4", "integer"),
            ("1e", "float8", "double precision"),
        ] {
            assert_eq!(rendered(default, typname, sql_type), None, "{default}");
        }
    }
}
