//! The changes of one transaction, folded to one net change per row.
//!
//! Rows are known by table and primary key. A few are found by looking through all; with more, by hash.

use std::{collections::HashMap, sync::Arc};

use bytes::{Bytes, BytesMut};
use change::{Change, Origin, RelationId, Row, RowBuilder, RowChange, Tag, Tags};
use schema::Table;
use smallvec::SmallVec;

use super::{
    AssembleError,
    relation::{Role, ShadowRole, TableRole},
};
use crate::{
    pgoutput::{Datum, Message, OldTuple, Place, Tuple},
    tag_text::{parse_tag, parse_tags},
};

/// The text of a primary key's columns.
type Key<'a> = SmallVec<[&'a [u8]; 2]>;

/// From so many rows on they are found by hash.
const LOOK_THROUGH: usize = 8;

pub(super) struct Net<'a> {
    entries: Vec<Entry<'a>>,
    index: Option<HashMap<(RelationId, Key<'a>), usize>>,
    /// Counts the changes of rows.
    steps: usize,
    newest_native_ms: Option<i64>,
}

/// What became of one row so far.
struct Entry<'a> {
    table: &'a Arc<Table>,
    key: Key<'a>,
    /// Whether `before` and `after` are known.
    touched: bool,
    /// Which change was its last.
    last_step: usize,
    before: Side<'a>,
    after: Side<'a>,
    tags: Option<Tags>,
    /// The image in a shadow row that says that the row is dead.
    tombstone: Option<&'a [u8]>,
    /// Whether a shadow row says that its author did not know how it stood.
    blind: bool,
}

/// A row before or after the transaction.
#[derive(Clone, Copy)]
enum Side<'a> {
    Absent,
    Tuple(Image<'a>),
    /// JSON: column name → text or null.
    Tombstone(&'a [u8]),
}

/// A row in a message.
#[derive(Clone, Copy)]
struct Image<'a> {
    role: &'a TableRole,
    tuple: Tuple<'a>,
    /// Where the values are that `tuple` does not repeat.
    old: Option<Tuple<'a>>,
}

/// Where the values of a transaction's rows are kept: together, since each piece of memory has its price, and apart from the
/// buffers they were received in, which hold much else.
struct Store {
    chunk: BytesMut,
    chunk_size: usize,
}

impl Store {
    /// Bytes of a chunk in a large transaction: what one row can hold on to when it outlives the others.
    const CHUNK: usize = 64 * 1024;

    fn for_rows(rows: usize) -> Store {
        // A few rows fill no chunk; each gets just what it needs.
        Store { chunk: BytesMut::new(), chunk_size: if rows <= LOOK_THROUGH { 0 } else { Store::CHUNK } }
    }

    fn keep(&mut self, data: &[u8]) -> Bytes {
        if data.len() >= self.chunk_size {
            return Bytes::copy_from_slice(data);
        }
        if self.chunk.capacity() < data.len() {
            self.chunk = BytesMut::with_capacity(self.chunk_size);
        }
        self.chunk.extend_from_slice(data);
        self.chunk.split().freeze()
    }
}

impl<'a> Net<'a> {
    pub(super) fn new(records: usize) -> Net<'a> {
        Net { entries: Vec::with_capacity(records.min(1024)), index: None, steps: 0, newest_native_ms: None }
    }

    /// The newest tag of Postgres' own among the rows' last tags.
    pub(super) fn newest_native_ms(&self) -> Option<i64> {
        self.newest_native_ms
    }

    fn entry(&mut self, table: &'a Arc<Table>, key: Key<'a>) -> &mut Entry<'a> {
        let found = match &self.index {
            Some(index) => index.get(&(table.id, key.clone())).copied(),
            None => self.entries.iter().position(|entry| entry.table.id == table.id && entry.key == key),
        };
        let at = found.unwrap_or(self.entries.len());
        if found.is_none() {
            match &mut self.index {
                Some(index) => {
                    index.insert((table.id, key.clone()), at);
                }
                None if at == LOOK_THROUGH => {
                    let known = self.entries.iter().map(|entry| (entry.table.id, entry.key.clone()));
                    let added = (table.id, key.clone());
                    self.index =
                        Some(known.chain([added]).enumerate().map(|(at, name)| (name, at)).collect());
                }
                None => {}
            }
            let (before, after) = (Side::Absent, Side::Absent);
            self.entries.push(Entry {
                table,
                key,
                touched: false,
                last_step: 0,
                before,
                after,
                tags: None,
                tombstone: None,
                blind: false,
            });
        }
        &mut self.entries[at]
    }

    /// The entry of a row that is being changed.
    fn change(&mut self, table: &'a Arc<Table>, key: Key<'a>) -> &mut Entry<'a> {
        self.steps += 1;
        let step = self.steps;
        let entry = self.entry(table, key);
        entry.last_step = step;
        entry
    }

    /// A change of a synced table.
    pub(super) fn table_row(
        &mut self,
        role: &'a Role,
        table: &'a TableRole,
        source: &'a Bytes,
    ) -> Result<(), AssembleError> {
        let image = |tuple, old| Image { role: table, tuple, old };
        let identity_lost = || AssembleError::IdentityLost { table: role.relation.name.clone() };
        match Message::parse(source)? {
            Message::Insert { new, .. } => self.put(image(new, None))?,
            Message::Update { old: Some(OldTuple::Full(old)), new, .. } => {
                self.take(image(old, None), Some(image(new, Some(old))))?;
            }
            Message::Delete { old: OldTuple::Full(old), .. } => self.take(image(old, None), None)?,
            Message::Update { .. } | Message::Delete { .. } => return Err(identity_lost()),
            _ => {}
        }
        Ok(())
    }

    /// A row comes to be.
    fn put(&mut self, new: Image<'a>) -> Result<(), AssembleError> {
        let entry = self.change(&new.role.table, new.key()?);
        entry.touched = true;
        entry.after = Side::Tuple(new);
        Ok(())
    }

    /// A row goes, or becomes another one: under another key it is another row (spec 05 §1.6).
    fn take(&mut self, old: Image<'a>, new: Option<Image<'a>>) -> Result<(), AssembleError> {
        let key = old.key()?;
        let same_row = match &new {
            Some(new) => new.key()? == key,
            None => false,
        };
        let entry = self.change(&old.role.table, key);
        if !entry.touched {
            entry.touched = true;
            entry.before = Side::Tuple(old);
        }
        match new {
            Some(new) if same_row => entry.after = Side::Tuple(new),
            Some(new) => {
                entry.after = Side::Absent;
                self.put(new)?;
            }
            None => entry.after = Side::Absent,
        }
        Ok(())
    }

    /// A change of a shadow table. Dead rows may be cleared away; that means nothing.
    pub(super) fn shadow_row(
        &mut self,
        role: &'a Role,
        shadow: &'a ShadowRole,
        source: &'a Bytes,
    ) -> Result<(), AssembleError> {
        let (Message::Insert { new, .. } | Message::Update { new, .. }) = Message::parse(source)? else {
            return Ok(());
        };
        let values: SmallVec<[Datum<'a>; 16]> = new.iter().collect();
        let bad = |problem| AssembleError::Bookkeeping { table: role.relation.name.clone(), problem };
        let text = |column: usize| match values.get(column) {
            Some(Datum::Text(text)) => Some(*text),
            _ => None,
        };
        let key = shadow.key.iter().map(|column| text(*column)).collect::<Option<Key<'a>>>();
        let key = key.ok_or(bad("a row has no key"))?;
        let tags = text(shadow.tags).and_then(|tags| parse_tags(tags).ok());
        let tags = tags.ok_or(bad("a row has no tags"))?;
        if let Some(last) = shadow.tag.and_then(text)
            && let Ok(Tag { ms, origin: Origin::Postgres }) = parse_tag(last)
        {
            self.newest_native_ms = self.newest_native_ms.max(Some(ms));
        }
        let entry = self.entry(&shadow.table, key);
        let image = shadow.image.and_then(text);
        match tags.is_empty() {
            true => entry.tombstone = image,
            false => {
                entry.tombstone = None;
                entry.blind |= image.is_some_and(has_note);
            }
        }
        entry.tags = Some(tags);
        Ok(())
    }

    /// Relations are emptied. Each of their rows has left its image in its shadow row just before (spec 05 §7.2).
    pub(super) fn truncate(&mut self, relations: &[u32]) {
        self.steps += 1;
        for entry in self.entries.iter_mut().filter(|entry| relations.contains(&entry.table.id.0)) {
            match entry.tombstone {
                _ if entry.touched && matches!(entry.after, Side::Absent) => continue,
                _ if entry.touched => entry.after = Side::Absent,
                Some(image) => entry.before = Side::Tombstone(image),
                None => continue,
            }
            entry.touched = true;
            entry.last_step = self.steps;
        }
    }

    /// The net changes, in the order of each row's last change (spec 06 §6.6). Their rows hold on to nothing that was received.
    pub(super) fn finish(mut self) -> Result<Vec<Change>, AssembleError> {
        self.index = None;
        // What one statement does stays in the order in which rows were first heard of.
        self.entries.sort_by_key(|entry| entry.last_step);
        let mut store = Store::for_rows(self.entries.len());
        let mut changes = Vec::with_capacity(self.entries.len());
        for mut entry in self.entries {
            if !entry.touched {
                match entry.tombstone.filter(|image| has_note(image)) {
                    Some(image) => entry.before = Side::Tombstone(image),
                    None => continue,
                }
            }
            let old = entry.before.row(entry.table, &mut store)?;
            let new = entry.after.row(entry.table, &mut store)?;
            let tags = || {
                let tags = entry.tags.filter(|tags| !tags.is_empty());
                tags.unwrap_or_else(|| Tags::from_iter([Tag::EPOCH]))
            };
            let row = match (old, new) {
                (None, None) => continue,
                (None, Some(new)) => RowChange::Insert { new, tags: tags() },
                (Some(old), Some(new)) => RowChange::Update { old, new, tags: tags() },
                (Some(old), None) => RowChange::Delete { old },
            };
            let blind = entry.blind && row.after().is_some();
            changes.push(Change { relation: entry.table.id, row, blind });
        }
        Ok(changes)
    }
}

/// Whether an image holds a note of the writer's. That of a dead row is there to be told of, though its table has not changed: its author
/// believes that it lives (`tieline rejected discard`). A live row has no image but for the note that its author did not know how it
/// stood. Postgres puts the shortest name first.
fn has_note(image: &[u8]) -> bool {
    image.starts_with(b"{\"\": ")
}

impl<'a> Image<'a> {
    fn key(&self) -> Result<Key<'a>, AssembleError> {
        let value = |column: usize| {
            let old = || self.old.and_then(|old| old.iter().nth(column));
            let datum = match self.tuple.iter().nth(column) {
                Some(Datum::Unchanged) => old(),
                other => other,
            };
            match datum {
                Some(Datum::Text(text)) => Some(text),
                _ => None,
            }
        };
        let key = self.role.key.iter().map(|column| value(*column)).collect::<Option<_>>();
        key.ok_or(AssembleError::OutOfOrder("a row lacks its primary key"))
    }

    fn row(&self, store: &mut Store) -> Result<Row, AssembleError> {
        let places: SmallVec<[Place; 16]> = self.tuple.places().collect();
        let place = |position: &Option<usize>| position.and_then(|at| places.get(at));
        if places.contains(&Place::Unchanged) {
            return self.row_with_old_values(&places);
        }
        let data = store.keep(self.tuple.data());
        let ranges = self.role.positions.iter().map(|position| match place(position) {
            Some(Place::At(range)) => Some(range.clone()),
            _ => None,
        });
        RowBuilder::point_into(data, ranges).ok_or(AssembleError::OutOfOrder("a row is larger than 4 GiB"))
    }

    fn row_with_old_values(&self, places: &[Place]) -> Result<Row, AssembleError> {
        let lost = || AssembleError::IdentityLost { table: self.role.table.name.clone() };
        let old = self.old.ok_or_else(lost)?;
        let old_places: SmallVec<[Place; 16]> = old.places().collect();
        let mut builder = RowBuilder::default();
        for position in &self.role.positions {
            let at = position.unwrap_or(usize::MAX);
            builder.push(match (places.get(at), old_places.get(at)) {
                (Some(Place::At(range)), _) => self.tuple.data().get(range.clone()),
                (Some(Place::Unchanged), Some(Place::At(range))) => old.data().get(range.clone()),
                (Some(Place::Unchanged), Some(Place::Null)) => None,
                (Some(Place::Unchanged), _) => return Err(lost()),
                (Some(Place::Null) | None, _) => None,
            });
        }
        Ok(builder.finish())
    }
}

impl Side<'_> {
    fn row(&self, table: &Table, store: &mut Store) -> Result<Option<Row>, AssembleError> {
        match self {
            Side::Absent => Ok(None),
            Side::Tuple(image) => image.row(store).map(Some),
            Side::Tombstone(json) => {
                let values: HashMap<String, Option<String>> =
                    serde_json::from_slice(json).map_err(|_| AssembleError::Bookkeeping {
                        table: table.shadow.name.clone(),
                        problem: "an _image is not an object of texts",
                    })?;
                let value = |name: &str| values.get(name).and_then(Option::as_deref).map(str::as_bytes);
                Ok(Some(table.columns.iter().map(|column| value(&column.name)).collect()))
            }
        }
    }
}
