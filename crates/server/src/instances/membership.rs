//! A shape's rows at one position, what the transactions before it did to them, and the step that is being taken.

use std::{sync::Arc, time::Instant};

use change::{Lsn, RelationId, Transaction};
use session::{Image, Lost, Moves};
use shapes::{Graph, Key, Pass, Plan, Purpose, Taken, Values, Want};

use super::history::History;

/// Exact at every position from `floor` to `head`, also while a step is half done.
pub(super) struct Membership {
    graph: Graph,
    base: Lsn,
    /// `None` until the graph is filled.
    head: Option<Lsn>,
    step: Option<Step>,
    history: History,
}

/// On the way from the head to the next position. The graph is neither here nor there.
struct Step {
    at: Lsn,
    pass: Pass,
    /// What is being read.
    want: Option<Want>,
    brought: Vec<Image>,
    additional: Vec<Image>,
}

impl Membership {
    /// To be filled as of `base`; `budget` bounds the bytes of moves that are held.
    pub(super) fn new(plan: Arc<Plan>, base: Lsn, budget: usize) -> Membership {
        Membership {
            graph: Graph::new(plan),
            base,
            head: None,
            step: None,
            history: History::new(base, budget),
        }
    }

    /// How far everything is known; `None` until the graph is filled.
    pub(super) fn head(&self) -> Option<Lsn> {
        self.head
    }

    /// From where on questions are answered.
    pub(super) fn floor(&self) -> Lsn {
        self.history.floor()
    }

    /// The position of the step that is being taken.
    pub(super) fn step(&self) -> Option<Lsn> {
        self.step.as_ref().map(|step| step.at)
    }

    /// Begins the first step. The rows there are have to be read for it.
    pub(super) fn begin_fill(&mut self) {
        let pass = self.graph.fill();
        self.step = Some(Step::new(self.base, pass));
    }

    /// Begins the step over the next transaction that touches the shape's tables. Whether it is done; if not, rows have to be
    /// read for it, and until then everything before it is known.
    pub(super) fn apply(&mut self, transaction: &Transaction) -> bool {
        self.pass_over(Lsn(transaction.lsn.0.saturating_sub(1)));
        let mut step = Step::new(transaction.lsn, self.graph.apply(transaction));
        step.want = step.pass.next(&mut self.graph);
        let is_done = step.want.is_none();
        self.step = Some(step);
        if is_done {
            self.finish();
        }
        is_done
    }

    /// No transaction touches the shape's tables after the head and up to a position.
    pub(super) fn pass_over(&mut self, to: Lsn) {
        if let Some(head) = &mut self.head {
            *head = to.max(*head);
        }
    }

    /// What the step is reading: to be read from its beginning, by whoever takes the step up.
    pub(super) fn wanted(&mut self) -> Option<Want> {
        let step = self.step.as_mut()?;
        if step.want.is_none() {
            step.want = step.pass.next(&mut self.graph);
        }
        step.want.clone()
    }

    /// What the step has to read next, now that it has been given everything that it wanted.
    pub(super) fn wanted_next(&mut self) -> Option<Want> {
        let step = self.step.as_mut()?;
        step.want = step.pass.next(&mut self.graph);
        step.want.clone()
    }

    /// Hands the step a row that it wanted.
    pub(super) fn take<V: Values + ?Sized>(&mut self, want: &Want, row: &V) -> Taken {
        self.step.as_mut().map_or(Taken::Out, |step| step.pass.take(&mut self.graph, want, row))
    }

    /// Keeps the image of a row that the step made visible.
    pub(super) fn keep(&mut self, purpose: Purpose, image: Image) {
        let Some(step) = &mut self.step else { return };
        match purpose {
            Purpose::Fill => {}
            Purpose::Bring => step.brought.push(image),
            Purpose::Additional => step.additional.push(image),
        }
    }

    /// Ends the step, which wants nothing more.
    pub(super) fn finish(&mut self) {
        let Some(mut step) = self.step.take() else { return };
        let delta = step.pass.finish(&mut self.graph);
        if self.head.replace(step.at).is_none() {
            return;
        }
        for images in [&mut step.brought, &mut step.additional] {
            images.sort_unstable_by(|a, b| (a.relation, &a.key).cmp(&(b.relation, &b.key)));
        }
        let moves = Moves { delta, brought: step.brought, additional: step.additional };
        if !moves.delta.rows.is_empty() || moves.delta.has_additional {
            self.history.enter(step.at, moves);
        }
    }

    /// See [`History::trim`].
    pub(super) fn trim(&mut self, start: Lsn, wanted: Lsn) {
        self.history.trim(start, wanted, Instant::now());
    }

    /// Bytes of moves that are held.
    pub(super) fn moves_weight(&self) -> usize {
        self.history.weight()
    }

    /// Whether a quarter of what may be held has come since there were `before` bytes.
    pub(super) fn has_gained(&self, before: usize) -> bool {
        self.history.weight().saturating_sub(before) > self.history.budget() / 4
    }

    /// See [`History::is_far_ahead`].
    pub(super) fn is_far_ahead(&self, wanted: Lsn) -> bool {
        self.history.is_far_ahead(wanted)
    }

    /// What the transaction at a position did.
    pub(super) fn moves(&self, at: Lsn) -> Result<Option<Arc<Moves>>, Lost> {
        self.history.moves(at)
    }

    /// Whether a row was in the shape after everything up to a position.
    pub(super) fn holds(&self, relation: RelationId, key: &Key, at: Lsn) -> bool {
        let Some(head) = self.head else { return false };
        let before = if at < head { self.history.was(relation, key, at) } else { None };
        before.unwrap_or_else(|| match &self.step {
            Some(step) => step.pass.held(&self.graph, relation, key),
            None => self.graph.holds(relation, key),
        })
    }

    /// All rows in the shape after everything up to a position, in no order.
    pub(super) fn members(&self, at: Lsn) -> Vec<(RelationId, Key)> {
        if self.head.is_none() {
            return Vec::new();
        }
        let changed = self.history.changed_since(at);
        let left = changed.iter().filter(|(_, was)| **was).map(|(row, _)| *row);
        let stays = |row: &(RelationId, &Key)| !changed.contains_key(row);
        let own = |(relation, key): (RelationId, &Key)| (relation, key.clone());
        match &self.step {
            Some(step) => left.chain(step.pass.members(&self.graph).filter(stays)).map(own).collect(),
            None => left.chain(self.graph.members().filter(stays)).map(own).collect(),
        }
    }

    /// Number of rows in the shape.
    pub(super) fn len(&self) -> usize {
        self.graph.len()
    }

    /// Roughly what it occupies in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Membership>() + self.graph.weight() + self.history.weight()
    }
}

impl Step {
    fn new(at: Lsn, pass: Pass) -> Step {
        Step { at, pass, want: None, brought: Vec::new(), additional: Vec::new() }
    }
}
