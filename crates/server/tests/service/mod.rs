//! The service against a real Postgres: one private cluster for all tests but those that break it, a database for each.

mod connection;
mod drift;
mod durable;
mod gap;
mod http;
mod lost_slot;
mod migrating;
mod outage;
mod proxy;
mod refused;
mod routing;
mod stop;
mod streaming;
mod support;
mod writes;
