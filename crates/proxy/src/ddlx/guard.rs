//! Watching the schema from here, where the database can't do it by itself (tier 2, spec 04 §11).
//!
//! After every statement that may change the schema Postgres is asked, in the same transaction, to compare the synced tables
//! with what it remembers of them: what clients can follow is captured, what they can't is refused, as if event triggers had
//! done it. What a statement does by way of a function (`SELECT change_things()`) can't be known from its text; that is found
//! later, by the detector of drift.

use super::statements::Statement;

/// The comparison. Without schema `electric`, which may just have been dropped, there is nothing to compare.
pub const GUARD: &str = "DO $electric$BEGIN IF pg_catalog.to_regprocedure('electric.guard_all()') IS NOT NULL \
    THEN CALL electric.guard_all(); END IF; END$electric$";

/// The name of its prepared statement and its portal, while there are any.
pub const LABEL: &[u8] = b"electric.guard";

/// Objects that belong to no database, or to another one, and objects that are gone with the session. Most statements on them
/// can't run in a transaction block.
const ELSEWHERE: [&str; 10] = [
    "database",
    "group",
    "role",
    "subscription",
    "system",
    "tablespace",
    "temp",
    "temporary",
    "user",
    "local",
];

/// Whether this statement may change a table, judged by how it begins.
#[must_use]
pub fn may_change(statement: &Statement<'_>) -> bool {
    if ["alter", "create", "drop"].iter().any(|word| statement.begins(&[word])) {
        let object = statement.word(1);
        return !ELSEWHERE.iter().any(|word| object.eq_ignore_ascii_case(word.as_bytes()));
    }
    statement.begins(&["do"]) || statement.begins(&["call"])
}
