//! Instances against a real Postgres that is written to while they are filled and moved on.

mod budget;
mod evolution;
mod history;
mod oracle;
mod outage;
mod sharing;
pub(crate) mod support;
mod writers;
