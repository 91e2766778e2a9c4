//! Conflict resolution: what becomes of a row when writes meet that did not know of each other (spec 05 §1.4, §7.3).
//!
//! A row lives as long as its set of tags is not empty: a delete takes out the tags that its author had seen, every other
//! operation puts its own in, so adding wins over removing. Each column outside the key is a register in which the
//! greatest tag wins. Both are decided here, in pure functions, from the state before and the operations in order; where
//! rows are kept, and how they are locked, is not known here.
//!
//! Operations with distinct tags may arrive in any order that respects what their authors had seen: the outcome is the
//! same, but for [`RowState::last_tag`], which says who came last.

mod apply;
mod blind;
mod row;

pub use apply::{Effect, apply, fold};
pub use blind::is_blind;
pub use row::{Image, RowState, Standing};
