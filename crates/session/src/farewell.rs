//! The keys of rows that leave with subscriptions, on the wire (spec 02 §9.2).
//!
//! They come as one gone batch. But the client deletes the rows of a batch in one statement with a condition for each, and SQLite takes no
//! more than a thousand conditions in a row. So many rows leave in a transaction of our own, where each has a statement of its own, and
//! the batch that follows it directly names the subscriptions alone. All of them leave at once or none: with some of them gone, foreign keys
//! could take others along, and the client would believe that its user has deleted those.

use bytes::Bytes;
use change::{Lsn, Origin, SubscriptionId};
use protocol::{Message, OpLogWriter, TransactionHead};

use crate::{context::Context, wire};

/// A gone batch that is being sent.
#[derive(Debug)]
pub(crate) struct Farewell {
    /// All ids to be named.
    names: Vec<SubscriptionId>,
    at: Lsn,
    /// The name of the transaction, if there may be one.
    transaction: Option<u64>,
    /// The most rows of a batch.
    most: usize,
    commit_ms: u64,
    /// Frames that wait until it is known whether there are more, and their rows.
    held: Vec<Bytes>,
    rows: usize,
    /// Whether the transaction has begun.
    has_begun: bool,
}

impl Farewell {
    /// Of these subscriptions, where the stream stands. More than a bounded number of rows go by a transaction of this name, if there is
    /// room for one.
    pub(crate) fn new(
        names: &[SubscriptionId],
        at: Lsn,
        transaction: Option<u64>,
        cx: &Context<'_>,
    ) -> Farewell {
        Farewell {
            names: names.to_vec(),
            at,
            transaction,
            most: cx.config.gone_batch,
            commit_ms: cx.now.wall_ms,
            held: Vec::new(),
            rows: 0,
            has_begun: false,
        }
    }

    /// A frame of keys.
    pub(crate) fn frame(&mut self, frame: Bytes, cx: &mut Context<'_>) {
        if self.has_begun {
            return cx.send(frame);
        }
        if let Ok(Message::OpLog(log)) = Message::decode(frame.clone()) {
            self.rows += log.count();
        }
        self.held.push(frame);
        if self.rows > self.most
            && let Some(id) = self.transaction
        {
            self.has_begun = true;
            self.write(cx, id, OpLogWriter::begin);
            self.held.drain(..).for_each(|frame| cx.send(frame));
        }
    }

    /// All frames were handed in. The name of the transaction, if there is one.
    pub(crate) fn end(self, cx: &mut Context<'_>) -> Option<u64> {
        let id = self.transaction.filter(|_| self.has_begun);
        if let Some(id) = id {
            self.write(cx, id, OpLogWriter::commit);
        }
        cx.send(wire::gone_begin(&self.names, self.at));
        self.held.into_iter().for_each(|frame| cx.send(frame));
        cx.send(wire::gone_end());
        id
    }

    fn write(
        &self,
        cx: &mut Context<'_>,
        id: u64,
        what: impl FnOnce(&mut OpLogWriter, &TransactionHead<'_>),
    ) {
        let head = TransactionHead {
            lsn: self.at,
            commit_ms: self.commit_ms,
            origin: &Origin::Postgres,
            transaction_id: id,
            is_migration: false,
            additional_data_ref: 0,
        };
        let mut writer = OpLogWriter::new();
        what(&mut writer, &head);
        writer.finish().into_iter().for_each(|frame| cx.send(frame));
    }
}
