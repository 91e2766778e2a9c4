//! Everything that talks to Postgres: connections, the replication stream and its decoder, snapshots for initial data, and
//! what is stored about clients.
//!
//! A change made in Postgres arrives as bytes on the [`replication`] connection, is taken apart by [`pgoutput`], and put
//! together again by [`assemble`] as a net [`change::Transaction`]. Initial data is read by [`snapshot`]. Positions in the
//! write-ahead log tie the two together (spec 06 §5.5).

pub mod assemble;
pub mod catalogue;
pub mod clients;
pub mod connection;
pub mod drift;
pub mod install;
pub mod pgoutput;
mod pulse;
pub mod replication;
pub mod snapshot;
pub mod socket;
mod sql_type;
pub mod tag_text;
pub mod tls;
pub mod url;
pub mod wire;
pub mod writer;
