//! What a row of a layer has to pass: where ∧ owner (spec 06 §9).

use std::sync::Arc;

use change::UserId;
use schema::{Column, ColumnType, Table, quote_postgres};

use crate::{
    Clause, Route, Values,
    clause::{Expr, Type, Value},
    routing,
};

/// The where-clause and the owner's test, as one condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Never one that is constantly true.
    clause: Option<Arc<Clause>>,
    /// The column `electric_user_id` and who may see its rows.
    owner: Option<(usize, UserId)>,
}

impl Filter {
    /// For rows of `table` as `user` may see them: its own, and those whose owner is NULL or empty.
    #[must_use]
    pub fn new(clause: Option<Arc<Clause>>, table: &Table, user: &UserId) -> Filter {
        let is_true = |clause: &Clause| *clause.expr() == Expr::Const(Some(Value::Bool(true)), Type::Bool);
        Filter {
            clause: clause.filter(|clause| !is_true(clause)),
            owner: table.owner_column().map(|column| (column, user.clone())),
        }
    }

    /// Whether every row passes.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.clause.is_none() && self.owner.is_none()
    }

    /// Whether a row of the table passes.
    #[must_use]
    pub fn matches<V: Values + ?Sized>(&self, row: &V) -> bool {
        let owned = self.owner.as_ref().is_none_or(|(column, user)| match row.value(*column) {
            None | Some(b"") => true,
            Some(owner) => owner == user.as_str().as_bytes(),
        });
        owned && self.clause.as_ref().is_none_or(|clause| clause.matches(row))
    }

    /// A condition for Postgres that is true of every row that passes, as [`Clause::sql`] makes it.
    #[must_use]
    pub fn sql(&self, table: &Table, alias: &str) -> Option<String> {
        let clause = self.clause.as_ref().and_then(|clause| clause.sql(table, alias));
        let owner = self.owner.as_ref().and_then(|(column, user)| {
            table.columns.get(*column).map(|column| owner_sql(column, user, alias))
        });
        match (clause, owner) {
            (Some(clause), Some(owner)) => Some(format!("({owner}) AND ({clause})")),
            (one, other) => one.or(other),
        }
    }

    /// The columns it looks at, sorted.
    #[must_use]
    pub fn columns(&self) -> Vec<usize> {
        let mut columns = self.clause.as_ref().map_or_else(Vec::new, |clause| clause.columns());
        columns.extend(self.owner.as_ref().map(|(column, _)| *column));
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Where the routing index files it: under the values of one column without which no row passes, if there is such a column; by
    /// the owner rather than by anything else.
    #[must_use]
    pub fn route(&self) -> Route {
        let owner = self.owner.as_ref().map(|(column, user)| (*column, user.as_str()));
        routing::route(self.clause.as_ref().map(|clause| clause.expr()), owner)
    }
}

/// True of the rows whose owner is the user, NULL or empty, and never raises. An index on the column can serve wherever its
/// type allows it.
fn owner_sql(column: &Column, user: &UserId, alias: &str) -> String {
    let name = format!("{alias}.{}", quote_postgres(&column.name));
    let user = user.as_str();
    let equal = match &column.ty {
        ColumnType::Text | ColumnType::Varchar => Some(one_of(&name, user)),
        // Of these, no value is empty, and each has one text.
        ColumnType::Uuid => is_canonical_uuid(user).then(|| format!("{name} = '{user}'::uuid")),
        ColumnType::Int2 => is_canonical::<i16>(user).then(|| format!("{name} = '{user}'::int2")),
        ColumnType::Int4 => is_canonical::<i32>(user).then(|| format!("{name} = '{user}'::int4")),
        ColumnType::Int8 => is_canonical::<i64>(user).then(|| format!("{name} = '{user}'::int8")),
        // Cast to text, it would be spelt out.
        ColumnType::Bool => match user {
            "t" => Some(name.clone()),
            "f" => Some(format!("NOT {name}")),
            _ => None,
        },
        _ => Some(one_of(&format!("{name}::text"), user)),
    };
    match equal {
        Some(equal) => format!("{name} IS NULL OR {equal}"),
        None => format!("{name} IS NULL"),
    }
}

/// Whether a text is empty or the user.
fn one_of(text: &str, user: &str) -> String {
    if user.is_empty() || user.contains('\0') {
        // Postgres has no text with U+0000.
        format!("{text} = ''")
    } else {
        format!("{text} IN ('', {})", literal(user))
    }
}

/// A string literal, however `standard_conforming_strings` is set.
fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

fn is_canonical<T: std::str::FromStr + ToString>(text: &str) -> bool {
    text.parse::<T>().is_ok_and(|number| number.to_string() == text)
}

/// Lower-case hexadecimal digits, in groups of 8, 4, 4, 4 and 12.
fn is_canonical_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}
