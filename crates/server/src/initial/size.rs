//! Whether shapes are larger than they may be, before anything of them is sent (spec 06 §14.7).

use postgres::snapshot::{ALIAS, OpenSnapshot, ReadQuery, SnapshotError, Wanted};
use session::{ReadKind, ReadRequest};
use shapes::Layer;

use super::job::Failure;

/// Rows looked at before anybody else gets a turn.
const BATCH: usize = 1_000;

/// Counts the rows at the root of every shape that is read, but not further than `limit`.
///
/// # Errors
/// [`Failure::TooLarge`] for one that has more; the snapshot can't be used then.
pub(super) async fn check(open: &mut OpenSnapshot, request: &ReadRequest, limit: u64) -> Result<(), Failure> {
    for read in request.reads.iter().filter(|read| read.kind == ReadKind::Rows) {
        if let Some(root) = read.plan.root()
            && exceeds(open, root, limit).await?
        {
            return Err(Failure::TooLarge { rows: limit });
        }
    }
    Ok(())
}

async fn exceeds(open: &mut OpenSnapshot, root: &Layer, limit: u64) -> Result<bool, SnapshotError> {
    let condition = root.filter.sql(&root.table, ALIAS);
    let columns = root.filter.columns();
    let query = ReadQuery {
        table: &root.table,
        wanted: Wanted::Columns(&columns),
        condition: condition.as_deref(),
        keys: None,
    };
    if open.count(query, limit.saturating_add(1)).await? <= limit {
        return Ok(false);
    }
    if root.filter.is_all() {
        return Ok(true);
    }
    // Postgres was told only a part of the filter, perhaps.
    let mut rows = open.read(query).await?;
    let mut count = 0;
    while count <= limit
        && rows.next_rows(BATCH, |values, _| count += u64::from(root.filter.matches(values))).await? > 0
    {}
    Ok(count > limit)
}
