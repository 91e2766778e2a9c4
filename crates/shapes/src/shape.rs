//! Shapes that were accepted.

use std::sync::Arc;

use change::{RequestId, UserId};
use schema::Schema;

use crate::{Plan, ShapeDef, ShapeError, ShapeLimits, request};

/// A shape that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The request it answers, named by the client.
    pub request: RequestId,
    /// What it selects.
    pub plan: Arc<Plan>,
}

impl Shape {
    /// Checks a request. `None` stands for a request without a definition.
    ///
    /// # Errors
    /// The first thing that is wrong, depth first (spec 06 §2.4): for each select its table, its where-clause, the way to it,
    /// its includes. Tables that are held back from clients are unknown.
    pub fn new(
        request: RequestId,
        definition: Option<&ShapeDef>,
        schema: &Schema,
        user: &UserId,
        limits: &ShapeLimits,
    ) -> Result<Shape, ShapeError> {
        let asked = request::check(definition, schema, limits)?;
        let plan = Plan::new(asked, schema, user);
        limits.check_layers(plan.layers.len())?;
        Ok(Shape { request, plan: Arc::new(plan) })
    }
}
