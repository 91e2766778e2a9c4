//! Op logs for clients, written straight to bytes (spec 02 §8).
//!
//! [`OpLogWriter`] encodes transactions and move-in blocks, [`InsertEncoder`] and [`GoneEncoder`] the rows and keys of a
//! query as it is read. All cut their output into frames, each a whole WebSocket message, and none builds the generated
//! message types: what they write is byte for byte what those would give.

mod frames;
mod initial;
mod put;
mod row;
mod transaction;

pub use frames::{FRAME_LEN, OPS_PER_FRAME};
pub use initial::{GoneEncoder, InsertEncoder};
pub use transaction::{OpLogWriter, TransactionHead};

/// A row can't be encoded faithfully. It comes from the service's own reading of Postgres, so this is a fault of the
/// service or of its session settings, never of a client; sending anything in its place would corrupt replicas.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The row was read under another definition of the table.
    #[error("a row of table \"{table}\" has not the {columns} values that the table has columns")]
    ColumnCount {
        /// The table's name.
        table: String,
        /// How many columns it has.
        columns: usize,
    },
    /// A `bytea` does not have the form that `bytea_output = hex` gives it.
    #[error("column \"{column}\" of table \"{table}\" was not read with bytea_output = hex")]
    NotHex {
        /// The table's name.
        table: String,
        /// The column's name.
        column: String,
    },
}
