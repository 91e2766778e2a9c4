//! What sessions may look up.

use std::sync::Arc;

use change::{Lsn, Snapshot, Xid};
use schema::{Migration, Schema};
use session::{Tracker, World};
use shapes::Plan;

use super::Instances;
use crate::stream::Stream;

/// The stream, and the shapes that are followed along it.
pub struct SharedWorld {
    stream: Arc<Stream>,
    instances: Arc<Instances>,
}

impl SharedWorld {
    /// Of a stream and those who follow it.
    #[must_use]
    pub fn new(stream: Arc<Stream>, instances: Arc<Instances>) -> SharedWorld {
        SharedWorld { stream, instances }
    }
}

impl World for SharedWorld {
    fn schema(&self) -> Arc<Schema> {
        self.stream.schema()
    }

    fn migrations(&self) -> Arc<Vec<Arc<Migration>>> {
        self.stream.migrations()
    }

    fn position(&self) -> Lsn {
        self.stream.position()
    }

    fn history_start(&self) -> Lsn {
        self.stream.start()
    }

    fn recently_passed(&self, xid: Xid) -> Option<Lsn> {
        self.stream.recently_passed(xid)
    }

    fn track(&self, plan: &Arc<Plan>, from: Lsn) -> Arc<dyn Tracker> {
        self.instances.track(plan, from)
    }

    fn passed_unseen(&self, snapshot: &Snapshot, until: Lsn) -> bool {
        self.stream.passed_unseen(snapshot, until)
    }

    fn is_torn(&self, snapshot: &Snapshot, until: Lsn) -> bool {
        self.stream.is_torn(snapshot, until)
    }
}
