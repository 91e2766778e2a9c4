//! Why a client's writes are refused, in two texts: one for the client, which may quote its own values, and one for the
//! log, which never does.

use std::fmt;

use change::{ClientLsn, ClientTransaction, RefusedTransaction};

use crate::{error::ErrorCode, value::Refusal, wire::SatErrorResp};

/// An op log is refused (spec 03 §6.2). `Display` and `Debug` are safe to log.
#[derive(Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The transactions before the offending one that count all the same: when what is wrong is not a matter of the message, but
    /// of what the transaction does (a primary key changed, a table is not synced any more).
    pub accepted: Vec<ClientTransaction>,
    /// The position to name in the error; in the same cases.
    pub lsn: Option<ClientLsn>,
    /// The text for the client. It may quote the refused value: not for logs.
    pub client_message: String,
    /// What was wrong.
    pub reason: RejectionReason,
    /// The position of the transaction in which it was found, if it had begun.
    pub position: Option<u64>,
    /// The transaction itself, for an operator to decide about; `None` if the client has broken the protocol, so that its operations can't
    /// be told, or if transactions before it in the message were not accepted.
    pub transaction: Option<Box<RefusedTransaction>>,
}

/// What is wrong with an op log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RejectionReason {
    /// A value is not one of its column's type.
    #[error("column \"{column}\" of table \"{table}\" can't have the value given")]
    Value {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// NULL where the client's relation or the table says NOT NULL.
    #[error("column \"{column}\" of table \"{table}\" can't be NULL")]
    Null {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The number of values is not that of the relation's columns, or the null bitmask does not fit the values.
    #[error("a row of table \"{table}\" does not fit its relation: {problem}")]
    Row {
        /// The table.
        table: String,
        /// What does not fit.
        problem: &'static str,
    },
    /// An operation lacks the row it is about.
    #[error("{operation} of table \"{table}\" without its row")]
    MissingRow {
        /// The operation.
        operation: &'static str,
        /// The table.
        table: String,
    },
    /// An update changes a primary key (spec 02 §6.5).
    #[error("primary key of table \"{table}\" can't be changed")]
    ImmutableKey {
        /// The table.
        table: String,
    },
    /// No `SatRelation` with this id came before.
    #[error("relation {0} was not announced")]
    UnknownRelation(u32),
    /// The announced table no longer has the columns.
    #[error("relation of table \"{0}\" is out of date: the table has changed")]
    StaleRelation(String),
    /// Clients have the table, but it is no longer synced.
    #[error(
        "table \"{table}\" is not synced any more, and what is written to it can't be taken: undo that in the local database, or \
         have the table electrified again"
    )]
    NotSynced {
        /// The table.
        table: String,
    },
    /// A tag is not of the form `origin@milliseconds`.
    #[error("malformed tag on an operation of table \"{0}\"")]
    Tag(String),
    /// An operation, or a commit, outside a transaction.
    #[error("operation outside a transaction: `begin` must come first")]
    NoTransaction,
    /// A begin inside a transaction.
    #[error("`begin` inside a transaction: `commit` must come first")]
    NestedTransaction,
    /// The position in `begin` is empty or longer than eight bytes.
    #[error("`begin` needs a position (lsn) of 1 to 8 bytes")]
    Position,
    /// The timestamp in `begin` is later than Postgres can store.
    #[error("commit timestamp out of range: it is given in milliseconds")]
    Timestamp,
    /// An operation that only servers send.
    #[error("clients can't send `{0}` operations")]
    ServerOnly(&'static str),
    /// No operation, or one of another protocol version.
    #[error("operation of unknown kind")]
    UnknownOperation,
    /// More than [`super::InboundLimits`] allows.
    #[error("transaction too large: write less at a time")]
    TooLarge,
    /// The log is no protobuf.
    #[error("malformed op log")]
    Malformed,
}

impl Rejection {
    /// The error that the client gets: `INVALID_REQUEST`. The close code after it is 1007.
    #[must_use]
    pub fn response(&self) -> SatErrorResp {
        let error = SatErrorResp::new(ErrorCode::InvalidRequest, self.client_message.clone());
        match &self.lsn {
            Some(lsn) => error.at(lsn.as_bytes().clone()),
            None => error,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "client transaction {position}: {}", self.reason),
            None => self.reason.fmt(f),
        }
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("reason", &self.reason)
            .field("position", &self.position)
            .field("accepted", &self.accepted.len())
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Rejection {}

/// A [`Rejection`] in the making.
#[derive(Clone)]
pub(super) struct Fault {
    reason: RejectionReason,
    /// For the client, where the reason alone does not do.
    client_message: Option<String>,
}

impl Fault {
    /// A value was refused.
    pub(super) fn value(table: &str, column: &str, refusal: Refusal) -> Fault {
        let reason = RejectionReason::Value { table: table.to_owned(), column: column.to_owned() };
        Fault { reason, client_message: Some(refusal.0) }
    }

    /// Whether the transactions before it count all the same.
    pub(super) fn spares_earlier(&self) -> bool {
        matches!(self.reason, RejectionReason::NotSynced { .. } | RejectionReason::StaleRelation(_))
    }

    /// `at` is the position of the transaction in which it was found.
    pub(super) fn reject(self, at: Option<ClientLsn>, accepted: Vec<ClientTransaction>) -> Rejection {
        let lsn = at.clone().filter(|_| self.spares_earlier());
        let Fault { reason, client_message } = self;
        let client_message = client_message.unwrap_or_else(|| reason.to_string());
        let position = at.map(|lsn| lsn.position());
        Rejection { accepted, lsn, client_message, reason, position, transaction: None }
    }
}

impl From<RejectionReason> for Fault {
    fn from(reason: RejectionReason) -> Fault {
        Fault { reason, client_message: None }
    }
}
