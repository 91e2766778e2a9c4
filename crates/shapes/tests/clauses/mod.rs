//! Where-clauses: what is understood, what is refused, and what is the same (spec 06 §3).

mod canonical;
mod client;
mod fuzzed;
mod messages;
mod precedence;
mod syntax;
mod table;
mod typing;
mod untrusted;
mod values;
mod widened;

use shapes::Clause;

pub use self::table::everything;

#[track_caller]
pub fn clause(text: &str) -> Clause {
    match Clause::parse(text, &everything()) {
        Ok(clause) => clause,
        Err(error) => panic!("{text}: {error}"),
    }
}

/// Each of these is understood.
#[track_caller]
pub fn understood(texts: &[&str]) {
    texts.iter().for_each(|text| _ = clause(text));
}

/// The message with which a clause is refused.
#[track_caller]
pub fn refused(text: &str) -> String {
    match Clause::parse(text, &everything()) {
        Ok(clause) => panic!("{text} is understood as {:?}", clause.expr()),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
pub fn same(one: &str, other: &str) {
    assert_eq!(clause(one).expr(), clause(other).expr(), "{one} is not the same as {other}");
}

#[track_caller]
pub fn different(one: &str, other: &str) {
    assert_ne!(clause(one).expr(), clause(other).expr(), "{one} is the same as {other}");
}
