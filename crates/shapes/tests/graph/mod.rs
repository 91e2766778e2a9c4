//! Graphs against a model that computes membership anew each time.

mod cases;
mod cycles;
mod driver;
mod economy;
mod model;
mod property;
mod script;
mod vectors;
