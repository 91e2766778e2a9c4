//! The merge rule.

use change::{ClientOp, ClientOpKind, Field, Tag};

use crate::{Image, RowState};

/// What the operations of one transaction come to for one row: the one thing that the world sees of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The row was dead or unknown and lives now.
    Insert,
    /// The row lived and lives; maybe only its tags have changed, and the others must hear of that too (spec 05 §7.4).
    Update,
    /// The row lived and is dead now.
    Delete,
    /// The row was dead and is, but what is remembered of it has changed.
    Bury,
    /// Nothing was known of the row, and nothing is.
    Nothing,
}

/// Applies all operations of one transaction on one row, in their order, and says what they come to.
///
/// One transaction has one `tag`. A row is folded before anything is written, so that each gets at most one change and
/// all its operations end in the same tags.
pub fn fold<'a>(ops: impl IntoIterator<Item = &'a ClientOp>, tag: &Tag, state: &mut RowState) -> Effect {
    let lived = state.is_alive();
    for op in ops {
        apply(op, tag, state);
    }
    match (lived, state.is_alive()) {
        (false, true) => Effect::Insert,
        (true, true) => Effect::Update,
        (true, false) => Effect::Delete,
        (false, false) if state.image == Image::Unknown => Effect::Nothing,
        (false, false) => Effect::Bury,
    }
}

/// Applies one operation with the tag of its transaction (spec 05 §1.4).
///
/// Total: values that `op` lacks count as [`Field::Absent`], values beyond the row's columns are ignored. A column is
/// written if `op` says so and carries a value for it, and if no greater tag has written it before. A delete takes out
/// its own tag too, so that a row made and removed in one transaction stays removed (spec 05 §7.3).
pub fn apply(op: &ClientOp, tag: &Tag, state: &mut RowState) {
    for seen in op.clear.iter() {
        state.tags.remove(seen);
    }
    if op.kind == ClientOpKind::Delete {
        state.tags.remove(tag);
    } else {
        state.tags.insert(tag.clone());
        write_columns(op, tag, state);
    }
    if state.image != Image::Unknown || state.is_alive() {
        state.last_tag = Some(tag.clone());
    }
}

fn write_columns(op: &ClientOp, tag: &Tag, state: &mut RowState) {
    if state.image == Image::Unknown {
        // Nothing to keep: every column comes from the operation, also those that don't count as written.
        let first = |column| match op.values.get(column) {
            None | Some(Field::Absent) => Field::Null,
            Some(value) => value.clone(),
        };
        state.image = Image::Known((0..state.column_tags.len()).map(first).collect());
    }
    let Image::Known(image) = &mut state.image else { return };
    let columns = state.column_tags.iter_mut().zip(image).zip(&op.values).zip(&op.written);
    for (((column_tag, stored), value), written) in columns {
        let wins = column_tag.as_ref().is_none_or(|last| last <= tag);
        if *written && *value != Field::Absent && wins {
            *column_tag = Some(tag.clone());
            *stored = value.clone();
        }
    }
}
