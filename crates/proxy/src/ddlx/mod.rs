//! The statements that plain Postgres can't parse, translated (spec 04 §2, §3, §9.4, §9.5).
//!
//! [`Ddlx`] reads every query string. Where it finds DDLX, it gives Postgres a `CALL` of the service's own procedures in its place, and
//! the client the command tag and the positions that go with what it wrote; everything else passes byte for byte, and
//! transactions, errors and their consequences are Postgres' own in either case. A statement that is nearly DDLX is sent
//! as it is: Postgres can't parse it, refuses the whole string as it does with any other, and only the error's text is
//! made to fit.
//!
//! A string is read in three steps: [`lexer`] makes tokens of it, [`statements`] cuts it, and [`grammar`] understands what
//! it should. [`reading`] and [`rewriting`] make a new one. What Postgres answers is matched with what it was asked by
//! [`pending`], in the order in which Postgres takes the messages. Where the database can't watch its schema by itself,
//! [`guard`] does it from here.

mod encoding;
mod errors;
mod expression;
mod fields;
mod grammar;
mod guard;
mod lexer;
mod machine;
mod name;
mod parser;
mod pending;
mod prepared;
mod reading;
mod rewriting;
mod search;
mod simple;
mod statements;
#[cfg(test)]
mod tests;

pub use machine::Ddlx;
