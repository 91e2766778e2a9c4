//! What a client keeps on its device, as spec 05 §4 has it: rows, an oplog that triggers fill, and the tags of each row.

use std::collections::{BTreeMap, BTreeSet};

use schema::Schema;

use crate::client::{Incoming, Kind, Values};

/// A row's table and key, by name.
pub type Place = (String, String);

/// What an entry of the oplog says was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Insert,
    Update,
    Delete,
    Compensation,
}

/// An entry of the oplog.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Never used twice.
    pub rowid: u32,
    pub place: Place,
    pub op: Op,
    pub old: Values,
    pub new: Values,
    /// When its snapshot was taken; none yet for what was written after the last one.
    pub ms: Option<u64>,
    pub clear: Vec<String>,
}

/// Entries that belong to one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    pub ms: u64,
    pub entries: Vec<Entry>,
}

impl Outgoing {
    /// Its position: that of its last entry.
    pub fn position(&self) -> u32 {
        self.entries.last().map_or(0, |entry| entry.rowid)
    }
}

/// The database of one client.
#[derive(Clone, Debug)]
pub struct Local {
    pub client: String,
    pub rows: BTreeMap<Place, Values>,
    pub tags: BTreeMap<Place, Vec<String>>,
    pub oplog: Vec<Entry>,
    /// Every transaction that was ever cut, in order.
    pub history: Vec<Outgoing>,
    /// For each table, its foreign keys: column and referenced table.
    references: BTreeMap<String, Vec<(String, String)>>,
    next_rowid: u32,
    used: BTreeSet<u64>,
}

/// What one side did to a row (spec 05 §4.3).
#[derive(Debug, Default)]
struct Changes {
    is_gone: bool,
    is_delete: bool,
    /// By column: value and time.
    columns: BTreeMap<String, (Option<String>, u64)>,
    row: Values,
    tags: Vec<String>,
    clear: BTreeSet<String>,
}

impl Local {
    pub fn new(client: &str, schema: &Schema) -> Local {
        let of_table = |table: &std::sync::Arc<schema::Table>| {
            let keys = table.foreign_keys.iter();
            let keys =
                keys.map(|fk| (table.columns[fk.columns[0]].name.clone(), fk.referenced_table.clone()));
            (table.name.clone(), keys.collect())
        };
        Local {
            client: client.to_owned(),
            rows: BTreeMap::new(),
            tags: BTreeMap::new(),
            oplog: Vec::new(),
            history: Vec::new(),
            references: schema.tables().map(of_table).collect(),
            next_rowid: 1,
            used: BTreeSet::new(),
        }
    }

    /// Makes a row, or changes the given columns of the one that is there.
    pub fn upsert(&mut self, table: &str, new: Values) {
        let place = (table.to_owned(), new["id"].clone().expect("a key"));
        let (op, old) = match self.rows.get(&place) {
            Some(old) => (Op::Update, old.clone()),
            None => (Op::Insert, Values::new()),
        };
        let mut row = old.clone();
        row.extend(new);
        // The newest trigger fires first: the parents' entries come before the row's own.
        for (column, parent) in self.references.get(table).cloned().unwrap_or_default() {
            let parent = row.get(&column).cloned().flatten().map(|key| (parent, key));
            if let Some(parent) = parent.filter(|parent| self.rows.contains_key(parent)) {
                let key = [("id".to_owned(), Some(parent.1.clone()))].into();
                self.log(parent, Op::Compensation, Values::new(), key);
            }
        }
        self.log(place.clone(), op, old, row.clone());
        self.rows.insert(place, row);
    }

    /// Deletes a row, if it is there.
    pub fn delete(&mut self, table: &str, key: &str) {
        let place = (table.to_owned(), key.to_owned());
        if let Some(old) = self.rows.remove(&place) {
            self.log(place, Op::Delete, old, Values::new());
        }
    }

    fn log(&mut self, place: Place, op: Op, old: Values, new: Values) {
        let rowid = self.next_rowid;
        self.next_rowid += 1;
        self.oplog.push(Entry { rowid, place, op, old, new, ms: None, clear: Vec::new() });
    }

    /// A number that no other row of the client's has, if each is named by one.
    pub fn serial(&self) -> u32 {
        self.next_rowid
    }

    /// Whether nothing waits to be echoed in these tables.
    pub fn is_quiet(&self, tables: &[&str]) -> bool {
        !self.oplog.iter().any(|entry| tables.contains(&entry.place.0.as_str()))
    }

    fn own_tag(&self, ms: u64) -> String {
        format!("{}@{ms}", self.client)
    }

    /// Makes a transaction of what was written since the last one. The clock is moved to a millisecond that it has not
    /// shown before: the real client's transactions are told apart by that.
    pub fn snapshot(&mut self, mut now: u64) {
        let first = self.oplog.partition_point(|entry| entry.ms.is_some());
        if first == self.oplog.len() {
            return;
        }
        while !self.used.insert(now) {
            now += 1;
        }
        let own = self.own_tag(now);
        let mut last = BTreeMap::new();
        for entry in &mut self.oplog[first..] {
            entry.ms = Some(now);
            if let Some(tags) = self.tags.get(&entry.place) {
                entry.clear = std::iter::once(&own).chain(tags).cloned().collect();
            }
            last.insert(entry.place.clone(), entry.op);
        }
        for (place, op) in last {
            match op {
                Op::Delete => drop(self.tags.remove(&place)),
                _ => drop(self.tags.insert(place, vec![own.clone()])),
            }
        }
        self.history.push(Outgoing { ms: now, entries: self.oplog[first..].to_vec() });
    }

    /// The transactions after a position of the oplog.
    pub fn outgoing(&self, after: u32) -> Vec<Outgoing> {
        let mut transactions: Vec<Outgoing> = Vec::new();
        for entry in self.oplog.iter().filter(|entry| entry.rowid > after) {
            let Some(ms) = entry.ms else { break };
            match transactions.last_mut().filter(|transaction| transaction.ms == ms) {
                Some(transaction) => transaction.entries.push(entry.clone()),
                None => transactions.push(Outgoing { ms, entries: vec![entry.clone()] }),
            }
        }
        transactions
    }

    /// Applies a transaction of the server's.
    pub fn receive(&mut self, origin: &str, commit_ms: u64, incoming: &[Incoming], now: u64) {
        if origin == self.client {
            self.oplog.retain(|entry| entry.ms != Some(commit_ms));
        }
        self.snapshot(now);
        let mut local = self.local_changes();
        for (place, mut theirs) in incoming_changes(incoming, commit_ms) {
            if let Some(ours) = local.remove(&place)
                && !theirs.is_gone
            {
                merge(&self.client, ours, origin, &mut theirs);
            }
            if theirs.is_gone || theirs.is_delete {
                self.rows.remove(&place);
                self.tags.remove(&place);
            } else {
                self.rows.entry(place.clone()).or_default().extend(theirs.row);
                self.tags.insert(place, theirs.tags);
            }
        }
    }

    fn local_changes(&self) -> BTreeMap<Place, Changes> {
        let mut local: BTreeMap<Place, Changes> = BTreeMap::new();
        for entry in &self.oplog {
            let Some(ms) = entry.ms else { continue };
            let changes = local.entry(entry.place.clone()).or_default();
            let differs =
                |(column, value): &(&String, &Option<String>)| entry.old.get(*column) != Some(*value);
            let written = entry.new.iter().filter(differs);
            changes.columns.extend(written.map(|(column, value)| (column.clone(), (value.clone(), ms))));
            changes.tags = if entry.op == Op::Delete { Vec::new() } else { vec![self.own_tag(ms)] };
            changes.clear.extend(entry.clear.iter().cloned());
        }
        local
    }

    /// Rows of a subscription, or additional data: INSERT OR IGNORE, and their tags in any case.
    pub fn fill(&mut self, incoming: &[Incoming]) {
        for row in incoming {
            let place = (row.table.clone(), row.key.clone());
            self.rows.entry(place.clone()).or_insert_with(|| row.new.clone());
            self.tags.insert(place, row.tags.clone());
        }
    }

    /// The rows of a gone batch.
    pub fn lose(&mut self, incoming: &[Incoming]) {
        for row in incoming {
            let place = (row.table.clone(), row.key.clone());
            self.rows.remove(&place);
            self.tags.remove(&place);
        }
    }

    /// A reset: the oplog and the tags survive (spec 02 §10.1).
    pub fn reset(&mut self) {
        self.rows.clear();
    }
}

fn incoming_changes(incoming: &[Incoming], ms: u64) -> BTreeMap<Place, Changes> {
    let mut all: BTreeMap<Place, Changes> = BTreeMap::new();
    for row in incoming {
        let place = (row.table.clone(), row.key.clone());
        let written = row.new.iter().filter(|(column, value)| row.old.get(*column) != Some(*value));
        let written: Vec<_> = written.map(|(column, value)| (column.clone(), value.clone())).collect();
        let image = if row.kind == Kind::Delete { &row.old } else { &row.new };
        let changes = match all.entry(place) {
            std::collections::btree_map::Entry::Vacant(first) => {
                first.insert(Changes { tags: row.tags.clone(), row: image.clone(), ..Changes::default() })
            }
            std::collections::btree_map::Entry::Occupied(known) => {
                let changes = known.into_mut();
                changes.row.extend(written.iter().cloned());
                changes
            }
        };
        changes.is_delete = row.kind == Kind::Delete;
        changes.is_gone = row.kind == Kind::Gone;
        changes.columns.extend(written.into_iter().map(|(column, value)| (column, (value, ms))));
    }
    all
}

/// Per column the later write wins, then the greater origin; what arrives wins over itself.
fn merge(own: &str, ours: Changes, origin: &str, theirs: &mut Changes) {
    for (column, (value, ms)) in ours.columns {
        let wins = match theirs.columns.get(&column) {
            Some((_, at)) => (ms, own) > (*at, origin),
            None => true,
        };
        if wins {
            theirs.row.insert(column, value);
        } else if let Some((value, _)) = theirs.columns.get(&column) {
            theirs.row.insert(column, value.clone());
        }
    }
    theirs.tags.retain(|tag| !ours.clear.contains(tag));
    for tag in ours.tags {
        if !theirs.tags.contains(&tag) {
            theirs.tags.push(tag);
        }
    }
    theirs.is_delete = theirs.tags.is_empty();
}
