//! What the stream hands to sessions.

use std::sync::Arc;

use change::Transaction;
use schema::{Migration, Schema};

/// One committed transaction as it goes to clients, shared by all sessions, with the frames it was encoded to: each
/// distinct set of shapes is encoded once (design: encode once, the same bytes go to every client).
#[derive(Debug)]
pub struct Delivery {
    /// The net changes.
    pub transaction: Transaction,
    /// The schema that its rows are to be read with: the one after the transaction.
    pub schema: Arc<Schema>,
    /// The migration that it carries, if any.
    pub migration: Option<Arc<Migration>>,
}
