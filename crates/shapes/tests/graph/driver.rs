//! Takes a graph through its passes, reading from the model, and checks what it says and asks for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use change::{Change, RowChange};
use shapes::{Delta, Direction, Graph, Key, Pass, Plan, Purpose, Taken, Want, WantedRows};

use super::model::{Db, Membership, RowId, transaction};

/// A graph and the database that it follows.
pub struct Followed {
    pub plan: Arc<Plan>,
    pub db: Db,
    pub graph: Graph,
    pub membership: Membership,
    /// Decides how reads are answered: split or not, with rows that were not asked for or without.
    pub whim: u64,
}

/// What a pass came to.
pub struct Step {
    pub delta: Delta,
    /// New rows, by what they were read for.
    pub images: BTreeMap<RowId, Purpose>,
    pub wants: Vec<Want>,
}

impl Followed {
    pub fn begin(plan: Plan, db: Db, whim: u64) -> (Followed, Step) {
        let plan = Arc::new(plan);
        let membership = Membership::of(&plan, &Db::default());
        let graph = Graph::new(plan.clone());
        assert!(graph.is_empty());
        let mut followed = Followed { plan, db, graph, membership, whim };
        let mut pass = followed.graph.fill();
        let (wants, images) = followed.drive(&mut pass);
        let delta = pass.finish(&mut followed.graph);
        assert_eq!(delta, Delta::default());
        let after = Membership::of(&followed.plan, &followed.db);
        assert_eq!(images.keys().cloned().collect::<BTreeSet<_>>(), after.rows(&followed.plan));
        assert!(images.values().all(|purpose| *purpose == Purpose::Fill));
        followed.membership = after;
        followed.check_members();
        (followed, Step { delta, images, wants })
    }

    /// Commits a transaction.
    pub fn commit(&mut self, db: Db, changes: Vec<Change>) -> Step {
        let old = std::mem::replace(&mut self.db, db);
        let after = Membership::of(&self.plan, &self.db);
        let transaction = transaction(changes);
        let mut pass = self.graph.apply(&transaction);
        let (wants, images) = self.drive(&mut pass);
        let step = Step { delta: pass.finish(&mut self.graph), images, wants };
        let before = std::mem::replace(&mut self.membership, after);
        self.check_members();
        Judge {
            plan: &self.plan,
            old: &old,
            new: &self.db,
            before: &before,
            after: &self.membership,
            changes: &transaction.changes,
            step: &step,
        }
        .check();
        step
    }

    fn check_members(&self) {
        let members: Vec<RowId> = self.graph.members().map(|(r, key)| (r, key.clone())).collect();
        let expected = self.membership.rows(&self.plan);
        assert_eq!(members.iter().cloned().collect::<BTreeSet<_>>(), expected);
        assert_eq!((members.len(), self.graph.len()), (expected.len(), expected.len()), "each once");
        for layer in &self.plan.layers {
            for (id, _) in self.db.of_table(&layer.table) {
                assert_eq!(self.graph.holds(id.0, &id.1), expected.contains(id));
            }
        }
    }

    /// Answers what a pass asks for.
    fn drive(&mut self, pass: &mut Pass) -> (Vec<Want>, BTreeMap<RowId, Purpose>) {
        let (mut wants, mut images) = (Vec::new(), BTreeMap::new());
        while let Some(want) = pass.next(&mut self.graph) {
            let table = self.plan.layers[want.layer].table.clone();
            for part in self.split(&want) {
                for (id, row) in self.db.of_table(&table) {
                    let is_asked_for = match &part.rows {
                        WantedRows::All => true,
                        WantedRows::With { columns, values } => {
                            Key::of(row, columns).is_some_and(|value| values.contains(&value))
                        }
                    };
                    if !is_asked_for && !self.whim.is_multiple_of(3) {
                        continue;
                    }
                    let taken = pass.take(&mut self.graph, &part, row);
                    if taken == Taken::New {
                        assert_eq!(images.insert(id.clone(), part.purpose), None, "new once");
                    }
                    assert!(taken == Taken::Out || self.graph.holds(id.0, &id.1));
                }
            }
            wants.push(want);
            assert!(wants.len() < 1000, "it asks without end");
        }
        assert_eq!(pass.next(&mut self.graph), None, "once it has all, it has all");
        (wants, images)
    }

    fn split(&self, want: &Want) -> Vec<Want> {
        match &want.rows {
            WantedRows::With { columns, values } if self.whim.is_multiple_of(2) => {
                let part = |values: &[Key]| Want {
                    rows: WantedRows::With { columns: columns.clone(), values: values.to_vec() },
                    ..want.clone()
                };
                values.chunks(2).map(part).collect()
            }
            _ => vec![want.clone()],
        }
    }
}

/// Knows what a step over a transaction has to come to.
struct Judge<'a> {
    plan: &'a Plan,
    old: &'a Db,
    new: &'a Db,
    before: &'a Membership,
    after: &'a Membership,
    changes: &'a [Change],
    step: &'a Step,
}

impl Judge<'_> {
    fn check(&self) {
        self.check_delta();
        self.check_wants();
        self.check_purposes();
        assert_eq!(self.step.delta.has_additional, self.has_additional());
        let wanted = self.step.wants.iter().any(|want| want.purpose == Purpose::Additional);
        assert_eq!(self.step.delta.has_additional, wanted);
    }

    fn table(&self, change: &Change) -> &schema::Table {
        let layer = self.plan.layers.iter().find(|layer| layer.table.id == change.relation);
        &layer.unwrap().table
    }

    /// Changed rows of the plan's tables.
    fn changed(&self) -> BTreeMap<RowId, &RowChange> {
        let relations = self.plan.relations();
        let of_plan = self.changes.iter().filter(|change| relations.contains(&change.relation));
        of_plan
            .map(|change| {
                let row = change.row.after().or(change.row.before()).unwrap();
                let key = Key::of(row, &self.table(change).primary_key).unwrap();
                ((change.relation, key), &change.row)
            })
            .collect()
    }

    fn check_delta(&self) {
        let (was, now) = (self.before.rows(self.plan), self.after.rows(self.plan));
        let changed = self.changed();
        let expected: Vec<_> = was
            .union(&now)
            .filter(|id| was.contains(*id) != now.contains(*id) || changed.contains_key(*id))
            .map(|id| (id.clone(), was.contains(id), now.contains(id)))
            .collect();
        let rows = self.step.delta.rows.iter();
        let found: Vec<_> = rows.map(|m| ((m.relation, m.key.clone()), m.was, m.now)).collect();
        assert_eq!(found, expected);
        let images: BTreeSet<_> = self.step.images.keys().cloned().collect();
        let unseen = now.difference(&was).filter(|id| !changed.contains_key(*id)).cloned().collect();
        assert_eq!(images, unseen);
    }

    /// Nothing is asked for that is known, or twice.
    fn check_wants(&self) {
        let mut asked = BTreeSet::new();
        let (was, now) = (self.before.rows(self.plan), self.changed());
        for want in &self.step.wants {
            let layer = &self.plan.layers[want.layer];
            let WantedRows::With { columns, values } = &want.rows else { panic!("all is wanted") };
            assert!(!values.is_empty());
            let direction = layer.links.iter().find(|l| l.own_columns == *columns).unwrap().direction;
            let held = self.before.held(self.plan, self.old, layer, columns, direction);
            for value in values {
                assert!(asked.insert((want.layer, columns, value)), "asked for twice");
                assert!(!held.contains(value), "what had a parent is known");
                if direction == Direction::ManyToOne {
                    let has_value = |id: &RowId| {
                        let row = self.new.rows.get(id);
                        row.is_some_and(|row| Key::of(row, columns).as_ref() == Some(value))
                    };
                    let mut known = was.iter().chain(now.keys()).filter(|id| id.0 == layer.table.id);
                    assert!(!known.any(has_value), "a known row is asked for");
                }
            }
        }
    }

    /// Rows that those of the transaction refer to are brought, directly or through others; what hangs on them is additional.
    fn check_purposes(&self) {
        let was = self.before.rows(self.plan);
        let changed = self.changed();
        let is_there = |id: &RowId| was.contains(id) || changed.contains_key(id);
        let brought = Membership::derived(self.plan, self.new, |link, id| {
            link.direction == Direction::ManyToOne || is_there(id)
        });
        let brought = brought.rows(self.plan);
        for (id, purpose) in &self.step.images {
            if brought.contains(id) {
                assert_eq!(*purpose, Purpose::Bring);
            } else if *purpose == Purpose::Bring {
                // Only if a row of the transaction that itself hangs on additional rows refers to it.
                let layers = self.plan.layers.iter().filter(|layer| layer.table.id == id.0);
                let links = layers.flat_map(|l| &l.links).filter(|l| l.direction == Direction::ManyToOne);
                let row = &self.new.rows[id];
                let mut parents = links.flat_map(|l| self.after.parents(self.plan, self.new, l, row));
                assert!(parents.any(|parent| {
                    changed.contains_key(&parent) || self.step.images.get(&parent) == Some(&Purpose::Bring)
                }));
            }
        }
    }

    /// Whether a row has come on which others may hang that the graph can't know.
    fn has_additional(&self) -> bool {
        let changed = self.changed();
        let root = &self.plan.layers[0];
        self.plan.layers.iter().any(|layer| {
            let is_complete =
                layer.table.id == root.table.id && (root.filter.is_all() || root.filter == layer.filter);
            let links = layer.links.iter().filter(|l| l.direction == Direction::OneToMany && !is_complete);
            links.into_iter().any(|link| {
                let held = self.before.held(self.plan, self.old, layer, &link.own_columns, link.direction);
                let parent = &self.plan.layers[link.parent].table;
                // Rows of the parent's table that gave the value up.
                let was_given_up = |value: &Key| {
                    link.parent_columns != parent.primary_key
                        && self.changes.iter().filter(|change| change.relation == parent.id).any(|change| {
                            let value_of = |row| Key::of(row, &link.parent_columns);
                            change.row.before().and_then(value_of).as_ref() == Some(value)
                                && change.row.after().and_then(value_of).as_ref() != Some(value)
                        })
                };
                self.after.values(self.plan, self.new, link).any(|(id, value)| {
                    let is_inserted = matches!(changed.get(&id), Some(RowChange::Insert { .. }));
                    !held.contains(&value) && (!is_inserted || was_given_up(&value))
                })
            })
        })
    }
}
