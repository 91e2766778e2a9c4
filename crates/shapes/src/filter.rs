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
    owner: Option<Owner>,
}

/// Whose rows pass: the user's, and nobody's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Owner {
    column: usize,
    /// How the column's values name the user.
    user: UserId,
    /// The text of an empty value.
    nobody: Box<str>,
}

impl Owner {
    fn of(column: usize, table: &Table, user: &UserId) -> Owner {
        let padded = table.columns.get(column).filter(|column| column.ty == ColumnType::Bpchar);
        match padded.and_then(|column| column.modifiers.first()).and_then(|n| usize::try_from(*n).ok()) {
            // Every value of char(n) ends with as many spaces as it takes. A user whose name ends with one can't be told from
            // another there.
            Some(length) if !user.as_str().ends_with(' ') => {
                let user = UserId::new(&format!("{:length$}", user.as_str()));
                Owner { column, user, nobody: " ".repeat(length).into() }
            }
            Some(length) => Owner { column, user: UserId::new(""), nobody: " ".repeat(length).into() },
            None => Owner { column, user: user.clone(), nobody: "".into() },
        }
    }

    fn owns(&self, value: Option<&[u8]>) -> bool {
        value.is_none_or(|value| value == self.nobody.as_bytes() || value == self.user.as_str().as_bytes())
    }
}

impl Filter {
    /// For rows of `table` as `user` may see them: its own, and those whose owner is NULL or empty.
    #[must_use]
    pub fn new(clause: Option<Arc<Clause>>, table: &Table, user: &UserId) -> Filter {
        let is_true = |clause: &Clause| *clause.expr() == Expr::Const(Some(Value::Bool(true)), Type::Bool);
        Filter {
            clause: clause.filter(|clause| !is_true(clause)),
            owner: table.owner_column().map(|column| Owner::of(column, table, user)),
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
        let owned = self.owner.as_ref().is_none_or(|owner| owner.owns(row.value(owner.column)));
        owned && self.clause.as_ref().is_none_or(|clause| clause.matches(row))
    }

    /// A condition for Postgres that is true of every row that passes, as [`Clause::sql`] makes it.
    #[must_use]
    pub fn sql(&self, table: &Table, alias: &str) -> Option<String> {
        let clause = self.clause.as_ref().and_then(|clause| clause.sql(table, alias));
        let owner = self
            .owner
            .as_ref()
            .and_then(|owner| table.columns.get(owner.column).map(|column| owner_sql(column, owner, alias)));
        match (clause, owner) {
            (Some(clause), Some(owner)) => Some(format!("({owner}) AND ({clause})")),
            (one, other) => one.or(other),
        }
    }

    /// The columns it looks at, sorted.
    #[must_use]
    pub fn columns(&self) -> Vec<usize> {
        let mut columns = self.clause.as_ref().map_or_else(Vec::new, |clause| clause.columns());
        columns.extend(self.owner.as_ref().map(|owner| owner.column));
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Where the routing index files it: under the values of one column without which no row passes, if there is such a column; by
    /// the owner rather than by anything else.
    #[must_use]
    pub fn route(&self) -> Route {
        let owner = self.owner.as_ref().map(|owner| (owner.column, [owner.user.as_str(), &owner.nobody]));
        routing::route(self.clause.as_ref().map(|clause| clause.expr()), owner)
    }
}

/// True of the rows whose owner is the user, NULL or empty, and never raises. An index on the column can serve wherever its
/// type allows it.
fn owner_sql(column: &Column, owner: &Owner, alias: &str) -> String {
    let name = format!("{alias}.{}", quote_postgres(&column.name));
    let user = owner.user.as_str();
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
        // This equality forgives spaces at the end, so that none are needed here.
        ColumnType::Bpchar => Some(one_of(&name, user.trim_end_matches(' '))),
        // Cast to text, these would have a length that printing leaves out.
        ColumnType::Inet | ColumnType::Cidr => Some(one_of(&format!("textin(inet_out({name}))"), user)),
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
