//! A database in memory: transactions that overlap, commits that reach the log before queries see them, snapshots.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use change::{
    Change, ClientOp, ClientOpKind, ClientTransaction, Lsn, Origin, RelationId, Row, RowChange, Snapshot,
    Tags, Transaction, Xid,
};
use schema::{Migration, Schema, Table};
use session::Delivery;

use super::random::Random;
use crate::{
    naive::{Rows, Values},
    tables::{self, ISSUES, ITEMS, LATE, NOTES, OWNED, PROJECTS},
};

/// A row's table and key.
pub type Key = (RelationId, String);

/// What a transaction makes of a row: its values and tags, or `None` if it deletes it.
pub type Write = (Key, Option<(Values, Tags)>);

/// One committed transaction.
pub struct Record {
    pub delivery: Arc<Delivery>,
    effects: Vec<Write>,
}

/// What connections need of a database.
pub trait Database {
    /// Its log, and what queries see of it.
    fn log(&self) -> &Postgres;
    /// The position of the client's last transaction that was applied.
    fn acknowledged(&self, client: &str) -> Option<u64>;
    /// Applies a client's transaction; false while a row it needs is locked.
    fn apply(&mut self, transaction: &ClientTransaction, random: &mut Random) -> bool;
}

pub struct Postgres {
    pub log: Vec<Record>,
    pub schema: Arc<Schema>,
    /// That before the last transaction.
    schema_before: Arc<Schema>,
    /// The table `notes`, which may be dropped and made anew.
    pub notes: RelationId,
    /// The tables as they are, synced or not.
    definitions: BTreeMap<RelationId, Arc<Table>>,
    pub migrations: Vec<Arc<Migration>>,
    /// The last transaction of each client.
    acknowledged: HashMap<String, u64>,
    rows: Rows,
    /// Begun, not committed.
    running: Vec<u64>,
    /// Committed, not yet visible to queries, with the rows they hold locked.
    unseen: Vec<(u64, Vec<Key>)>,
    /// Rows that the author of the transaction about to be committed wrote without knowing how they stood.
    pub blind: BTreeSet<Key>,
    next_xid: u64,
    newest_seen: u64,
    end: u64,
}

impl Postgres {
    pub fn new() -> Postgres {
        Postgres::with(tables::schema())
    }

    /// With these tables.
    pub fn with(schema: Arc<Schema>) -> Postgres {
        Postgres {
            log: Vec::new(),
            notes: NOTES,
            definitions: schema.tables().map(|table| (table.id, table.clone())).collect(),
            schema_before: schema.clone(),
            schema,
            migrations: Vec::new(),
            acknowledged: HashMap::new(),
            rows: BTreeMap::new(),
            running: Vec::new(),
            unseen: Vec::new(),
            blind: BTreeSet::new(),
            next_xid: 1_000,
            newest_seen: 999,
            end: 10_000,
        }
    }

    /// `pg_current_wal_insert_lsn()`.
    pub fn end(&self) -> Lsn {
        Lsn(self.end)
    }

    /// All rows now.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// All rows after everything that was committed up to a position.
    pub fn rows_at(&self, at: Lsn) -> Rows {
        self.rows_after(|record| record.delivery.transaction.lsn <= at)
    }

    /// All rows that a query in a snapshot finds.
    pub fn rows_in(&self, snapshot: &Snapshot) -> Rows {
        self.rows_after(|record| snapshot.sees(record.delivery.transaction.xid))
    }

    /// The tags of a row that is there, after everything that was committed up to a position.
    pub fn tags_at(&self, key: &Key, at: Lsn) -> Tags {
        self.tags_after(key, |record| record.delivery.transaction.lsn <= at)
    }

    /// The tags of a row that a query in a snapshot finds.
    pub fn tags_in(&self, key: &Key, snapshot: &Snapshot) -> Tags {
        self.tags_after(key, |record| snapshot.sees(record.delivery.transaction.xid))
    }

    fn tags_after(&self, key: &Key, is_seen: impl Fn(&Record) -> bool) -> Tags {
        let effects = self.log.iter().rev().filter(|record| is_seen(record)).flat_map(|r| &r.effects);
        let last = effects.filter(|(written, _)| written == key).find_map(|(_, after)| after.as_ref());
        last.map(|(_, tags)| tags.clone()).unwrap_or_default()
    }

    fn rows_after(&self, is_seen: impl Fn(&Record) -> bool) -> Rows {
        let mut rows = Rows::new();
        for (key, after) in self.log.iter().filter(|record| is_seen(record)).flat_map(|r| &r.effects) {
            match after {
                Some((values, _)) => drop(rows.insert(key.clone(), values.clone())),
                None => drop(rows.remove(key)),
            }
        }
        let fitted = |(key, values): (Key, Values)| {
            let table = &self.definitions[&key.0];
            (key, fit(table, values))
        };
        rows.into_iter().map(fitted).collect()
    }

    /// A transaction begins, to be committed by a later one of these calls.
    pub fn begin(&mut self) {
        if self.running.len() < 4 {
            self.running.push(self.next_xid);
            self.next_xid += 1;
        }
    }

    /// One of the running transactions changes some rows and commits. It is in the log from now on, visible a little later.
    pub fn commit_some(&mut self, random: &mut Random) {
        self.begin();
        let at = random.below(self.running.len());
        let mut writes = Vec::new();
        for _ in 0..=random.below(3) {
            let table = [ITEMS, self.notes, OWNED][random.below(3)];
            let key = random.below(6).to_string();
            let content = random.below(1_000).to_string();
            let values = match table {
                OWNED => {
                    let owner = [Some("u0"), Some("u1"), Some("u2"), None][random.below(4)];
                    vec![Some(key.clone()), owner.map(str::to_owned), Some(content)]
                }
                _ => vec![Some(key.clone()), Some(content)],
            };
            if !writes.iter().any(|(written, _)| *written == (table, key.clone())) {
                writes.push(((table, key), (!random.one_in(4)).then_some(values)));
            }
        }
        let mut after = self.rows.clone();
        for (key, values) in &writes {
            match values {
                Some(values) => drop(after.insert(key.clone(), values.clone())),
                None => drop(after.remove(key)),
            }
        }
        if writes.iter().any(|(key, _)| self.is_locked(key)) || !self.is_consistent(&after) {
            return;
        }
        let xid = self.running.swap_remove(at);
        self.commit(xid, Origin::Postgres, 1_700_000_000_000 + self.end, writes, None, random);
    }

    /// One of the running transactions changes some rows of tables that refer to each other, and commits.
    pub fn commit_joined(&mut self, random: &mut Random) {
        self.begin();
        let at = random.below(self.running.len());
        let mut after = self.rows.clone();
        let mut touched: Vec<Key> = Vec::new();
        for _ in 0..1 + random.below(4) {
            let key = random.below(5).to_string();
            let status = Some(["a", "b", "c"][random.below(3)].to_owned());
            let is_project = random.one_in(2);
            let mut other = |table: RelationId| {
                let keys: Vec<&Key> = after.keys().filter(|(relation, _)| *relation == table).collect();
                let some = (!keys.is_empty()).then(|| keys[random.below(keys.len())].1.clone());
                some.filter(|_| !random.one_in(4))
            };
            let (table, values) = if is_project {
                let lead = other(OWNED);
                (PROJECTS, vec![Some(key.clone()), status, lead])
            } else {
                let (project, parent) = (other(PROJECTS), other(ISSUES));
                (ISSUES, vec![Some(key.clone()), status, project, parent])
            };
            let key = (table, key);
            if random.one_in(4) {
                after.remove(&key);
            } else {
                after.insert(key.clone(), values);
            }
            touched.push(key);
        }
        touched.sort();
        touched.dedup();
        if !self.is_consistent(&after) || touched.iter().any(|key| self.is_locked(key)) {
            return;
        }
        let xid = self.running.swap_remove(at);
        let writes = touched.into_iter().map(|key| (key.clone(), after.get(&key).cloned())).collect();
        self.commit(xid, Origin::Postgres, 1_700_000_000_000 + self.end, writes, None, random);
    }

    /// Whether every foreign key has its target.
    fn is_consistent(&self, rows: &Rows) -> bool {
        rows.iter().all(|((relation, _), values)| {
            let table = &self.definitions[relation];
            table.foreign_keys.iter().all(|fk| {
                let target = values.get(fk.columns[0]).cloned().flatten();
                target.is_none_or(|target| rows.contains_key(&(fk.references, target)))
            })
        })
    }

    /// A transaction adds a column to a table. Nobody else is under way meanwhile.
    pub fn migrate(&mut self, random: &mut Random) {
        if !self.unseen.is_empty() || self.migrations.len() >= 4 {
            return;
        }
        let (migration, schema) = tables::migration(self.migrations.len() + 1, &self.schema);
        self.commit_migration(ITEMS, &migration, schema, random);
    }

    /// A transaction creates the table `late`. Nobody else is under way meanwhile. Whether it could.
    pub fn create_late(&mut self, random: &mut Random) -> bool {
        if !self.unseen.is_empty() || self.has_late() {
            return false;
        }
        let (migration, schema) = tables::creation(self.migrations.len() + 1, &self.schema);
        self.commit_migration(LATE, &migration, schema, random);
        true
    }

    pub fn has_late(&self) -> bool {
        self.schema.table(LATE).is_some()
    }

    /// A transaction writes a row of `late`, if nobody holds that.
    pub fn write_late(&mut self, random: &mut Random) {
        let (key, content) = (random.below(6).to_string(), random.below(1_000).to_string());
        let values = (!random.one_in(4)).then(|| vec![Some(key.clone()), Some(content)]);
        if self.is_locked(&(LATE, key.clone())) {
            return;
        }
        let xid = self.next_xid;
        self.next_xid += 1;
        let commit_ms = 1_700_000_000_000 + self.end;
        self.commit(xid, Origin::Postgres, commit_ms, vec![((LATE, key), values)], None, random);
    }

    fn is_synced(&self, id: RelationId) -> bool {
        self.schema.table(id).is_some_and(|table| table.held_back.is_none())
    }

    /// The tables that come and go.
    fn evolving(&self) -> [RelationId; 3] {
        [self.notes, PROJECTS, ISSUES]
    }

    /// A transaction takes a table out of the sync, suspends it, puts it back, drops it and makes another of its name, or adds a
    /// column. Nobody else is under way meanwhile.
    pub fn evolve(&mut self, random: &mut Random) {
        if !self.unseen.is_empty() || self.migrations.len() >= 40 {
            return;
        }
        let table = self.evolving()[random.below(3)];
        let is_held = self.schema.table(table).is_some_and(|table| table.held_back.is_some());
        let suspended = schema::Record::Suspended { relation: table, reason: "it was bent".to_owned() };
        let mut writes = Vec::new();
        let records = match random.below(6) {
            0 | 1 if self.schema.table(table).is_none() || is_held => vec![self.snapshot_of(table)],
            0 if random.one_in(3) => vec![schema::Record::Removed(table), self.snapshot_of(table)],
            0 => vec![schema::Record::Removed(table)],
            1 => vec![suspended],
            2 if table == self.notes && random.one_in(2) => {
                writes =
                    self.rows.keys().filter(|key| key.0 == table).map(|key| (key.clone(), None)).collect();
                let definition = Table::clone(&self.definitions[&table]);
                self.notes = RelationId(17_000 + self.migrations.len() as u32);
                self.definitions.insert(self.notes, Arc::new(Table { id: self.notes, ..definition }));
                vec![schema::Record::Removed(table), self.snapshot_of(self.notes)]
            }
            2..4 if self.is_synced(table) => {
                let mut definition = Table::clone(&self.definitions[&table]);
                let mut column = definition.columns[1].clone();
                column.name = format!("added_{}", self.migrations.len());
                definition.shadow.tag_columns.push(Some(format!("_tag_{}", column.name)));
                definition.columns.push(column);
                self.definitions.insert(table, Arc::new(definition));
                vec![self.snapshot_of(table)]
            }
            _ => return,
        };
        self.commit_records(&records, writes, random);
    }

    /// Everything is synced again.
    pub fn restore_all(&mut self, random: &mut Random) {
        let missing = self.evolving().into_iter().filter(|id| !self.is_synced(*id));
        let records: Vec<_> = missing.map(|id| self.snapshot_of(id)).collect();
        if !records.is_empty() {
            self.commit_records(&records, Vec::new(), random);
        }
    }

    fn snapshot_of(&self, id: RelationId) -> schema::Record {
        let table = Table { held_back: None, ..Table::clone(&self.definitions[&id]) };
        schema::Record::Snapshot(Box::new(schema::Snapshot { enums: Vec::new(), table }))
    }

    fn commit_records(
        &mut self,
        records: &[schema::Record],
        writes: Vec<(Key, Option<Values>)>,
        random: &mut Random,
    ) {
        let version = format!("20240102000000_{:03}", self.migrations.len() + 1);
        let xid = self.next_xid;
        self.next_xid += 1;
        let evolution = schema::evolve(&version, Xid(xid), 1_700_000_000_000, records, &self.schema);
        self.schema = Arc::new(evolution.schema);
        let migration = Arc::new(evolution.migration);
        self.migrations.push(migration.clone());
        self.commit(xid, Origin::Postgres, 1_700_000_000_000 + self.end, writes, Some(migration), random);
        // It holds all that comes and goes until it is visible.
        let held = self.evolving();
        let keys = held.iter().flat_map(|table| (0..6).map(|key| (*table, key.to_string())));
        self.unseen.last_mut().unwrap().1.extend(keys);
    }

    fn commit_migration(
        &mut self,
        table: RelationId,
        migration: &Migration,
        schema: Arc<Schema>,
        random: &mut Random,
    ) {
        let xid = self.next_xid;
        self.next_xid += 1;
        let migration = Arc::new(Migration { xid: Xid(xid), ..migration.clone() });
        for table in schema.tables().filter(|table| table.held_back.is_none()) {
            self.definitions.insert(table.id, table.clone());
        }
        self.schema = schema;
        self.migrations.push(migration.clone());
        self.commit(xid, Origin::Postgres, 1_700_000_000_000 + self.end, Vec::new(), Some(migration), random);
        // It holds the table until it is visible.
        self.unseen.last_mut().unwrap().1.extend((0..6).map(|key| (table, key.to_string())));
    }

    /// Whether a transaction that is not yet visible holds the row.
    pub fn is_locked(&self, key: &Key) -> bool {
        self.unseen.iter().any(|(_, locked)| locked.contains(key))
    }

    fn commit(
        &mut self,
        xid: u64,
        origin: Origin,
        commit_ms: u64,
        writes: Vec<(Key, Option<Values>)>,
        migration: Option<Arc<Migration>>,
        random: &mut Random,
    ) {
        let tags = tables::tags(commit_ms as i64);
        let writes =
            writes.into_iter().map(|(key, values)| (key, values.map(|values| (values, tags.clone()))));
        self.commit_tagged(xid, origin, commit_ms, writes.collect(), migration, random);
    }

    /// Commits a transaction of a new number.
    pub fn commit_new(&mut self, origin: Origin, commit_ms: u64, writes: Vec<Write>, random: &mut Random) {
        let xid = self.next_xid;
        self.next_xid += 1;
        self.commit_tagged(xid, origin, commit_ms, writes, None, random);
    }

    /// Commits one of the running transactions, or a new one.
    pub fn commit_running(
        &mut self,
        origin: Origin,
        commit_ms: u64,
        writes: Vec<Write>,
        random: &mut Random,
    ) {
        self.begin();
        let at = random.below(self.running.len());
        let xid = self.running.swap_remove(at);
        self.commit_tagged(xid, origin, commit_ms, writes, None, random);
    }

    fn commit_tagged(
        &mut self,
        xid: u64,
        origin: Origin,
        commit_ms: u64,
        writes: Vec<Write>,
        migration: Option<Arc<Migration>>,
        random: &mut Random,
    ) {
        let blind = std::mem::take(&mut self.blind);
        let mut changes = Vec::new();
        let mut effects = Vec::new();
        for (key, after) in writes {
            let table = self.definitions[&key.0].clone();
            let after = after.map(|(values, tags)| (fit(&table, values), tags));
            let old = self.rows.get(&key).map(|values| row(&fit(&table, values.clone())));
            let change = match (old, &after) {
                (None, None) => continue,
                (None, Some((new, tags))) => RowChange::Insert { new: row(new), tags: tags.clone() },
                (Some(old), Some((new, tags))) => {
                    RowChange::Update { old, new: row(new), tags: tags.clone() }
                }
                (Some(old), None) => RowChange::Delete { old },
            };
            if self.is_synced(key.0) {
                let blind = blind.contains(&key) && after.is_some();
                changes.push(Change { relation: key.0, row: change, blind });
            }
            match &after {
                Some((values, _)) => drop(self.rows.insert(key.clone(), values.clone())),
                None => drop(self.rows.remove(&key)),
            }
            effects.push((key, after));
        }
        self.end += 8 + random.below(100) as u64;
        let transaction = Transaction { lsn: Lsn(self.end), xid: Xid(xid), commit_ms, origin, changes };
        let delivery = Delivery::new(transaction, self.schema.clone(), migration);
        let before = std::mem::replace(&mut self.schema_before, self.schema.clone());
        let delivery = Arc::new(delivery.after(before));
        self.unseen.push((xid, effects.iter().map(|(key, _)| key.clone()).collect()));
        self.log.push(Record { delivery, effects });
        if random.one_in(3) {
            // Others write to the log, too.
            self.end += random.below(100) as u64;
        }
    }

    /// One of the committed transactions becomes visible; whether there was one.
    pub fn show_one(&mut self, random: &mut Random) -> bool {
        if self.unseen.is_empty() {
            return false;
        }
        let at = random.below(self.unseen.len());
        let (xid, _) = self.unseen.swap_remove(at);
        self.newest_seen = self.newest_seen.max(xid);
        true
    }

    /// What `pg_current_snapshot()` says now.
    pub fn snapshot(&self) -> Snapshot {
        let xmax = self.newest_seen + 1;
        let mut in_progress: Vec<Xid> = self
            .running
            .iter()
            .chain(self.unseen.iter().map(|(xid, _)| xid))
            .filter(|xid| **xid < xmax)
            .map(|xid| Xid(*xid))
            .collect();
        in_progress.sort_unstable();
        Snapshot { xmin: in_progress.first().copied().unwrap_or(Xid(xmax)), xmax: Xid(xmax), in_progress }
    }
}

/// A client's operations take effect as they are, whatever was there.
impl Database for Postgres {
    fn log(&self) -> &Postgres {
        self
    }

    fn acknowledged(&self, client: &str) -> Option<u64> {
        self.acknowledged.get(client).copied()
    }

    fn apply(&mut self, transaction: &ClientTransaction, random: &mut Random) -> bool {
        let acknowledged = self.acknowledged.entry(transaction.client.to_string()).or_default();
        if transaction.lsn.position() <= *acknowledged {
            return true;
        }
        let write = |op: &ClientOp| {
            let text = |index: usize| {
                op.values.get(index).and_then(|f| f.value()).map(|v| String::from_utf8(v.to_vec()).unwrap())
            };
            let values = (0..op.values.len()).map(text).collect();
            let key = (op.relation, text(0).unwrap());
            (key, (op.kind != ClientOpKind::Delete).then_some(values))
        };
        let writes: Vec<(Key, Option<Values>)> = transaction.ops.iter().map(write).collect();
        if writes.iter().any(|(key, _)| self.is_locked(key)) {
            return false;
        }
        self.acknowledged.insert(transaction.client.to_string(), transaction.lsn.position());
        let xid = self.next_xid;
        self.next_xid += 1;
        let origin = Origin::Client(transaction.client.clone());
        self.commit(xid, origin, transaction.timestamp_ms, writes, None, random);
        true
    }
}

/// As many values as the table has columns.
pub fn fit(table: &Table, mut values: Values) -> Values {
    values.resize(table.columns.len(), None);
    values
}

/// Values that are not NULL, by name.
pub fn named(table: &Table, values: &Values) -> BTreeMap<String, String> {
    let columns = table.columns.iter().zip(values);
    columns.filter_map(|(column, value)| Some((column.name.clone(), value.clone()?))).collect()
}

pub fn row(values: &Values) -> Row {
    values.iter().map(|value| value.as_deref().map(str::as_bytes)).collect()
}
