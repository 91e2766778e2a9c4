//! The real test: the real binary, a real Postgres, real clients and native writers, under faults, for a bounded time; and the
//! program that checks the history of it (spec 05 §6, §8).

pub mod check;
pub mod history;
