//! A query string in which statements have been replaced, and the way back from its places to those of the client's string.

use std::{collections::VecDeque, ops::Range};

use super::{
    encoding::Encoding,
    guard::GUARD,
    reading::{Found, What},
};

/// What a client must not get as it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The statement has another command tag.
    Tagged(&'static str),
    /// The statement is done only when the guard has let it pass.
    Guarded,
    /// The guard; nobody asked for it.
    Guard,
}

/// A statement that looks like DDLX but is not, so that Postgres is going to refuse the string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Its characters in the string that Postgres is given, from 0.
    span: Range<usize>,
    /// Its text.
    pub statement: Vec<u8>,
    /// Why it is none.
    pub detail: String,
    /// The character of the statement where that shows, from 1.
    pub position: usize,
}

impl Wrong {
    /// Whether a position that Postgres gave, from 1, is in it.
    #[must_use]
    pub fn holds(&self, position: usize) -> bool {
        position.checked_sub(1).is_some_and(|at| self.span.contains(&at))
    }
}

/// A replaced piece. Counted in characters, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edit {
    given: Range<usize>,
    original: Range<usize>,
}

/// What Postgres is given for a client's string, and what is to be known when it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewriting {
    edits: Vec<Edit>,
    /// By the number of the statement among those that Postgres is given, from 0; in order.
    pub answers: VecDeque<(usize, Answer)>,
    /// The first statement that Postgres can't parse.
    pub wrong: Option<Wrong>,
}

impl Rewriting {
    /// Replaces what was found in a string. With `guards`, the guard is put behind every statement that may change the schema.
    /// The second part of the answer is what Postgres is to be given; `None` for the string as it is.
    #[must_use]
    pub fn new(
        text: &[u8],
        found: &[Found],
        guards: bool,
        encoding: Encoding,
    ) -> (Rewriting, Option<Vec<u8>>) {
        let guard = format!(";{GUARD}").into_bytes();
        let mut rewriting = Rewriting::default();
        let mut given = Vec::with_capacity(text.len() + found.len() * guard.len());
        // How far the string has been taken over, in bytes, and how many characters there are up to there.
        let (mut taken, mut original_count, mut given_count, mut hidden) = (0, 0, 0, 0);
        let slice = |span: Range<usize>| text.get(span).unwrap_or_default();
        for Found { number, span, what, .. } in found {
            let before = slice(taken..span.start);
            let statement = slice(span.clone());
            let (before_count, length) = (encoding.count(before), encoding.count(statement));
            given.extend_from_slice(before);
            taken = span.end;
            original_count += before_count;
            given_count += before_count;
            let number = number + hidden;
            let replacement = match what {
                What::Replaced(replacement, tag) => {
                    rewriting.answers.push_back((number, Answer::Tagged(tag)));
                    let count = encoding.count(replacement);
                    rewriting.edits.push(Edit {
                        given: given_count..given_count + count,
                        original: original_count..original_count + length,
                    });
                    given_count += count;
                    replacement
                }
                What::Tagged(_) | What::Wrong(_) | What::Changing => {
                    if let What::Tagged(tag) = what {
                        rewriting.answers.push_back((number, Answer::Tagged(tag)));
                    }
                    if let (What::Wrong(misfit), None) = (what, &rewriting.wrong) {
                        rewriting.wrong = Some(Wrong {
                            span: given_count..given_count + length,
                            statement: statement.to_vec(),
                            detail: misfit.detail.clone(),
                            position: encoding.count(statement.get(..misfit.at).unwrap_or(statement)) + 1,
                        });
                    }
                    given_count += length;
                    statement
                }
            };
            given.extend_from_slice(replacement);
            original_count += length;
            if guards && *what == What::Changing {
                rewriting.answers.extend([(number, Answer::Guarded), (number + 1, Answer::Guard)]);
                rewriting.edits.push(Edit {
                    given: given_count..given_count + guard.len(),
                    original: original_count..original_count,
                });
                given.extend_from_slice(&guard);
                given_count += guard.len();
                hidden += 1;
            }
        }
        given.extend_from_slice(text.get(taken..).unwrap_or_default());
        let changed = !rewriting.edits.is_empty();
        (rewriting, changed.then_some(given))
    }

    /// The position, from 1, in the client's string for one in the string that Postgres was given. What is within a replaced
    /// piece is where that piece begins.
    #[must_use]
    pub fn original_position(&self, position: usize) -> usize {
        let Some(at) = position.checked_sub(1) else { return position };
        let before = self.edits.partition_point(|edit| edit.given.start <= at);
        match before.checked_sub(1).and_then(|last| self.edits.get(last)) {
            None => position,
            Some(edit) if at < edit.given.end => edit.original.start + 1,
            Some(edit) => at - edit.given.end + edit.original.end + 1,
        }
    }
}
