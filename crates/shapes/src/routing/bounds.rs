//! The ends of a range, with the order in which they lie.

use std::ops::Bound;

use crate::clause::Value;

/// A lower end. The greater of two admits fewer values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Low {
    /// None.
    Infinite,
    /// At a value; whether the value itself is left out.
    At(Value, bool),
}

/// An upper end. The lesser of two admits fewer values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum High {
    /// At a value; whether the value itself is in.
    At(Value, bool),
    /// None.
    Infinite,
}

impl Low {
    pub fn admits(&self, value: &Value) -> bool {
        match self {
            Low::Infinite => true,
            Low::At(end, false) => end <= value,
            Low::At(end, true) => end < value,
        }
    }
}

impl High {
    pub fn admits(&self, value: &Value) -> bool {
        match self {
            High::Infinite => true,
            High::At(end, true) => value <= end,
            High::At(end, false) => value < end,
        }
    }
}

/// Whether no value lies between.
pub(super) fn is_empty(low: &Low, high: &High) -> bool {
    match (low, high) {
        (Low::At(least, left_out), High::At(greatest, is_in)) => {
            least > greatest || (least == greatest && (*left_out || !is_in))
        }
        _ => false,
    }
}

impl From<&Bound<Value>> for Low {
    fn from(bound: &Bound<Value>) -> Low {
        match bound {
            Bound::Unbounded => Low::Infinite,
            Bound::Included(value) => Low::At(value.clone(), false),
            Bound::Excluded(value) => Low::At(value.clone(), true),
        }
    }
}

impl From<&Bound<Value>> for High {
    fn from(bound: &Bound<Value>) -> High {
        match bound {
            Bound::Unbounded => High::Infinite,
            Bound::Included(value) => High::At(value.clone(), true),
            Bound::Excluded(value) => High::At(value.clone(), false),
        }
    }
}

impl From<Low> for Bound<Value> {
    fn from(low: Low) -> Bound<Value> {
        match low {
            Low::Infinite => Bound::Unbounded,
            Low::At(value, false) => Bound::Included(value),
            Low::At(value, true) => Bound::Excluded(value),
        }
    }
}

impl From<High> for Bound<Value> {
    fn from(high: High) -> Bound<Value> {
        match high {
            High::Infinite => Bound::Unbounded,
            High::At(value, true) => Bound::Included(value),
            High::At(value, false) => Bound::Excluded(value),
        }
    }
}
