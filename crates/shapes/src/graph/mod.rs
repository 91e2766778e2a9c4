//! Membership of a shape with joins, kept exactly, transaction by transaction (spec 06 §6, §14.6).
//!
//! Of each row in the shape the graph keeps its key and the values by which it is tied to others, as numbers ([`names`], [`rows`]),
//! and for each join value the number of parents that have it ([`supports`]): a row stays in a layer as long as a value of it has
//! a parent. A step over a transaction first takes out what the net changes leave without a parent ([`settle`](settle)), then
//! lets in what has gained one ([`spread`](spread)), and asks for those rows it can't know. So each row that comes in is there to stay,
//! and the order of changes does not matter.

mod before;
mod layout;
mod names;
mod pass;
mod rows;
mod settle;
mod spread;
mod supports;

use std::{fmt, sync::Arc};

use change::{RelationId, Transaction};

use crate::{Key, Plan};

use layout::Layout;
use names::Names;
pub use pass::Pass;
use rows::{Bits, Rows};
use supports::Supports;

/// Which rows are in the layers of a shape at one position of the stream: keys and edges, no images.
pub struct Graph {
    plan: Arc<Plan>,
    layout: Layout,
    names: Names,
    /// For each table of the layout. Between passes, only rows that are in the shape.
    tables: Vec<Rows>,
    /// For each port of the layout.
    supports: Vec<Supports>,
    /// For reuse.
    scratch: Scratch,
}

/// Buffers for one row.
#[derive(Default)]
struct Scratch {
    key: Vec<u8>,
    passes: Bits,
}

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
    /// It is in the shape now, was in none of its layers before the pass, and the transaction did not change it: its image
    /// is to be sent. Said once of each row.
    New,
    /// It was in the shape already, perhaps by another layer, or the transaction itself has its image.
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
        let layout = Layout::of(&plan);
        let tables = layout.tables.iter().map(Rows::new).collect();
        let supports = layout.ports.iter().map(|_| Supports::default()).collect();
        Graph { plan, layout, names: Names::default(), tables, supports, scratch: Scratch::default() }
    }

    /// The shape.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Begins to fill an empty graph.
    ///
    /// A graph whose pass is not brought to its end, this or another, is of no use any more.
    #[must_use]
    pub fn fill(&mut self) -> Pass {
        Pass::filling(self)
    }

    /// Begins to apply a transaction. No other pass may be under way.
    #[must_use]
    pub fn apply(&mut self, transaction: &Transaction) -> Pass {
        Pass::over(self, transaction)
    }

    /// Whether a row is in the shape.
    #[must_use]
    pub fn holds(&self, relation: RelationId, key: &Key) -> bool {
        let slot = || {
            let rows = &self.tables[self.layout.table(relation)?];
            let slot = rows.find(self.names.find(key.as_bytes())?)?;
            rows.is_in_any(slot).then_some(())
        };
        slot().is_some()
    }

    /// All rows in the shape, each once, in no order.
    pub fn members(&self) -> impl Iterator<Item = (RelationId, &Key)> {
        self.layout.tables.iter().zip(&self.tables).flat_map(|(table, rows)| {
            let visible = rows.slots().filter(|slot| rows.is_in_any(*slot));
            visible.map(|slot| (table.relation, self.names.key(rows.value(slot, 0))))
        })
    }

    /// Number of rows in the shape, each counted once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.iter().map(Rows::len).sum()
    }

    /// Whether nothing is in the shape.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Roughly what it occupies in memory, in bytes, without the plan.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Graph>()
            + self.names.weight()
            + self.tables.iter().map(Rows::weight).sum::<usize>()
            + self.supports.iter().map(Supports::weight).sum::<usize>()
    }
}

/// Keys are the users' own and are not printed.
impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Graph({} rows in {} layers)", self.len(), self.layout.layers.len())
    }
}
