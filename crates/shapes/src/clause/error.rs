//! The messages of refused clauses (spec 06 §3.8).

use super::ClauseError;

/// Longest piece of the clause in bytes that a message repeats.
const MAX_QUOTED: usize = 128;

impl ClauseError {
    /// What is wrong at a byte of the clause, counted from 0.
    pub(super) fn at(location: usize, message: impl AsRef<str>) -> ClauseError {
        ClauseError(format!("At location {location}: {}", message.as_ref()))
    }

    /// A token where the grammar has no use for it; an empty one is the end of the clause.
    pub(super) fn syntax(location: usize, token: &str) -> ClauseError {
        if token.is_empty() {
            return ClauseError::at(location, "syntax error at end of input");
        }
        ClauseError::at(location, format!("syntax error at or near \"{}\"", excerpt(token)))
    }

    /// Grammar that Postgres has and clauses don't, by the name of Postgres' own node.
    pub(super) fn unsupported(location: usize, node: &str) -> ClauseError {
        ClauseError::at(location, format!("{node} is not supported in this context"))
    }

    /// A text that is no value of the type that it is to have.
    pub(super) fn invalid(location: usize, ty: &str, text: &str) -> ClauseError {
        ClauseError::at(location, format!("invalid syntax for type {ty}: {}", excerpt(text)))
    }
}

/// The beginning of a text, so that messages stay short.
pub(super) fn excerpt(text: &str) -> String {
    if text.len() <= MAX_QUOTED {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MAX_QUOTED);
    format!("{}...", text.get(..end).unwrap_or_default())
}
