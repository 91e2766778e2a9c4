//! Why a shape request is refused.

/// A refused shape request: what its `ShapeReqError` says. The message is for the app's developer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ShapeError {
    /// The kind.
    pub code: ShapeErrorCode,
    /// The text on the wire.
    pub message: String,
}

impl ShapeError {
    pub(crate) fn new(code: ShapeErrorCode, message: impl Into<String>) -> ShapeError {
        ShapeError { code, message: message.into() }
    }
}

/// The kinds, with their numbers on the wire (spec 06 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShapeErrorCode {
    /// There is no such table for clients.
    TableNotFound = 1,
    /// Never sent: what a shape refers to is added to it.
    ReferentialIntegrityViolation = 2,
    /// Nothing was asked for.
    EmptyShapeDefinition = 3,
    /// Never sent: a table may occur more than once.
    DuplicateTableInShapeDefinition = 4,
    /// The where-clause can't be used.
    InvalidWhereClause = 5,
    /// The selects or includes can't be used.
    InvalidIncludeTree = 6,
}
