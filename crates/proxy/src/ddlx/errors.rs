//! What Postgres says of a text that isn't the client's, in terms of the client's.

use super::{
    fields::{CODE, CONTEXT, DETAIL, Fields, HINT, INTERNAL_POSITION, INTERNAL_QUERY, MESSAGE, POSITION},
    rewriting::Rewriting,
};
use crate::Frame;

/// What helps where a statement is not understood.
const STATEMENTS: &str = "Statements are ALTER TABLE <table> ENABLE ELECTRIC and ALTER TABLE <table> DISABLE ELECTRIC. \
    A table's name that is a keyword needs double quotes.";

/// An error or a notice as the client is to have it: with positions in the string that the client sent, and, if it comes from
/// one of `ours`, without the functions behind it. What Postgres can't parse because it is wrong DDLX is called that (spec
/// 04 §3.3).
#[must_use]
pub fn translated(frame: &Frame, rewriting: Option<&Rewriting>, ours: bool) -> Frame {
    let mut fields = Fields::of(frame);
    let position = fields.number(POSITION);
    if let (Some(rewriting), Some(position)) = (rewriting, position) {
        let wrong = rewriting.wrong.as_ref().filter(|wrong| wrong.holds(position));
        if let (Some(wrong), Some(b"42601")) = (wrong, fields.get(CODE)) {
            fields.set(MESSAGE, b"Invalid ELECTRIC statement");
            fields.set(DETAIL, wrong.detail.as_bytes());
            fields.set(HINT, STATEMENTS.as_bytes());
            fields.remove(POSITION);
            fields.set(INTERNAL_POSITION, wrong.position.to_string().as_bytes());
            fields.set(INTERNAL_QUERY, &wrong.statement);
        } else {
            fields.set(POSITION, rewriting.original_position(position).to_string().as_bytes());
        }
    } else if position.is_some() && ours {
        // The place is in a text that the client does not know.
        fields.remove(POSITION);
    }
    if ours {
        fields.remove(CONTEXT);
    }
    fields.frame()
}
