//! What leaves a client with the tables that its shapes lose at a migration.
//!
//! A table that leaves the sync stays with clients as it is. But a shape may have brought rows of other tables by way of it,
//! which nobody follows any more unless another shape has them: they go, by a transaction of our own right before the
//! migration. A client that is cut off after that comes back to the same place, and is told the same again.

use std::sync::Arc;

use change::{Lsn, Origin, RelationId};
use protocol::{OpLogWriter, TransactionHead};
use shapes::Key;

use crate::{
    Delivery, Output, Tracker,
    context::{Context, Flow},
    effect::key_row,
    outbound::{Outbound, unencodable},
    set::ShapeSet,
    tracking::{Trackers, replace_lost},
};

impl Outbound {
    /// Whether what has to go has gone, and the transaction with the migration may follow.
    pub(super) fn let_go(&mut self, delivery: &Arc<Delivery>, cx: &mut Context<'_>) -> Flow<bool> {
        let at = self.cursor;
        // Of those that can't be read any more, nobody knows what they brought.
        self.less.retain(|tracker| !tracker.is_unreadable());
        replace_lost(&mut self.less, at, at, cx.world);
        self.less.retain(|tracker| !tracker.is_unreadable());
        let behind = self.less.iter().find(|tracker| !Trackers::has_reached(&***tracker, at)).cloned();
        if let Some(behind) = behind.or_else(|| self.subscriptions.all_wait_for(at, cx.world)) {
            self.stalled_on = Some((behind, at));
            return Ok(false);
        }
        let going = going(&std::mem::take(&mut self.less), &self.subscriptions.followed(), at);
        self.subscriptions.settle();
        let is_served =
            |id: RelationId| delivery.schema.table(id).is_some_and(|table| table.held_back.is_none());
        let Some(schema) = self.schema.clone() else { return Ok(true) };
        let mut writer = OpLogWriter::new();
        let id = self.name_own_transaction();
        let head = TransactionHead {
            lsn: at,
            commit_ms: cx.now.wall_ms,
            origin: &Origin::Postgres,
            transaction_id: id,
            is_migration: false,
            additional_data_ref: 0,
        };
        writer.begin(&head);
        let mut any = false;
        for (relation, key) in going.iter().filter(|(relation, _)| is_served(*relation)) {
            let table = schema.table(*relation).filter(|table| table.held_back.is_none());
            if let Some(table) = table {
                writer.gone(table, &key_row(table, key)).map_err(|_| unencodable())?;
                any = true;
            }
        }
        writer.commit(&head);
        if any {
            self.announce(&schema, cx);
            cx.out.extend(writer.finish().into_iter().map(Output::Send));
            self.window.sent(id);
            self.tell(at, cx);
        }
        Ok(self.window.has_room())
    }
}

/// The rows that only these shapes brought.
fn going(less: &[Arc<dyn Tracker>], kept: &ShapeSet, at: Lsn) -> Vec<(RelationId, Key)> {
    let mut going = Vec::new();
    for tracker in less {
        going.extend(tracker.members(at).into_iter().filter(|(id, key)| !kept.holds_unseen(*id, key, at)));
    }
    going.sort_unstable();
    going.dedup();
    going
}
