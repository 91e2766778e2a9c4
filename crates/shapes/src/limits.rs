//! How much one shape request may ask for (spec 06 §2.9).

use crate::{ShapeError, ShapeErrorCode};

/// Includes nested deeper than this are refused whatever the limits say: they are walked by recursion.
const MAX_DEPTH: usize = 64;

/// Bounds on one shape request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeLimits {
    /// Deepest nesting of includes; 64 at most, whatever stands here.
    pub depth: usize,
    /// Most layers, the referential closure included.
    pub layers: usize,
    /// Longest where-clause, in bytes.
    pub clause: usize,
}

impl Default for ShapeLimits {
    fn default() -> ShapeLimits {
        ShapeLimits { depth: 16, layers: 256, clause: 256 << 10 }
    }
}

impl ShapeLimits {
    /// Whether includes may stand at this depth; those of the top-level select stand at 1.
    pub(crate) fn check_depth(&self, depth: usize) -> Result<(), ShapeError> {
        let most = self.depth.min(MAX_DEPTH);
        if depth <= most {
            return Ok(());
        }
        Err(include_error(format!(
            "Includes are nested more than {most} levels deep: sync the deeper tables with a shape of their own"
        )))
    }

    /// Whether a shape may have this many layers.
    pub(crate) fn check_layers(&self, layers: usize) -> Result<(), ShapeError> {
        if layers <= self.layers {
            return Ok(());
        }
        Err(include_error(format!(
            "The shape takes more than {} steps through includes and the tables that they refer to: split it into several \
             shapes with fewer includes",
            self.layers
        )))
    }

    /// Whether a where-clause may have this many bytes.
    pub(crate) fn check_clause(&self, bytes: usize) -> Result<(), ShapeError> {
        if bytes <= self.clause {
            return Ok(());
        }
        Err(ShapeError::new(
            ShapeErrorCode::InvalidWhereClause,
            format!(
                "The where-clause has {bytes} bytes, and {} are allowed: select by a column that the rows have in common, \
                 rather than by a long list of values",
                self.clause
            ),
        ))
    }
}

fn include_error(message: String) -> ShapeError {
    ShapeError::new(ShapeErrorCode::InvalidIncludeTree, message)
}
