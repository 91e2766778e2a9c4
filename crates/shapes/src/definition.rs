//! A shape as a client words it (spec 06 §2.1).

/// What a client wants of one shape request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShapeDef {
    /// Exactly one is legal.
    pub selects: Vec<SelectDef>,
}

/// Rows of one table, and of others that hang on them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelectDef {
    /// The table's name, in schema `public`.
    pub table: String,
    /// Which rows; empty for all.
    pub where_clause: String,
    /// Related tables.
    pub include: Vec<RelationDef>,
}

/// The way to a related table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelationDef {
    /// The columns of a foreign key, on whichever of the two tables has it.
    pub foreign_key: Vec<String>,
    /// What is wanted there; a request without it is refused.
    pub select: Option<SelectDef>,
}
