//! What talks to Postgres, tested against a private cluster.

mod install;
mod stream;
mod where_oracle;
mod writer;
