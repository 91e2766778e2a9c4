//! The snapshots that a session has open: one or two at a time.

use std::sync::Arc;

use change::{Lsn, Snapshot};
use session::{Input, ReadRequest, SnapshotFailure, SnapshotId};

use super::{Hub, Letter, Mailbox};
use crate::backend::{OpenSnapshot, SnapshotPart};

/// By name.
#[derive(Default)]
pub(super) struct Snapshots(Vec<(SnapshotId, Option<OpenSnapshot>)>);

impl Snapshots {
    /// Takes one.
    pub(super) fn open(
        &mut self,
        id: SnapshotId,
        request: Arc<ReadRequest>,
        hub: &Arc<Hub>,
        mailbox: &Arc<Mailbox>,
    ) {
        self.0.push((id, None));
        let mut open = hub.backend.snapshot(request);
        let mailbox = mailbox.clone();
        hub.tasks.spawn(async move {
            match open.parts.recv().await {
                Some(SnapshotPart::Opened { snapshot, lsn }) => {
                    mailbox.leave(Letter::Opened { id, open, snapshot, lsn });
                }
                Some(SnapshotPart::Failed(why)) => mailbox.post(Input::SnapshotFailed { id, why }),
                _ => mailbox.post(Input::SnapshotFailed { id, why: SnapshotFailure::Unavailable }),
            }
        });
    }

    /// One is open. If it is not wanted any more, it ends here.
    pub(super) fn opened(
        &mut self,
        id: SnapshotId,
        open: OpenSnapshot,
        snapshot: Snapshot,
        lsn: Lsn,
    ) -> Option<Input> {
        let (_, place) = self.0.iter_mut().find(|(name, _)| *name == id)?;
        *place = Some(open);
        Some(Input::SnapshotOpened { id, snapshot, lsn })
    }

    /// Starts the reads.
    pub(super) fn begin(&mut self, id: SnapshotId) {
        if let Some(begin) = self.get(id).and_then(|open| open.begin.take()) {
            // An error means that it has ended already, which the next part will say.
            let _ = begin.send(());
        }
    }

    /// Gives one up.
    pub(super) fn drop(&mut self, id: SnapshotId) {
        self.0.retain(|(name, _)| *name != id);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }

    /// The next part of one, if there is one at hand.
    pub(super) fn try_next(&mut self, id: SnapshotId) -> Option<Input> {
        match self.get(id)?.parts.try_recv() {
            Ok(part) => self.translate(id, Some(part)),
            Err(tokio::sync::mpsc::error::TryRecvError::Empty) => None,
            Err(tokio::sync::mpsc::error::TryRecvError::Disconnected) => self.translate(id, None),
        }
    }

    /// The next part of one; waits for ever if none is wanted, or it is not open.
    pub(super) async fn next(&mut self, wanted: Option<SnapshotId>) -> Option<Input> {
        match wanted.and_then(|id| Some((id, self.get(id)?))) {
            Some((id, open)) => {
                let part = open.parts.recv().await;
                self.translate(id, part)
            }
            None => std::future::pending().await,
        }
    }

    fn get(&mut self, id: SnapshotId) -> Option<&mut OpenSnapshot> {
        self.0.iter_mut().find(|(name, _)| *name == id)?.1.as_mut()
    }

    fn translate(&mut self, id: SnapshotId, part: Option<SnapshotPart>) -> Option<Input> {
        match part {
            Some(SnapshotPart::Frame { read, frame }) => Some(Input::SnapshotFrame { id, read, frame }),
            Some(SnapshotPart::Opened { .. }) => None,
            Some(SnapshotPart::Done) => {
                self.drop(id);
                Some(Input::SnapshotDone { id })
            }
            Some(SnapshotPart::Failed(why)) => {
                self.drop(id);
                Some(Input::SnapshotFailed { id, why })
            }
            None => {
                self.drop(id);
                Some(Input::SnapshotFailed { id, why: SnapshotFailure::Unavailable })
            }
        }
    }
}
