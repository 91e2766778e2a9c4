//! What a walk fills or moves on.

use std::sync::Arc;

use shapes::{Graph, Pass, Plan, Taken, Values, Want};

/// A graph in the midst of a pass, wherever it is kept.
pub trait Target: Send {
    /// The shape.
    fn plan(&self) -> Arc<Plan>;
    /// What has to be read next; everything that was wanted before has been handed in.
    fn next(&mut self) -> Option<Want>;
    /// A row that was wanted.
    fn take<V: Values + ?Sized>(&mut self, want: &Want, row: &V) -> Taken;
}

impl Target for (&mut Graph, &mut Pass) {
    fn plan(&self) -> Arc<Plan> {
        self.0.plan().clone()
    }

    fn next(&mut self) -> Option<Want> {
        self.1.next(self.0)
    }

    fn take<V: Values + ?Sized>(&mut self, want: &Want, row: &V) -> Taken {
        self.1.take(self.0, want, row)
    }
}
