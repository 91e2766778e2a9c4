//! The module as a whole.

mod grammar;
mod model;
mod protocol;
mod session;
mod strings;
