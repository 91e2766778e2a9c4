//! What Postgres has been sent and not yet answered.

use std::{collections::VecDeque, sync::Arc};

use super::{
    prepared::{Known, Label},
    simple::Simple,
};

/// A message to Postgres that is going to be answered.
#[derive(Debug)]
pub enum Item {
    /// Query; with what is to be done about the answers, if anything is.
    Query(Option<Box<Simple>>),
    /// FunctionCall.
    FunctionCall,
    /// Parse; its name and what is known of it, while anything is known of any statement.
    Parse(Option<Box<(Label, Option<Arc<Known>>)>>),
    /// Bind: portal, statement.
    Bind(Box<(Label, Label)>),
    /// Close of a statement (`S`) or a portal (`P`).
    Close(Box<(u8, Label)>),
    /// Execute.
    Execute {
        /// Its portal, while anything is known of any.
        portal: Option<Label>,
        /// It may change the schema: not done before the guard has let it pass.
        guarded: bool,
    },
    /// Something of our own.
    Hidden(Step),
    /// The client's end of `COPY` data.
    CopyEnd,
    /// Sync.
    Sync,
}

/// A message of our own to Postgres, by its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Parse.
    Parse,
    /// Bind.
    Bind,
    /// Describe, of which the client is to see what it would have seen without asking.
    Describe,
    /// The guard's Execute, upon which the guarded statement is done.
    Guard,
    /// Close.
    Close,
}

/// The messages in order. As long as what is between the client and Postgres: both stop reading from a peer that does not
/// read.
#[derive(Debug, Default)]
pub struct Pending {
    items: VecDeque<Item>,
    /// Statements on their way of which something is known.
    known: usize,
    /// Postgres leaves everything aside until Sync, which the client has not sent.
    skipping: bool,
    /// Postgres takes `COPY` data in the extended protocol, of which the client has not sent the end. It leaves Sync aside.
    copying: bool,
}

impl Pending {
    /// What is being answered.
    #[must_use]
    pub fn head(&self) -> Option<&Item> {
        self.items.front()
    }

    /// What is being answered.
    pub fn head_mut(&mut self) -> Option<&mut Item> {
        self.items.front_mut()
    }

    /// Whether a statement is on its way of which something is known.
    #[must_use]
    pub fn knows(&self) -> bool {
        self.known > 0
    }

    /// Whether Postgres will leave aside what is sent now, unless it is Sync.
    #[must_use]
    pub fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// Something has been sent to Postgres.
    pub fn push(&mut self, item: Item) {
        match item {
            Item::Sync if self.copying => return,
            Item::Sync => self.skipping = false,
            _ if self.copying => {
                self.copying = false;
                return;
            }
            Item::CopyEnd if self.items.is_empty() => return,
            _ if self.skipping => return,
            _ => {}
        }
        self.known += usize::from(is_known(&item));
        self.items.push_back(item);
    }

    /// What was being answered is done.
    pub fn pop(&mut self) -> Option<Item> {
        let item = self.take();
        // An end of data that is not taken as such means nothing.
        while matches!(self.head(), Some(Item::CopyEnd)) {
            self.take();
        }
        item
    }

    fn take(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.known -= usize::from(is_known(&item));
        Some(item)
    }

    /// ReadyForQuery: everything up to what it answers is done.
    pub fn ready(&mut self) {
        self.copying = false;
        while let Some(item) = self.pop() {
            if matches!(item, Item::Query(_) | Item::FunctionCall | Item::Sync) {
                return;
            }
        }
    }

    /// An error. In the extended protocol Postgres now leaves everything aside until Sync.
    pub fn failed(&mut self) {
        if matches!(self.head(), Some(Item::Query(_) | Item::FunctionCall)) {
            return;
        }
        self.copying = false;
        while !matches!(self.head(), Some(Item::Sync)) {
            if self.take().is_none() {
                self.skipping = true;
                return;
            }
        }
    }

    /// Postgres asks for `COPY` data. In the extended protocol it leaves Sync aside until the data's end, and is out of sorts
    /// about anything else, of which it takes no further notice.
    pub fn copy_in(&mut self) {
        if !matches!(self.head(), Some(Item::Execute { .. })) {
            return;
        }
        let end = self.items.iter().skip(1).position(|item| !matches!(item, Item::Sync));
        self.copying = end.is_none();
        let through = end.map_or(self.items.len(), |end| end + 2);
        self.known -= self.items.drain(1..through).filter(is_known).count();
    }
}

fn is_known(item: &Item) -> bool {
    matches!(item, Item::Parse(Some(parse)) if parse.1.is_some())
}
