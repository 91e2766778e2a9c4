//! Checking a request against the schema (spec 06 §2.4).

use std::sync::Arc;

use schema::{Schema, Table};

use crate::{
    Clause, Direction, RelationDef, SelectDef, ShapeDef, ShapeError, ShapeErrorCode, ShapeLimits,
    relation::Relation,
};

/// Longest table name in bytes that is looked up.
const MAX_TABLE_NAME: usize = 64;
/// Most columns of a foreign key that an error message repeats; Postgres allows no more.
const MAX_KEY_COLUMNS: usize = 32;

/// A select that was found to be in order.
pub(crate) struct Asked {
    pub table: Arc<Table>,
    pub clause: Option<Arc<Clause>>,
    /// Sorted, distinct. A many-to-one relation without further includes is not among them: the referential closure brings the
    /// same rows without being asked (spec 06 §2.7).
    pub include: Vec<(Relation, Asked)>,
}

/// Checks a whole request; the first thing that is wrong is told.
pub(crate) fn check(
    definition: Option<&ShapeDef>,
    schema: &Schema,
    limits: &ShapeLimits,
) -> Result<Asked, ShapeError> {
    let select = match definition.map_or(&[][..], |d| &d.selects) {
        [] => {
            let message = "Empty shape requests are not allowed";
            return Err(ShapeError::new(ShapeErrorCode::EmptyShapeDefinition, message));
        }
        [select] => select,
        _ => return Err(include_error("Cannot have more than one top-level select")),
    };
    let mut check = Check { schema, limits, selects: 0 };
    let mut root = check.select(select)?;
    check.includes(select, &mut root, 1)?;
    Ok(root)
}

struct Check<'a> {
    schema: &'a Schema,
    limits: &'a ShapeLimits,
    /// How many were looked at.
    selects: usize,
}

impl Check<'_> {
    /// The table, then the where-clause; not the includes.
    fn select(&mut self, select: &SelectDef) -> Result<Asked, ShapeError> {
        self.selects += 1;
        self.limits.check_layers(self.selects)?;
        let table = self.table(&select.table)?;
        let clause = self.clause(&select.where_clause, table)?;
        Ok(Asked { table: table.clone(), clause, include: Vec::new() })
    }

    fn table(&self, name: &str) -> Result<&Arc<Table>, ShapeError> {
        let not_found = |message| ShapeError::new(ShapeErrorCode::TableNotFound, message);
        if name.is_empty() || name.len() > MAX_TABLE_NAME || !name.chars().all(is_printable) {
            return Err(not_found("Invalid table name".to_owned()));
        }
        let known = self.schema.table_named(name).filter(|t| t.held_back.is_none());
        known.ok_or_else(|| not_found(format!("Unknown table {name}")))
    }

    fn clause(&self, text: &str, table: &Table) -> Result<Option<Arc<Clause>>, ShapeError> {
        if text.is_empty() {
            return Ok(None);
        }
        self.limits.check_clause(text.len())?;
        let refused =
            |error| ShapeError::new(ShapeErrorCode::InvalidWhereClause, ToString::to_string(&error));
        Clause::parse(text, table).map(|clause| Some(Arc::new(clause))).map_err(refused)
    }

    /// The includes of a select, parents before children, then whether two of them are one. The depth is theirs.
    fn includes(&mut self, select: &SelectDef, parent: &mut Asked, depth: usize) -> Result<(), ShapeError> {
        if select.include.is_empty() {
            return Ok(());
        }
        self.limits.check_depth(depth)?;
        for include in &select.include {
            let Some(select) = &include.select else {
                return Err(include_error("Relation has to have a FK and a select"));
            };
            let mut child = self.select(select)?;
            let relation = Relation::between(&parent.table, &child.table, &include.foreign_key)
                .ok_or_else(|| no_such_relation(&parent.table, &child.table, include))?;
            if relation.direction == Direction::ManyToOne && child.clause.is_some() {
                return Err(include_error("Where clauses are not allowed on many-to-one relations"));
            }
            self.includes(select, &mut child, depth + 1)?;
            parent.include.push((relation, child));
        }
        parent.include.sort_by(|(a, _), (b, _)| a.cmp(b));
        if parent.include.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b)) {
            return Err(include_error("Cannot traverse same relationship twice"));
        }
        parent.include.retain(|(relation, child)| {
            relation.direction == Direction::OneToMany || !child.include.is_empty()
        });
        Ok(())
    }
}

fn no_such_relation(parent: &Table, child: &Table, relation: &RelationDef) -> ShapeError {
    let shown: Vec<String> = relation
        .foreign_key
        .iter()
        .take(MAX_KEY_COLUMNS)
        .map(|c| format!("{:?}", c.chars().take(MAX_TABLE_NAME).collect::<String>()))
        .collect();
    include_error(format!(
        "Relation between {{\"public\", {:?}}} and {{\"public\", {:?}}} over FK [{}] does not exist",
        parent.name,
        child.name,
        shown.join(", ")
    ))
}

fn include_error(message: impl Into<String>) -> ShapeError {
    ShapeError::new(ShapeErrorCode::InvalidIncludeTree, message)
}

fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{FFFE}' | '\u{FFFF}')
}
