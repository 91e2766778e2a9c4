//! Membership of shapes with joins, as sessions see it: kept elsewhere, shared, exact at every position (spec 06 §14.2).

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
    task::{Context, Poll},
};

use change::{Lsn, RelationId, Row, Tags};
use shapes::{Delta, Filter, Key, Plan};

/// Follows one shape along the stream. All its answers are about a position that [`Tracker::poll_reach`] has reached, at or after
/// the one from which it was asked to follow.
pub trait Tracker: Send + Sync {
    /// The shape.
    fn plan(&self) -> &Arc<Plan>;
    /// Makes everything known up to a position that the stream has passed. Not ready while rows are being read for that; the
    /// context is woken then.
    ///
    /// # Errors
    /// [`Lost`]: it can't follow any more, another has to be asked for.
    fn poll_reach(&self, at: Lsn, cx: &mut Context<'_>) -> Poll<Result<(), Lost>>;
    /// What the transaction at a position did; `None` if it did nothing to the shape.
    ///
    /// # Errors
    /// [`Lost`]: that is not known any more.
    fn moves(&self, at: Lsn) -> Result<Option<Arc<Moves>>, Lost>;
    /// Whether a row was in the shape after everything up to a position.
    fn holds(&self, relation: RelationId, key: &Key, at: Lsn) -> bool;
    /// All rows in the shape after everything up to a position, sorted, each once.
    fn members(&self, at: Lsn) -> Vec<(RelationId, Key)>;
    /// Whether it can't follow any more because a table is not there to be read any more, as the newest schema knows. Asking for
    /// another does not help.
    fn is_unreadable(&self) -> bool {
        false
    }
}

/// The tracker has nothing to say about the position: it has fallen out of the retained history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

/// What a transaction did to a shape.
#[derive(Clone, Debug, Default)]
pub struct Moves {
    /// Whose membership it touched.
    pub delta: Delta,
    /// Images of rows that it did not change and that belong into it, because rows of it refer to them. Sorted by table and key.
    pub brought: Vec<Image>,
    /// Images of rows that it made visible and that follow it as additional data. Sorted by table and key.
    pub additional: Vec<Image>,
}

/// A row as it is sent.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its table.
    pub relation: RelationId,
    /// Its primary key.
    pub key: Key,
    /// Its values.
    pub row: Row,
    /// All its tags.
    pub tags: Tags,
}

/// What is to be read in one snapshot. Equal requests have equal answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReadRequest {
    /// In order. A row that several of them select comes once, in the first.
    pub reads: Vec<Read>,
    /// Rows that are left out, because the client has or keeps them by other shapes.
    pub known: Known,
}

/// All rows of a shape, or their keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Read {
    /// The shape.
    pub plan: Arc<Plan>,
    /// What is wanted of each row. Keys are wanted of simple plans only.
    pub kind: ReadKind,
}

/// What a query returns for each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadKind {
    /// The whole row and its tags, encoded as `insert` operations.
    Rows,
    /// The key, encoded as `gone` operations.
    Keys,
}

/// Rows that a client has by other shapes than those that are being read.
#[derive(Clone, Default)]
pub struct Known {
    /// Those that one of the filters of their table passes.
    pub filters: Vec<(RelationId, Filter)>,
    /// Those that are in these at the snapshot's position.
    pub trackers: Vec<Arc<dyn Tracker>>,
}

impl Known {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty() && self.trackers.is_empty()
    }

    fn plans(&self) -> impl Iterator<Item = &Arc<Plan>> {
        self.trackers.iter().map(|tracker| tracker.plan())
    }
}

impl PartialEq for Known {
    fn eq(&self, other: &Known) -> bool {
        self.filters == other.filters && self.plans().eq(other.plans())
    }
}

impl Eq for Known {}

impl Hash for Known {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.filters.hash(state);
        self.plans().for_each(|plan| plan.hash(state));
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Known({} filters, {} trackers)", self.filters.len(), self.trackers.len())
    }
}
