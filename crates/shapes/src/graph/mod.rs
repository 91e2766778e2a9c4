//! Membership of a shape with joins, kept exactly, transaction by transaction (spec 06 §6, §14.6).

use std::sync::Arc;

use change::{RelationId, Transaction};

use crate::{Key, Plan, Values};

/// Which rows are in the layers of a shape at one position of the stream: keys and edges, no images.
#[derive(Debug)]
pub struct Graph {
    plan: Arc<Plan>,
}

/// A step of a graph: from nothing to the rows there are ([`Graph::fill`]), or over one transaction ([`Graph::apply`]). Rows that are
/// neither known nor in the transaction have to be read; the step asks for them, and goes on when it has them.
#[derive(Debug)]
pub struct Pass {}

/// A read that a pass needs. Its rows are wanted *as they are at the pass's position*, and only those that exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Whose table is read; only rows that pass the layer's filter matter, others may be handed in.
    pub layer: usize,
    /// Which rows.
    pub rows: WantedRows,
    /// What becomes of them.
    pub purpose: Purpose,
}

/// Which rows of a table are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedRows {
    /// All.
    All,
    /// Those whose `columns` have one of the `values`.
    With {
        /// Indexes into the table's columns: the link's `own_columns`.
        columns: Vec<usize>,
        /// Distinct.
        values: Vec<Key>,
    },
}

/// Why rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The graph is being filled.
    Fill,
    /// Rows of the transaction refer to them: they belong into the same transaction.
    Bring,
    /// They hang on rows that have become visible: additional data.
    Additional,
}

/// What a row that was handed in is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in the shape now and was in none of its layers before it was handed in: its image is to be sent.
    New,
    /// It was in the shape already, perhaps by another layer.
    Known,
    /// It is not in the layer.
    Out,
}

/// What a transaction did to the membership of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Sorted by table and key, each row once: rows that the transaction changed and that were or are in the shape, and
    /// rows that it did not change but whose membership changed.
    pub rows: Vec<Moved>,
    /// Whether rows have become visible that others may hang on (spec 06 §7): the transaction announces additional data,
    /// even if there turns out to be none.
    pub has_additional: bool,
}

/// A row's membership before and after a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The table.
    pub relation: RelationId,
    /// The primary key.
    pub key: Key,
    /// Whether it was in the shape.
    pub was: bool,
    /// Whether it is.
    pub now: bool,
}

impl Graph {
    /// Nothing is in it.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Graph {
        Graph { plan }
    }

    /// The shape.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Begins to fill an empty graph.
    #[must_use]
    pub fn fill(&mut self) -> Pass {
        todo!()
    }

    /// Begins to apply a transaction. No other pass may be under way.
    #[must_use]
    pub fn apply(&mut self, transaction: &Transaction) -> Pass {
        let _ = transaction;
        todo!()
    }

    /// Whether a row is in the shape.
    #[must_use]
    pub fn holds(&self, relation: RelationId, key: &Key) -> bool {
        let _ = (relation, key);
        todo!()
    }

    /// All rows in the shape, each once, in no order.
    pub fn members(&self) -> impl Iterator<Item = (RelationId, &Key)> {
        std::iter::empty()
    }

    /// Number of rows in the shape's layers.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether nothing is in the shape.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Roughly what it occupies in memory, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        todo!()
    }
}

impl Pass {
    /// The next read that is needed; `None` once there is nothing more to ask for.
    pub fn next(&mut self, graph: &mut Graph) -> Option<Want> {
        let _ = graph;
        todo!()
    }

    /// A row that the read `want` returned.
    pub fn take<V: Values + ?Sized>(&mut self, graph: &mut Graph, want: &Want, row: &V) -> Taken {
        let _ = (graph, want, row);
        todo!()
    }

    /// Ends the pass, after [`Pass::next`] has returned `None`: the graph is at the new position.
    #[must_use]
    pub fn finish(self, graph: &mut Graph) -> Delta {
        let _ = graph;
        todo!()
    }
}
