//! Sessions of the user `prisma` (spec 04 §9.7), in which `electric-sql generate` has the database described to it: Postgres
//! answers, and of its answers those rows pass that are about what clients have. So the generated code knows synced tables only, and
//! it does not matter which version of the generator asks.
//!
//! What clients have is read from Postgres over the session's own connection, before the client's first message whenever nothing
//! is under way; the client sees nothing of it. It is the history that the migrations for clients are made from, so that the
//! generated code fits them: a table that clients don't get is not there, nor is a column or foreign key that they don't have.
//!
//! A column's default is shown where clients have it too. Any other is Postgres' alone: a row made in a local database is
//! inserted with all its columns, so the generated code must ask for a value. Identity and serial columns are shown as plain ones for
//! the same reason.
//!
//! Whatever else is asked is answered by Postgres. The session is read-only, since generating needs no writes, unless its client
//! says otherwise: this is a view, not a wall.

mod known;
mod message;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::{Exchange, Frame, Intercept};

use self::{
    known::{HISTORY, Known, LIVE, Reading},
    message::{advised, column_names, describe_portal, is_fatal, query, sync, text, values},
    rows::Rows,
};

/// A session's state.
#[derive(Debug)]
pub struct Introspection {
    /// What Postgres is yet to send, in order.
    expected: VecDeque<Expected>,
    /// The client has begun a round of the extended protocol and not ended it.
    open: bool,
    /// Postgres has refused a message of that round and ignores the rest of it.
    skipping: bool,
    /// Postgres takes `COPY` data in that round, and no Sync.
    copying: bool,
    /// The transaction has failed: Postgres answers no questions.
    failed: bool,
    known: Known,
    reading: Reading,
    /// What the rows to come are about.
    rows: Option<Rows>,
    /// How many of them have passed.
    passed: u64,
}

/// What Postgres is yet to send. Answers that are passed on whatever they are, are not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The answers to our own questions, up to ReadyForQuery.
    Known,
    /// The columns of a statement or portal, asked for by us or by the client.
    Columns { ours: bool },
    /// ReadyForQuery, after a round of the extended protocol.
    Synced,
    /// ReadyForQuery, after a simple query or function call.
    Answered,
}

impl Introspection {
    /// Of a new session.
    #[must_use]
    pub fn new() -> Introspection {
        Introspection {
            expected: VecDeque::new(),
            open: false,
            skipping: false,
            copying: false,
            failed: false,
            known: Known::default(),
            reading: Reading::default(),
            rows: None,
            passed: 0,
        }
    }

    /// Before the client's first message when nothing is under way.
    fn refresh(&mut self, out: &mut Exchange) {
        if self.open || self.failed || !self.expected.is_empty() {
            return;
        }
        query(LIVE, &[], &mut out.to_server);
        query(HISTORY, &[self.known.last().as_bytes()], &mut out.to_server);
        out.server(&sync());
        self.expected.push_back(Expected::Known);
    }

    fn expect(&mut self, expected: Expected) {
        if !self.skipping {
            self.expected.push_back(expected);
        }
    }

    /// An answer to our own questions.
    fn learn(&mut self, frame: &Frame, out: &mut Exchange) {
        match frame.tag() {
            b'D' => self.reading.add(&values(frame.body())),
            // Nothing is shown then that was not known before.
            b'E' if is_fatal(frame.body()) => out.client(frame),
            b'S' | b'N' | b'A' => out.client(frame),
            b'Z' => {
                self.expected.pop_front();
                self.known.learn(std::mem::take(&mut self.reading));
            }
            _ => {}
        }
    }

    /// The columns of the rows to come.
    fn describe(&mut self, frame: &Frame, out: &mut Exchange) {
        let ours = match self.expected.front() {
            Some(Expected::Columns { ours }) => {
                let ours = *ours;
                self.expected.pop_front();
                ours
            }
            _ => false,
        };
        self.rows = match frame.tag() {
            b'T' => Rows::of(&column_names(frame.body())),
            _ => None,
        };
        self.passed = 0;
        if !ours {
            out.client(frame);
        }
    }

    /// Postgres ignores what belongs to the round, up to its Sync.
    fn refused(&mut self) {
        self.copying = false;
        while let Some(Expected::Columns { .. }) = self.expected.front() {
            self.expected.pop_front();
        }
        self.skipping = self.expected.is_empty() && self.open;
    }

    /// A round is over, with all that belonged to it.
    fn settle(&mut self) {
        while let Some(Expected::Columns { .. }) = self.expected.pop_front() {}
    }

    /// Postgres ignores the Syncs that are on their way, too.
    fn copy_in(&mut self) {
        if self.expected.front() != Some(&Expected::Answered) {
            self.expected.clear();
            self.copying = true;
        }
    }
}

impl Default for Introspection {
    fn default() -> Introspection {
        Introspection::new()
    }
}

impl Intercept for Introspection {
    fn from_client(&mut self, frame: Frame, out: &mut Exchange) {
        match frame.tag() {
            b'Q' | b'F' => {
                self.refresh(out);
                self.expect(Expected::Answered);
                self.open = self.skipping;
            }
            b'S' if !self.copying => {
                self.skipping = false;
                self.open = false;
                self.expected.push_back(Expected::Synced);
            }
            b'P' | b'B' | b'C' | b'D' | b'E' => {
                self.refresh(out);
                self.open = true;
                match frame.tag() {
                    b'D' => self.expect(Expected::Columns { ours: false }),
                    b'E' => {
                        let portal = text(frame.body()).map_or(&b""[..], |(portal, _)| portal);
                        out.server(&describe_portal(portal));
                        self.expect(Expected::Columns { ours: true });
                    }
                    _ => {}
                }
            }
            b'c' | b'f' => self.copying = false,
            _ => {}
        }
        out.server(&frame);
    }

    fn from_server(&mut self, frame: Frame, out: &mut Exchange) {
        if self.expected.front() == Some(&Expected::Known) {
            return self.learn(&frame, out);
        }
        match frame.tag() {
            b'T' | b'n' => return self.describe(&frame, out),
            b'D' => {
                let Some(rows) = &self.rows else { return out.client(&frame) };
                if let Some(frame) = rows.pass(frame, &self.known) {
                    self.passed += 1;
                    out.client(&frame);
                }
                return;
            }
            b'C' => {
                let counted = frame.body().starts_with(b"SELECT ") || frame.body().starts_with(b"FETCH ");
                if self.rows.take().is_some() && counted {
                    let verb = frame.body().split(|byte| *byte == b' ').next().unwrap_or_default();
                    let tag = [verb, b" ", self.passed.to_string().as_bytes(), b"\0"].concat();
                    return out.client(&Frame::new(b'C', &tag));
                }
            }
            b's' => self.passed = 0,
            b'E' => {
                self.refused();
                return out.client(&advised(frame));
            }
            b'G' => self.copy_in(),
            b'Z' => {
                self.settle();
                self.failed = frame.body() == b"E";
                self.rows = None;
            }
            _ => {}
        }
        out.client(&frame);
    }

    fn minds_client(&self, tag: u8) -> bool {
        tag != b'd'
    }

    fn minds_server(&self, tag: u8) -> bool {
        match tag {
            _ if self.expected.front() == Some(&Expected::Known) => true,
            b'D' | b'C' => self.rows.is_some(),
            _ => b"TnsEGZ".contains(&tag),
        }
    }
}
