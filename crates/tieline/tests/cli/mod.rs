//! The commands that need no service: keys and tokens.

mod command;
mod keys;
mod token;
