//! What is to be done with a client transaction.

use change::ClientTransaction;

use super::rejected::Settled;

/// A transaction on its way into Postgres.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The transaction.
    pub tx: &'a ClientTransaction,
    /// What becomes of its entry among those that were rejected, should it have one.
    pub settles: Option<Settled>,
    /// Whether to return when it is committed, though it may not be durable yet.
    pub hasty: bool,
}

impl<'a> Job<'a> {
    /// The same for another form of the transaction.
    pub fn with<'b>(self, tx: &'b ClientTransaction) -> Job<'b> {
        Job { tx, ..self }
    }

    /// Whether nothing of the transaction is to be written.
    pub fn is_withdrawal(self) -> bool {
        self.settles == Some(Settled::Discarded)
    }

    /// How rows are merged.
    pub fn manner(self) -> Manner {
        if self.is_withdrawal() { Manner::Withdraw } else { Manner::Apply }
    }
}

/// How the operations of a transaction meet the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As their author meant them (spec 05 §1.4).
    Apply,
    /// They change nothing; but their author, who believes that they do, hears how things are: rows that live are touched, with
    /// what the operations had seen gone from the tags, and those that don't are said to be deleted.
    Withdraw,
}
