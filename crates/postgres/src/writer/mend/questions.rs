//! The SQL that asks who refers to whom. Rows are known by their places (`ctid`) where their tables may have no key; a place
//! that is out of date by the time it is used only makes the answer useless, and the transaction is looked at again.

use schema::Table;

use super::constraints::Constraint;
use crate::{
    sql_type::{cast, printed},
    writer::statements::{Arity, Names, constant, join, quote},
};

/// `(columns…, given)` of rows of `child` as they will be → the rows that they will refer to by `key`: where each lives, if it
/// does; whether it is dead and remembered; its primary key, if `parent`, its table, is synced.
pub fn references(child: &Table, key: &Constraint, parent: Option<&Table>) -> Option<String> {
    let names = Names::new(child, Arity::Many);
    let place = |name: &String| child.columns.iter().position(|column| column.name == *name);
    let columns = key.columns.iter().map(place).collect::<Option<Vec<usize>>>()?;
    let value = |n: usize| {
        let column = child.columns.get(n)?;
        let ty = cast(column);
        Some(match child.primary_key.contains(&n) {
            true => format!("u.c{n}::{ty}"),
            false => format!(
                "CASE WHEN get_bit(u.given, {n}) = 1 THEN u.c{n}::{ty} WHEN t.ctid IS NOT NULL THEN t.{} \
                 ELSE (s._image ->> {})::{ty} END",
                quote(&column.name),
                constant(&column.name)
            ),
        })
    };
    let values = columns.iter().map(|n| value(*n)).collect::<Option<Vec<String>>>()?;
    let values = values.iter().enumerate().map(|(n, value)| format!("{value} AS f{n}"));
    let lives = key.referenced.iter().enumerate().map(|(n, name)| format!("p.{} = v.f{n}", quote(name)));
    let (remembered, dead, keys) = match parent {
        None => (String::new(), "false".to_owned(), String::new()),
        Some(parent) => {
            let shadow = Names::new(parent, Arity::Many).shadow;
            let is_key = |name: &String| {
                parent.primary_key.iter().any(|n| parent.columns.get(*n).is_some_and(|c| c.name == *name))
            };
            let equal = |(n, name): (usize, &String)| match is_key(name) {
                true => format!("d.{} = v.f{n}", quote(name)),
                false => {
                    let column = columns.get(n).and_then(|n| child.columns.get(*n));
                    let printed = column.map_or_else(String::new, |c| printed(&format!("v.f{n}"), c));
                    format!("d._image ->> {} = {printed}", constant(name))
                }
            };
            let keys = parent.primary_key.iter().filter_map(|n| parent.columns.get(*n));
            let keys =
                keys.map(|c| format!(", {}", printed(&format!("coalesce(p.{0}, d.{0})", quote(&c.name)), c)));
            (
                format!(
                    " LEFT JOIN {shadow} AS d ON p.ctid IS NULL AND d._tags = '{{}}' AND d._image IS NOT NULL AND {}",
                    join(key.referenced.iter().enumerate().map(equal), " AND ")
                ),
                "d.ctid IS NOT NULL".to_owned(),
                join(keys, ""),
            )
        }
    };
    Some(format!(
        "SELECT DISTINCT p.ctid::text, {dead}{keys} FROM {} LEFT JOIN {} AS t ON {} LEFT JOIN {} AS s ON {} \
         CROSS JOIN LATERAL (SELECT {} OFFSET 0) AS v LEFT JOIN {} AS p ON {}{remembered} WHERE {}",
        names.rows(1, names.columns(), &[("given", "bytea")]),
        names.only,
        names.on_key("t", "u"),
        names.shadow,
        names.on_key("s", "u"),
        join(values, ", "),
        key.parent_name,
        join(lives, " AND "),
        join((0..columns.len()).map(|n| format!("v.f{n} IS NOT NULL")), " AND "),
    ))
}

/// `(keys…)` → the ordinals of the rows that live, and where.
pub fn places(table: &Table) -> String {
    let names = Names::new(table, Arity::Many);
    format!(
        "SELECT u.n, t.ctid::text FROM {}, {} AS t WHERE {}",
        names.numbered_keys(),
        names.only,
        names.on_key("t", "u")
    )
}

/// `(places, numbers)` of rows referred to → the places of the rows that refer to them by `key`, each with the number.
pub fn children(key: &Constraint) -> String {
    let refers = key.columns.iter().zip(&key.referenced);
    format!(
        "SELECT DISTINCT u.n, c.ctid::text FROM unnest($1::text[]::tid[], $2::int8[]) AS u(at, n), {} AS p, {} AS c \
         WHERE p.ctid = u.at AND {}",
        key.parent_name,
        key.child_name,
        join(
            refers.map(|(column, referenced)| format!("c.{} = p.{}", quote(column), quote(referenced))),
            " AND "
        )
    )
}
