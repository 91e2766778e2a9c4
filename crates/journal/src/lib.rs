//! The window of transactions that clients can resume from.
