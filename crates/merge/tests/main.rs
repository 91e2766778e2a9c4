//! The test vectors of spec 05 §8, and the promise that order does not matter.

mod blind;
mod commutes;
mod model;
mod script;
mod single_rows;
mod vectors;

/// Plays a vector on the pure model alone.
fn play(script: &str) {
    script::play(script, |steps| {
        let mut model = model::Model::default();
        for (number, step) in steps.iter().enumerate() {
            model.play(step, 2_000_000_000_000 + number as i64);
        }
        model
    });
}
