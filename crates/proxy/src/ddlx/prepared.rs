//! Prepared statements and portals by their names.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::rewriting::Rewriting;

/// A name of a prepared statement or a portal; empty for the unnamed one.
pub type Label = Box<[u8]>;

/// A prepared statement that isn't what the client wrote.
#[derive(Debug)]
pub struct Known {
    /// The command tag that the client gets.
    pub tag: Option<&'static str>,
    /// What became of its text.
    pub rewriting: Rewriting,
}

/// What Postgres has, of what isn't as the client wrote it. Follows Postgres' answers.
#[derive(Debug, Default)]
pub struct Prepared {
    statements: HashMap<Label, Arc<Known>>,
    portals: HashMap<Label, Arc<Known>>,
}

impl Prepared {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty() && self.portals.is_empty()
    }

    /// What is known of a portal.
    #[must_use]
    pub fn portal(&self, label: &[u8]) -> Option<&Known> {
        self.portals.get(label).map(|known| &**known)
    }

    /// A statement has been prepared.
    pub fn parsed(&mut self, label: Label, known: Option<Arc<Known>>) {
        match known {
            Some(known) => self.statements.insert(label, known),
            None => self.statements.remove(&label),
        };
    }

    /// A portal has been made of a statement.
    pub fn bound(&mut self, portal: Label, statement: &[u8]) {
        match self.statements.get(statement) {
            Some(known) => self.portals.insert(portal, Arc::clone(known)),
            None => self.portals.remove(&portal),
        };
    }

    /// A statement (`S`) or a portal (`P`) has been closed.
    pub fn closed(&mut self, kind: u8, label: &[u8]) {
        match kind {
            b'S' => self.statements.remove(label),
            _ => self.portals.remove(label),
        };
    }

    /// Portals end with their transaction.
    pub fn transaction_ended(&mut self) {
        self.portals.clear();
    }
}

/// What there may be, of what may change the schema. Follows the client's messages, which Postgres may yet refuse, most often
/// because a name is taken: so that a name is not given up before it is closed, and at worst a guard is run for nothing.
#[derive(Debug, Default)]
pub struct Changing {
    statements: HashSet<Label>,
    portals: HashSet<Label>,
}

impl Changing {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty() && self.portals.is_empty()
    }

    /// Whether running this portal may change the schema.
    #[must_use]
    pub fn has_portal(&self, label: &[u8]) -> bool {
        self.portals.contains(label)
    }

    /// A statement is prepared.
    pub fn parse(&mut self, label: &[u8], changing: bool) {
        take_over(&mut self.statements, label, changing);
    }

    /// A portal is made of a statement.
    pub fn bind(&mut self, portal: &[u8], statement: &[u8]) {
        take_over(&mut self.portals, portal, self.statements.contains(statement));
    }

    /// A statement (`S`) or a portal (`P`) is closed.
    pub fn close(&mut self, kind: u8, label: &[u8]) {
        match kind {
            b'S' => self.statements.remove(label),
            _ => self.portals.remove(label),
        };
    }

    /// Portals end with their transaction.
    pub fn transaction_ended(&mut self) {
        self.portals.clear();
    }
}

fn take_over(labels: &mut HashSet<Label>, label: &[u8], changing: bool) {
    if changing {
        labels.insert(label.into());
    } else if label.is_empty() {
        labels.remove(label);
    }
}
