//! Postgres: connections, installation, the replication stream, snapshots and the writer.
