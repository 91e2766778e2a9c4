//! Checking a request against the schema (spec 06 §2.4).

use std::sync::Arc;

use change::{RequestId, UserId};
use schema::{Schema, Table};

use crate::{Plan, RelationDef, SelectDef, ShapeDef, ShapeError, ShapeErrorCode};

/// Longest table name in bytes that is looked up.
const MAX_TABLE_NAME: usize = 64;
/// Deepest nesting of includes that is looked at.
const MAX_DEPTH: usize = 32;
/// Most columns of a foreign key that an error message repeats; Postgres allows no more.
const MAX_KEY_COLUMNS: usize = 32;

/// A shape that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The request it answers, named by the client.
    pub request: RequestId,
    /// What it selects.
    pub plan: Arc<Plan>,
}

/// Bounds on one shape request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeLimits {
    /// Deepest nesting of includes.
    pub depth: usize,
    /// Most layers, the referential closure included.
    pub layers: usize,
    /// Longest where-clause, in bytes.
    pub clause: usize,
}

impl Default for ShapeLimits {
    fn default() -> ShapeLimits {
        ShapeLimits { depth: 16, layers: 256, clause: 256 << 10 }
    }
}

impl Shape {
    /// Checks a request. `None` stands for a request without a definition.
    ///
    /// # Errors
    /// The first thing that is wrong, depth first: for each select its table, its where-clause, the way to it, its
    /// includes. Tables that are held back from clients are unknown.
    pub fn new(
        request: RequestId,
        definition: Option<&ShapeDef>,
        schema: &Schema,
        user: &UserId,
        limits: &ShapeLimits,
    ) -> Result<Shape, ShapeError> {
        let _ = (user, limits);
        let select = match definition.map_or(&[][..], |d| &d.selects) {
            [] => {
                let message = "Empty shape requests are not allowed";
                return Err(ShapeError::new(ShapeErrorCode::EmptyShapeDefinition, message));
            }
            [select] => select,
            _ => return Err(include_error("Cannot have more than one top-level select")),
        };
        let table = check_select(select, schema)?;
        check_includes(select, table, schema, 0)?;
        if !select.include.is_empty() {
            return Err(include_error(
                "Includes are not supported by this version yet: sync each table with a shape of its own",
            ));
        }
        todo!()
    }
}

/// The table, then the where-clause.
fn check_select<'a>(select: &SelectDef, schema: &'a Schema) -> Result<&'a Table, ShapeError> {
    let not_found = |message| ShapeError::new(ShapeErrorCode::TableNotFound, message);
    let name = &select.table;
    if name.is_empty() || name.len() > MAX_TABLE_NAME || !name.chars().all(is_printable) {
        return Err(not_found("Invalid table name".to_owned()));
    }
    let known = schema.table_named(name).filter(|t| t.held_back.is_none());
    let table = known.ok_or_else(|| not_found(format!("Unknown table {name}")))?;
    if !select.where_clause.is_empty() {
        return Err(ShapeError::new(
            ShapeErrorCode::InvalidWhereClause,
            "Where-clauses are not supported by this version yet: sync the whole table",
        ));
    }
    Ok(table)
}

fn check_includes(
    select: &SelectDef,
    parent: &Table,
    schema: &Schema,
    depth: usize,
) -> Result<(), ShapeError> {
    if depth == MAX_DEPTH && !select.include.is_empty() {
        return Err(include_error(format!("Includes are nested more than {MAX_DEPTH} levels deep")));
    }
    let mut seen = Vec::with_capacity(select.include.len());
    for relation in &select.include {
        let Some(child_select) = &relation.select else {
            return Err(include_error("Relation has to have a FK and a select"));
        };
        let child = check_select(child_select, schema)?;
        let direction = direction(parent, child, &relation.foreign_key)
            .ok_or_else(|| include_error(no_such_relation(parent, child, relation)))?;
        check_includes(child_select, child, schema, depth + 1)?;
        seen.push((child.id, &relation.foreign_key, direction));
    }
    seen.sort_unstable();
    if seen.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(include_error("Cannot traverse same relationship twice"));
    }
    Ok(())
}

/// Which of two tables refers to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    OneToMany,
    ManyToOne,
}

/// A key of the child is looked for first (spec 06 §2.5).
fn direction(parent: &Table, child: &Table, columns: &[String]) -> Option<Direction> {
    if refers(child, parent, columns) {
        Some(Direction::OneToMany)
    } else if refers(parent, child, columns) {
        Some(Direction::ManyToOne)
    } else {
        None
    }
}

fn refers(from: &Table, to: &Table, columns: &[String]) -> bool {
    from.foreign_keys.iter().filter(|fk| fk.references == to.id).any(|fk| {
        let names = fk.columns.iter().map(|i| from.columns.get(*i).map(|c| c.name.as_str()));
        names.eq(columns.iter().map(|c| Some(c.as_str())))
    })
}

fn no_such_relation(parent: &Table, child: &Table, relation: &RelationDef) -> String {
    let shown: Vec<String> = relation
        .foreign_key
        .iter()
        .take(MAX_KEY_COLUMNS)
        .map(|c| format!("{:?}", c.chars().take(MAX_TABLE_NAME).collect::<String>()))
        .collect();
    format!(
        "Relation between {{\"public\", {:?}}} and {{\"public\", {:?}}} over FK [{}] does not exist",
        parent.name,
        child.name,
        shown.join(", ")
    )
}

fn include_error(message: impl Into<String>) -> ShapeError {
    ShapeError::new(ShapeErrorCode::InvalidIncludeTree, message)
}

fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{FFFE}' | '\u{FFFF}')
}
