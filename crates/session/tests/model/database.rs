//! Postgres with everything that the sync adds to it, in memory: rows with tags and registers, tombstones, the merge of client
//! transactions by the product's own rule, foreign keys as spec 05 §7.5 wants them, native writes as §1.5 and §7.2 say.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use change::{ClientOp, ClientTransaction, Field, Origin, RelationId, Tag, Tags};
use merge::{Image, RowState, Standing};
use schema::{ForeignKeyAction, Schema};

use super::tables::{self, PAIRS};
use crate::{
    naive::Values,
    simulator::{
        postgres::{Database, Key, Postgres, Write},
        random::Random,
    },
};

/// A statement of Postgres' own.
#[derive(Clone, Debug)]
pub enum Native {
    /// Makes a row or changes the one of this key.
    Put(RelationId, Vec<Option<String>>),
    Delete(Key),
    /// The row gets another key.
    Rekey(Key, String),
    Truncate(RelationId),
}

/// Why a transaction is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A row that it needs is locked.
    Locked,
    /// A foreign key or a unique key would be broken.
    Constraint,
}

pub struct Model {
    log: Postgres,
    rows: BTreeMap<Key, RowState>,
    acknowledged: HashMap<String, u64>,
    /// Every client transaction that took effect, in that order.
    pub applied: Vec<ClientTransaction>,
    /// Client transactions that came again.
    pub repetitions: usize,
    /// Rows that others than their clients have made live or die: Postgres' own sessions, foreign keys.
    pub meddled: BTreeSet<Key>,
    /// Rows that Postgres' own sessions have made anew under the very tag that the old ones had (spec 05 §1.5): who has seen the
    /// old one can't be told from who has seen the new one.
    pub confusable: BTreeSet<Key>,
}

impl Model {
    pub fn new() -> Model {
        Model {
            log: Postgres::with(tables::schema()),
            rows: BTreeMap::new(),
            acknowledged: HashMap::new(),
            applied: Vec::new(),
            repetitions: 0,
            meddled: BTreeSet::new(),
            confusable: BTreeSet::new(),
        }
    }

    pub fn log_mut(&mut self) -> &mut Postgres {
        &mut self.log
    }

    /// All that is known of rows, dead or alive.
    pub fn states(&self) -> &BTreeMap<Key, RowState> {
        &self.rows
    }

    /// The live rows.
    pub fn rows(&self) -> impl Iterator<Item = (&Key, &RowState)> {
        self.rows.iter().filter(|(_, state)| state.is_alive())
    }

    /// What is known of a row.
    pub fn row(&self, relation: RelationId, key: &str) -> Option<&RowState> {
        self.rows.get(&(relation, key.to_owned()))
    }

    /// A row that was there before its table was synced.
    pub fn untracked(&mut self, relation: RelationId, values: &[Option<&str>], random: &mut Random) {
        let key = (relation, values[0].unwrap().to_owned());
        let fields = values.iter().map(|value| field(value.map(str::to_owned))).collect();
        let state = RowState::untracked(fields, &[0]);
        self.log.commit_new(Origin::Postgres, 1, vec![(key.clone(), written(&state))], random);
        self.meddled.insert(key.clone());
        self.rows.insert(key, state);
    }

    /// One transaction of Postgres' own, begun at `started`, milliseconds since the epoch.
    pub fn native(
        &mut self,
        statements: &[Native],
        started: u64,
        random: &mut Random,
    ) -> Result<(), Refusal> {
        let mut work = Work::new(self);
        for statement in statements {
            work.execute(statement, started as i64)?;
        }
        if !work.is_consistent() {
            return Err(Refusal::Constraint);
        }
        let confusable = std::mem::take(&mut work.confusable);
        let touched = work.finish();
        self.confusable.extend(confusable);
        self.meddled.extend(touched.iter().map(|(key, _)| key.clone()));
        let newest = touched.iter().filter_map(|(_, state)| state.last_tag.as_ref()).map(|tag| tag.ms).max();
        let ms = newest.unwrap_or(started as i64) as u64;
        self.commit(Origin::Postgres, ms, touched, BTreeSet::new(), random)
    }

    /// One transaction of a client's.
    pub fn merge(&mut self, tx: &ClientTransaction, random: &mut Random) -> Result<(), Refusal> {
        let known = self.acknowledged.get(tx.client.as_str()).copied().unwrap_or_default();
        if tx.lsn.position() <= known {
            self.repetitions += 1;
            return Ok(());
        }
        let tag = Tag::client(&tx.client, tx.timestamp_ms as i64);
        let mut work = Work::new(self);
        let mut by_row: Vec<(Key, Vec<&ClientOp>)> = Vec::new();
        for op in &tx.ops {
            let key = (op.relation, text(&op.values[0]).expect("a key"));
            match by_row.iter_mut().find(|(known, _)| *known == key) {
                Some((_, ops)) => ops.push(op),
                None => by_row.push((key, vec![op])),
            }
        }
        let mut blind: BTreeSet<Key> = BTreeSet::new();
        for (key, ops) in by_row {
            let standing = work.get(&key).map_or(Standing::Unknown, RowState::standing);
            work.change(&key, |state| {
                merge::fold(ops.iter().copied(), &tag, state);
                if merge::is_blind(&ops, &tag, standing, state) {
                    blind.insert(key.clone());
                }
            });
        }
        let before = work.after.clone();
        work.settle_references(&tag)?;
        let touched = work.finish();
        let meddled = touched.iter().filter(|(key, state)| before.get(key) != Some(state));
        let meddled: Vec<Key> = meddled.map(|(key, _)| key.clone()).collect();
        self.commit(Origin::Client(tx.client.clone()), tx.timestamp_ms, touched, blind, random)?;
        self.meddled.extend(meddled);
        self.acknowledged.insert(tx.client.to_string(), tx.lsn.position());
        self.applied.push(tx.clone());
        Ok(())
    }

    fn commit(
        &mut self,
        origin: Origin,
        ms: u64,
        touched: Vec<(Key, RowState)>,
        blind: BTreeSet<Key>,
        random: &mut Random,
    ) -> Result<(), Refusal> {
        if touched.iter().any(|(key, _)| self.log.is_locked(key)) {
            return Err(Refusal::Locked);
        }
        let mut writes: Vec<Write> = Vec::new();
        for (key, state) in touched {
            let lived = self.rows.get(&key).is_some_and(RowState::is_alive);
            if lived || state.is_alive() {
                writes.push((key.clone(), written(&state)));
            }
            self.rows.insert(key, state);
        }
        self.log.blind = blind;
        match origin {
            Origin::Postgres => self.log.commit_running(origin, ms, writes, random),
            Origin::Client(_) => self.log.commit_new(origin, ms, writes, random),
        }
        self.check();
        Ok(())
    }

    /// What holds after each transaction: every reference has its target, and pairs are alike in everything.
    fn check(&self) {
        assert!(Work::new(self).is_consistent(), "every foreign key has its target");
        for ((_, key), left) in self.rows.iter().filter(|((relation, _), _)| *relation == PAIRS) {
            let Some(name) = key.strip_suffix("-l") else { continue };
            let right = self.row(PAIRS, &format!("{name}-r"));
            let alike = |right: &RowState| {
                left.tags == right.tags
                    && left.column_tags == right.column_tags
                    && left.values().map(|values| &values[1..]) == right.values().map(|values| &values[1..])
            };
            assert!(right.is_some_and(alike), "{name} was written as a pair");
        }
    }
}

impl Database for Model {
    fn log(&self) -> &Postgres {
        &self.log
    }

    fn acknowledged(&self, client: &str) -> Option<u64> {
        self.acknowledged.get(client).copied()
    }

    fn apply(&mut self, transaction: &ClientTransaction, random: &mut Random) -> bool {
        match self.merge(transaction, random) {
            Ok(()) => true,
            Err(Refusal::Locked) => false,
            Err(Refusal::Constraint) => panic!("clients refer to what there is, or was"),
        }
    }
}

/// The rows that a transaction touches, on top of those that there are.
struct Work<'a> {
    schema: &'a Schema,
    before: &'a BTreeMap<Key, RowState>,
    after: BTreeMap<Key, RowState>,
    /// Touched rows in the order of their last change.
    order: Vec<Key>,
    /// Made anew under a tag that they had.
    confusable: Vec<Key>,
}

impl<'a> Work<'a> {
    fn new(model: &'a Model) -> Work<'a> {
        Work {
            schema: &model.log.schema,
            before: &model.rows,
            after: BTreeMap::new(),
            order: Vec::new(),
            confusable: Vec::new(),
        }
    }

    fn finish(mut self) -> Vec<(Key, RowState)> {
        let after = &mut self.after;
        self.order.iter().filter_map(|key| after.remove_entry(key)).collect()
    }

    fn get(&self, key: &Key) -> Option<&RowState> {
        self.after.get(key).or_else(|| self.before.get(key))
    }

    fn is_alive(&self, key: &Key) -> bool {
        self.get(key).is_some_and(RowState::is_alive)
    }

    fn change(&mut self, key: &Key, change: impl FnOnce(&mut RowState)) {
        let columns = self.schema.table(key.0).unwrap().columns.len();
        let known = || self.before.get(key).cloned().unwrap_or_else(|| RowState::unknown(columns));
        change(self.after.entry(key.clone()).or_insert_with(known));
        self.order.retain(|touched| touched != key);
        self.order.push(key.clone());
    }

    fn living(&self) -> Vec<Key> {
        let all: BTreeSet<&Key> = self.before.keys().chain(self.after.keys()).collect();
        all.into_iter().filter(|key| self.is_alive(key)).cloned().collect()
    }

    /// The rows that a row refers to.
    fn targets(&self, key: &Key) -> Vec<(Key, ForeignKeyAction)> {
        let Some(values) = self.get(key).and_then(RowState::values) else { return Vec::new() };
        let keys = self.schema.table(key.0).unwrap().foreign_keys.iter();
        let target =
            |fk: &schema::ForeignKey| Some(((fk.references, text(&values[fk.columns[0]])?), fk.on_delete));
        keys.filter_map(target).collect()
    }

    /// The live rows that refer to a row.
    fn referrers(&self, key: &Key) -> Vec<(Key, ForeignKeyAction)> {
        let refers = |child: Key| {
            let found = self.targets(&child).into_iter().find(|(target, _)| target == key);
            found.map(|(_, action)| (child, action))
        };
        self.living().into_iter().filter_map(refers).collect()
    }

    fn is_consistent(&self) -> bool {
        self.living().iter().all(|key| self.targets(key).iter().all(|(target, _)| self.is_alive(target)))
    }

    fn touch(&mut self, key: &Key, tag: &Tag) {
        self.change(key, |state| {
            state.tags.insert(tag.clone());
            state.last_tag = Some(tag.clone());
        });
    }

    /// What a client's transaction says of rows that refer to others is made true (spec 05 §7.5).
    fn settle_references(&mut self, tag: &Tag) -> Result<(), Refusal> {
        loop {
            // A row that the client wrote has what it refers to.
            while let Some(target) = self.missing_target(tag) {
                if self.get(&target).is_none_or(|state| state.image == Image::Unknown) {
                    return Err(Refusal::Constraint);
                }
                self.touch(&target, tag);
            }
            // A row that went, and that others refer to, stays after all, or takes them with it.
            let Some((key, child, action)) = self.orphaned() else { return Ok(()) };
            match action {
                ForeignKeyAction::Cascade => self.change(&child, |state| {
                    state.tags = Tags::new();
                    state.last_tag = Some(tag.clone());
                }),
                _ => self.touch(&key, tag),
            }
        }
    }

    fn missing_target(&self, tag: &Tag) -> Option<Key> {
        let upserted = self.after.iter().filter(|(_, state)| state.tags.contains(tag));
        let mut targets = upserted.flat_map(|(key, _)| self.targets(key));
        targets.find(|(target, _)| !self.is_alive(target)).map(|(target, _)| target)
    }

    fn orphaned(&self) -> Option<(Key, Key, ForeignKeyAction)> {
        let gone = self.after.iter().filter(|(_, state)| !state.is_alive()).map(|(key, _)| key);
        let mut orphans = gone.flat_map(|key| {
            let referrers = self.referrers(key).into_iter();
            referrers.map(move |(child, action)| (key.clone(), child, action))
        });
        orphans.next()
    }

    /// A native statement, with what the triggers make of it.
    fn execute(&mut self, statement: &Native, started: i64) -> Result<(), Refusal> {
        match statement {
            Native::Put(relation, values) => {
                let key = (*relation, values[0].clone().unwrap());
                let lives = self.is_alive(&key);
                let tag = self.native_tag(&key, started);
                let known = self.get(&key).filter(|_| !lives);
                let old = known
                    .iter()
                    .flat_map(|state| state.column_tags.iter().chain([&state.last_tag]))
                    .flatten();
                if old.into_iter().any(|old| *old == tag) {
                    self.confusable.push(key.clone());
                }
                let values: Vec<Field> = values.iter().cloned().map(field).collect();
                self.change(&key, |state| {
                    match &mut state.image {
                        Image::Known(old) if lives => {
                            for ((old, new), column) in old.iter_mut().zip(values).zip(&mut state.column_tags)
                            {
                                if *old != new {
                                    *old = new;
                                    *column = Some(tag.clone());
                                }
                            }
                        }
                        image => {
                            *image = Image::Known(values);
                            state.column_tags[1..].fill(Some(tag.clone()));
                        }
                    }
                    state.tags = [tag.clone()].into_iter().collect();
                    state.last_tag = Some(tag);
                });
            }
            Native::Delete(key) => self.remove(key, started),
            Native::Rekey(key, to) => {
                let new = (key.0, to.clone());
                if !self.is_alive(key) || self.is_alive(&new) {
                    return Err(Refusal::Constraint);
                }
                let values = self.get(key).and_then(RowState::values).unwrap().iter();
                let values = [Some(to.clone())].into_iter().chain(values.skip(1).map(text)).collect();
                self.remove(key, started);
                self.execute(&Native::Put(key.0, values), started)?;
            }
            Native::Truncate(relation) => {
                let all: Vec<Key> = self.living().into_iter().filter(|key| key.0 == *relation).collect();
                all.iter().for_each(|key| self.remove(key, started));
            }
        }
        Ok(())
    }

    fn remove(&mut self, key: &Key, started: i64) {
        if !self.is_alive(key) {
            return;
        }
        let tag = self.native_tag(key, started);
        self.change(key, |state| {
            state.tags = Tags::new();
            state.last_tag = Some(tag);
        });
        for (child, action) in self.referrers(key) {
            if action == ForeignKeyAction::Cascade {
                self.remove(&child, started);
            }
        }
    }

    /// Postgres' own tag is never behind any that the row has seen.
    fn native_tag(&self, key: &Key, started: i64) -> Tag {
        let state = self.get(key);
        let seen = state.iter().flat_map(|state| state.column_tags.iter().chain([&state.last_tag])).flatten();
        Tag::postgres(seen.map(|tag| tag.ms).fold(started, i64::max))
    }
}

fn written(state: &RowState) -> Option<(Values, Tags)> {
    let values = state.values().filter(|_| state.is_alive())?;
    Some((values.iter().map(text).collect(), state.tags.clone()))
}

/// A value as text.
pub fn text(field: &Field) -> Option<String> {
    field.value().map(|value| String::from_utf8(value.to_vec()).unwrap())
}

fn field(value: Option<String>) -> Field {
    value.map_or(Field::Null, |value| Field::Value(value.into_bytes().into()))
}
