//! The service put together: configuration, HTTP, WebSocket connections and the sessions behind them, the stream from Postgres
//! and who is woken for what, start, supervision and stop.
//!
//! What is hard to get right is decided elsewhere (`session`, `protocol`, `merge`, `auth`); this crate carries bytes, answers
//! and time between those and the outside world.

mod backend;
pub mod config;
mod connection;
mod connector;
mod connector_error;
mod database;
mod drift;
mod gate;
mod history;
mod http;
mod initial;
mod instances;
mod proxy;
mod readiness;
mod records;
mod registry;
mod service;
mod stream;
mod walk;
mod watchers;
mod websocket;

pub use config::Config;
pub use postgres::writer::rejected;
pub use service::Service;
