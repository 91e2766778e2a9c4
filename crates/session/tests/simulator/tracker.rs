//! A tracker over the simulated database: it goes on when it is told to, reads a little too late, and may lose its way.

use std::{
    collections::BTreeMap,
    sync::Arc,
    task::{Context, Poll},
};

use change::{Lsn, RelationId};
use parking_lot::Mutex;
use session::{Delivery, Image, Lost, Moves, Tracker};
use shapes::{Graph, Key, Pass, Plan, Purpose, Taken, Want, WantedRows};

use super::{
    postgres::{Postgres, fit, row},
    random::Random,
};
use crate::naive::Rows;

pub struct Follower {
    plan: Arc<Plan>,
    base: Lsn,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    graph: Option<Graph>,
    head: Lsn,
    moves: BTreeMap<Lsn, Arc<Moves>>,
    lost: bool,
}

impl Follower {
    pub fn new(plan: &Arc<Plan>, base: Lsn) -> Arc<Follower> {
        Arc::new(Follower { plan: plan.clone(), base, state: Mutex::default() })
    }

    /// Whether it can follow this from there.
    pub fn serves(&self, plan: &Arc<Plan>, from: Lsn) -> bool {
        self.plan == *plan && self.base <= from && !self.state.lock().lost
    }

    pub fn lose(&self) {
        self.state.lock().lost = true;
    }

    /// Takes in a few more transactions; whether there were any.
    pub fn go_on(
        &self,
        passed: &[Arc<Delivery>],
        position: Lsn,
        postgres: &Postgres,
        random: &mut Random,
    ) -> bool {
        let mut state = self.state.lock();
        let State { graph, head, moves, lost } = &mut *state;
        if *lost {
            return false;
        }
        let Some(graph) = graph else {
            let mut filled = Graph::new(self.plan.clone());
            let mut pass = filled.fill();
            read(&mut filled, &mut pass, &postgres.rows_at(self.base), None);
            drop(pass.finish(&mut filled));
            *graph = Some(filled);
            *head = self.base;
            return true;
        };
        let before = *head;
        for delivery in passed.iter().filter(|delivery| delivery.transaction.lsn > before) {
            let at = delivery.transaction.lsn;
            let mut pass = graph.apply(&delivery.transaction);
            // The query comes some time after the transaction.
            let later = Lsn(at.0 + random.below(300) as u64);
            let images = postgres.rows_at(later);
            let (mut brought, mut additional) =
                read(graph, &mut pass, &postgres.rows_at(at), Some((&images, later, postgres)));
            let delta = pass.finish(graph);
            brought.sort_by(|a, b| (a.relation, &a.key).cmp(&(b.relation, &b.key)));
            additional.sort_by(|a, b| (a.relation, &a.key).cmp(&(b.relation, &b.key)));
            if !delta.rows.is_empty() || delta.has_additional {
                moves.insert(at, Arc::new(Moves { delta, brought, additional }));
            }
            *head = at;
            if random.one_in(3) {
                return true;
            }
        }
        *head = position.max(*head);
        *head > before
    }
}

/// Answers what a pass wants with the rows at its position; images are those of a little later.
fn read(
    graph: &mut Graph,
    pass: &mut Pass,
    rows: &Rows,
    later: Option<(&Rows, Lsn, &Postgres)>,
) -> (Vec<Image>, Vec<Image>) {
    let (mut brought, mut additional) = (Vec::new(), Vec::new());
    while let Some(want) = pass.next(graph) {
        let table = graph.plan().layers[want.layer].table.clone();
        for ((relation, name), values) in rows.iter().filter(|((relation, _), _)| *relation == table.id) {
            let values = row(values);
            if !is_wanted(&want, &values) || pass.take(graph, &want, &values) != Taken::New {
                continue;
            }
            let Some((images, when, postgres)) = later else { continue };
            let image = images.get(&(*relation, name.clone()));
            let unchanged = image.is_some_and(|image| row(image) == values);
            let Some(image) = image.filter(|_| unchanged || want.purpose == Purpose::Bring) else { continue };
            let image = Image {
                relation: *relation,
                key: Key::of(&values, &table.primary_key).unwrap(),
                row: row(&fit(&table, image.clone())),
                tags: postgres.tags_at(&(*relation, name.clone()), when),
            };
            match want.purpose {
                Purpose::Bring => brought.push(image),
                Purpose::Additional => additional.push(image),
                Purpose::Fill => {}
            }
        }
    }
    (brought, additional)
}

fn is_wanted(want: &Want, row: &change::Row) -> bool {
    match &want.rows {
        WantedRows::All => true,
        WantedRows::With { columns, values } => {
            Key::of(row, columns).is_some_and(|value| values.contains(&value))
        }
    }
}

impl Tracker for Follower {
    fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    fn poll_reach(&self, at: Lsn, _: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        let state = self.state.lock();
        match state.lost {
            true => Poll::Ready(Err(Lost)),
            false if state.graph.is_some() && state.head >= at => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    fn moves(&self, at: Lsn) -> Result<Option<Arc<Moves>>, Lost> {
        let state = self.state.lock();
        if state.lost { Err(Lost) } else { Ok(state.moves.get(&at).cloned()) }
    }

    fn holds(&self, relation: RelationId, key: &Key, at: Lsn) -> bool {
        let state = self.state.lock();
        assert!(at >= self.base && at <= state.head, "asked about what was reached only");
        let later = state.moves.range(Lsn(at.0 + 1)..).flat_map(|(_, moves)| &moves.delta.rows);
        let undone = later.clone().find(|row| row.relation == relation && row.key == *key).map(|row| row.was);
        undone.unwrap_or_else(|| state.graph.as_ref().is_some_and(|graph| graph.holds(relation, key)))
    }

    fn members(&self, at: Lsn) -> Vec<(RelationId, Key)> {
        let state = self.state.lock();
        assert!(at >= self.base && at <= state.head, "asked about what was reached only");
        let graph = state.graph.as_ref().unwrap();
        let mut members: BTreeMap<(RelationId, Key), bool> =
            graph.members().map(|(relation, key)| ((relation, key.clone()), true)).collect();
        for row in state.moves.range(Lsn(at.0 + 1)..).rev().flat_map(|(_, moves)| &moves.delta.rows) {
            members.insert((row.relation, row.key.clone()), row.was);
        }
        members.into_iter().filter(|(_, holds)| *holds).map(|(row, _)| row).collect()
    }
}
