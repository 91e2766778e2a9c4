//! The answers to a query string in which statements were replaced.

use super::{
    errors::translated,
    rewriting::{Answer, Rewriting},
};
use crate::{Exchange, Frame};

/// A string that is being run, statement by statement.
#[derive(Debug)]
pub struct Simple {
    rewriting: Rewriting,
    /// How many statements are done.
    done: usize,
    /// The answer of a statement that the guard looks at.
    withheld: Option<Frame>,
}

impl Simple {
    /// At the beginning of it.
    #[must_use]
    pub fn new(rewriting: Rewriting) -> Simple {
        Simple { rewriting, done: 0, withheld: None }
    }

    /// A CommandComplete.
    pub fn completed(&mut self, frame: Frame, out: &mut Exchange) {
        let answer = match self.rewriting.answers.front() {
            Some((number, _)) if *number == self.done => {
                self.rewriting.answers.pop_front().map(|(_, answer)| answer)
            }
            _ => None,
        };
        self.done += 1;
        match answer {
            None => out.client(&frame),
            Some(Answer::Tagged(tag)) => out.client(&command_complete(tag)),
            Some(Answer::Guarded) => self.withheld = Some(frame),
            Some(Answer::Guard) => {
                if let Some(frame) = self.withheld.take() {
                    out.client(&frame);
                }
            }
        }
    }

    /// An error or a notice. After an error nothing of the string is run.
    #[must_use]
    pub fn told(&self, frame: &Frame) -> Frame {
        let ours = match self.rewriting.answers.front() {
            Some((number, Answer::Tagged(_) | Answer::Guard)) => *number == self.done,
            _ => false,
        };
        translated(frame, Some(&self.rewriting), ours)
    }
}

/// A CommandComplete with this tag.
#[must_use]
pub fn command_complete(tag: &str) -> Frame {
    Frame::new(b'C', &[tag.as_bytes(), b"\0"].concat())
}
