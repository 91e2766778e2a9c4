//! Shape definitions, readable in a test.

use protocol::wire::{SatShapeDef, SatShapeReq, sat_shape_def};

/// Rows of a table, and of those that hang on it:
/// `Select::from("projects").filter("this.status = 'open'").with("project_id", Select::from("issues"))`.
#[derive(Clone, Debug, PartialEq)]
pub struct Select(sat_shape_def::Select);

impl Select {
    /// All rows of a table.
    #[must_use]
    pub fn from(table: &str) -> Select {
        Select(sat_shape_def::Select { tablename: table.into(), ..Default::default() })
    }

    /// Only those for which a where-clause is true.
    #[must_use]
    pub fn filter(mut self, clause: impl Into<String>) -> Select {
        self.0.r#where = clause.into();
        self
    }

    /// Also the rows related by a foreign key, whichever side has it; several columns are separated by commas.
    #[must_use]
    pub fn with(self, key: &str, related: Select) -> Select {
        let columns = key.split(',').filter(|column| !column.is_empty()).map(str::to_owned).collect();
        self.with_relation(sat_shape_def::Relation { foreign_key: columns, select: Some(related.0) })
    }

    /// Also a relation as it would be on the wire, be it nonsense.
    #[must_use]
    pub fn with_relation(mut self, relation: sat_shape_def::Relation) -> Select {
        self.0.include.push(relation);
        self
    }

    /// The same with every where-clause of it changed.
    #[must_use]
    pub fn map_filters(mut self, change: &dyn Fn(&str) -> String) -> Select {
        map_filters(&mut self.0, change);
        self
    }

    /// A request for it.
    #[must_use]
    pub fn request(self, id: impl Into<String>) -> SatShapeReq {
        let shape_definition = Some(SatShapeDef { selects: vec![self.0] });
        SatShapeReq { request_id: id.into(), shape_definition }
    }

    /// The message.
    #[must_use]
    pub fn into_message(self) -> sat_shape_def::Select {
        self.0
    }
}

fn map_filters(select: &mut sat_shape_def::Select, change: &dyn Fn(&str) -> String) {
    select.r#where = change(&select.r#where);
    for related in select.include.iter_mut().filter_map(|relation| relation.select.as_mut()) {
        map_filters(related, change);
    }
}
