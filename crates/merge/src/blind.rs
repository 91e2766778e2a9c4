//! Writes to rows of which the author did not know how they stood.

use change::{ClientOp, ClientOpKind, Tag};

use crate::{RowState, Standing};

/// Whether the operations of one transaction on one row, of which `after` has come, leave a live row that need not be what their author
/// believes: somebody else had deleted it, or written to it, or made another under its key.
///
/// The author's database holds on to a row that it has written and not got back, even if it hears that the row was
/// deleted (spec 05 §4.3). If what comes of it is in the author's shapes, it is told so by that. If not, this says whether
/// there may be something that it has to be told to remove (spec 06 §6.6).
///
/// What the author made itself and nobody else has touched is as the author believes, wherever it belongs.
#[must_use]
pub fn is_blind(ops: &[&ClientOp], tag: &Tag, before: Standing, after: &RowState) -> bool {
    let (Some(first), Some(last)) = (ops.first(), ops.last()) else { return false };
    if !after.is_alive() || last.kind == ClientOpKind::Delete {
        return false;
    }
    let knew_the_row = !first.clear.is_empty();
    match before {
        Standing::Unknown => false,
        // As made, if nothing of what was there has won.
        _ if !knew_the_row => {
            first.kind == ClientOpKind::Insert && after.column_tags.iter().flatten().any(|last| last != tag)
        }
        Standing::Dead => true,
        Standing::Alive => after.tags.iter().any(|kept| kept != tag),
    }
}
