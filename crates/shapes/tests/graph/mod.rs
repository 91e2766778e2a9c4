//! Graphs against a model that computes membership anew each time.

mod cases;
mod driver;
mod model;
mod property;
mod script;
mod vectors;
