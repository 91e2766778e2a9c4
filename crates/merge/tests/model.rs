//! One row under client and native writes, without Postgres.

use std::collections::HashMap;

use change::{ClientId, Field, Tag, Tags};
use merge::{Image, RowState, fold};

use super::script::{COLUMNS, FUTURE, Native, Step, tag_of};

/// The row, and what is needed to play steps on it.
#[derive(Clone, Debug)]
pub struct Model {
    /// The row.
    pub state: RowState,
    acknowledged: HashMap<ClientId, u64>,
    /// When the native transaction of a line began.
    begun: HashMap<usize, i64>,
}

impl Default for Model {
    fn default() -> Model {
        Model {
            state: RowState::unknown(1 + COLUMNS.len()),
            acknowledged: HashMap::new(),
            begun: HashMap::new(),
        }
    }
}

impl Model {
    /// Plays one transaction; a native one begins at `now`, milliseconds since the epoch.
    pub fn play(&mut self, step: &Step, now: i64) {
        match step {
            Step::Untracked(values) => {
                let values = [Field::Null].into_iter().chain(values.iter().cloned()).collect();
                self.state = RowState::untracked(values, &[0]);
            }
            Step::Native(line, ops) => {
                self.begun.insert(*line, now);
                for op in ops {
                    native(op, now, &mut self.state);
                }
            }
            Step::Client(tx) => {
                let last = self.acknowledged.entry(tx.client.clone()).or_default();
                if tx.lsn.position() > *last {
                    *last = tx.lsn.position();
                    fold(&tx.ops, &tag_of(tx), &mut self.state);
                }
            }
        }
    }

    /// The tag that a script means: `PG@n` is what line n's transaction gives a row that knows no later tag.
    pub fn resolve(&self, text: &str) -> Tag {
        match text.strip_prefix("PG@") {
            Some("f") => Tag::postgres(FUTURE),
            Some(line) => Tag::postgres(self.begun[&line.parse().expect("a line number")]),
            None => text.replace("@f", &format!("@{FUTURE}")).parse().expect("a tag"),
        }
    }
}

/// What the triggers do for a native write of a transaction that began at `now` (spec 05 §1.5, §7.2).
fn native(op: &Native, now: i64, state: &mut RowState) {
    let known = state.column_tags.iter().chain([&state.last_tag]).flatten().map(|tag| tag.ms);
    let tag = Tag::postgres(known.fold(now, i64::max));
    match op {
        Native::Insert(values) => {
            let values = [Field::Null].into_iter().chain(values.iter().cloned()).collect();
            *state = RowState::untracked(values, &[0]);
            state.column_tags.iter_mut().flatten().for_each(|column| *column = tag.clone());
        }
        Native::Update(changes) => {
            let Image::Known(values) = &mut state.image else { panic!("there is no row to update") };
            for (column, value) in changes {
                let column = column + 1;
                if values[column] != *value {
                    values[column] = value.clone();
                    state.column_tags[column] = Some(tag.clone());
                }
            }
        }
        Native::Delete => {}
    }
    state.tags = match op {
        Native::Delete => Tags::new(),
        _ => [tag.clone()].into_iter().collect(),
    };
    state.last_tag = Some(tag);
}
