//! Transactions as bytes, and back.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use change::{
    Change, ClientId, Lsn, Origin, RelationId, Row, RowBuilder, RowChange, Tag, Tags, Transaction, Xid,
};

use super::{
    Malformed,
    frame::{self, MAX_PAYLOAD},
    kind,
    wire::{Input, put_optional, put_varint},
};
use crate::{Record, RecordRef};

const INSERT: u8 = 1;
const UPDATE: u8 = 2;
const DELETE: u8 = 3;
/// Added to these if the author did not know how the row stood.
const BLIND: u8 = 16;

/// How a row's columns are told apart: NULL, what the old row has, a value of this length less its number of bytes.
const NULL: u64 = 0;
const AS_BEFORE: u64 = 1;
const VALUE: u64 = 2;

/// Changes for which memory is set aside before they are seen.
const FORESEEN: usize = 1024;

/// Appends a transaction: one frame, or several if it is long. `schema` is the version of the schema before it.
pub(crate) fn put(out: &mut Vec<u8>, record: RecordRef<'_>, schema: Option<&str>) {
    let at = frame::begin(out);
    out.push(kind::TRANSACTION);
    put_body(out, record, schema);
    if out.len() - at - frame::HEAD <= MAX_PAYLOAD {
        frame::end(out, at);
        return;
    }
    let body = out.split_off(at + frame::HEAD + 1);
    out.truncate(at);
    let mut parts = body.chunks(MAX_PAYLOAD - 1).peekable();
    while let Some(part) = parts.next() {
        let kind = if parts.peek().is_some() { kind::PART } else { kind::TRANSACTION };
        frame::put(out, &[&[kind], part]);
    }
}

fn put_body(out: &mut Vec<u8>, record: RecordRef<'_>, schema: Option<&str>) {
    let Transaction { lsn, xid, commit_ms, origin, changes } = record.transaction;
    out.extend_from_slice(&lsn.0.to_le_bytes());
    put_schema(out, record.schema, schema);
    put_optional(out, record.migration);
    out.extend_from_slice(&xid.0.to_le_bytes());
    out.extend_from_slice(&commit_ms.to_le_bytes());
    put_origin(out, origin);
    put_varint(out, changes.len() as u64);
    for Change { relation, row, blind } in changes {
        let relation = u64::from(relation.0);
        let blind = if *blind { BLIND } else { 0 };
        match row {
            RowChange::Insert { new, tags } => {
                out.push(INSERT | blind);
                put_varint(out, relation);
                put_row(out, new, None);
                put_tags(out, tags);
            }
            RowChange::Update { old, new, tags } => {
                out.push(UPDATE | blind);
                put_varint(out, relation);
                put_row(out, old, None);
                put_row(out, new, Some(old));
                put_tags(out, tags);
            }
            RowChange::Delete { old } => {
                out.push(DELETE | blind);
                put_varint(out, relation);
                put_row(out, old, None);
            }
        }
    }
}

/// A client's id has 1 to 64 bytes.
fn put_origin(out: &mut Vec<u8>, origin: &Origin) {
    let id = origin.client().map_or("", ClientId::as_str);
    out.push(id.len() as u8);
    out.extend_from_slice(id.as_bytes());
}

fn put_row(out: &mut Vec<u8>, row: &Row, before: Option<&Row>) {
    put_varint(out, row.len() as u64);
    for (column, value) in row.iter().enumerate() {
        match value {
            None => put_varint(out, NULL),
            Some(_) if before.is_some_and(|before| before.get(column) == value) => put_varint(out, AS_BEFORE),
            Some(value) => {
                put_varint(out, value.len() as u64 + VALUE);
                out.extend_from_slice(value);
            }
        }
    }
}

fn put_tags(out: &mut Vec<u8>, tags: &Tags) {
    put_varint(out, tags.len() as u64);
    for tag in tags.iter() {
        out.extend_from_slice(&tag.ms.to_le_bytes());
        put_origin(out, &tag.origin);
    }
}

/// What a transaction makes of the version of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Schema {
    /// Nothing.
    AsBefore,
    /// This.
    Is(Option<Arc<str>>),
}

impl Schema {
    /// Reads [`put_schema`]'s form.
    pub(crate) fn take(input: &mut Input) -> Result<Schema, Malformed> {
        match usize::try_from(input.varint()?).map_err(|_| Malformed)? {
            0 => Ok(Schema::AsBefore),
            1 => Ok(Schema::Is(None)),
            n => Ok(Schema::Is(Some(input.utf8(n - 2)?.into()))),
        }
    }

    pub(crate) fn apply(self, schema: &mut Option<Arc<str>>) {
        if let Schema::Is(version) = self {
            *schema = version;
        }
    }
}

/// Appends what becomes of the version `before`.
pub(crate) fn put_schema(out: &mut Vec<u8>, after: Option<&str>, before: Option<&str>) {
    match after {
        same if same == before => out.push(0),
        None => out.push(1),
        Some(version) => {
            put_varint(out, version.len() as u64 + 2);
            out.extend_from_slice(version.as_bytes());
        }
    }
}

/// What is known of a record without reading all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Glance {
    /// A transaction, and the schema after it.
    Transaction(Lsn, Schema),
    /// The same, and another frame belongs to it.
    Begun(Lsn, Schema),
    /// The stream was here.
    Reached(Lsn),
    /// The write-ahead log goes on in this timeline.
    Timeline(u32),
    /// The index: there are no more records.
    Index,
}

/// Looks at the payload of a frame. `within` says that it goes on with a transaction.
pub(crate) fn glance(payload: &Bytes, within: bool) -> Result<Glance, Malformed> {
    let mut input = Input::new(payload.clone());
    let kind = input.u8()?;
    if within {
        return match kind {
            kind::TRANSACTION => Ok(Glance::Transaction(Lsn::ZERO, Schema::AsBefore)),
            kind::PART => Ok(Glance::Begun(Lsn::ZERO, Schema::AsBefore)),
            _ => Err(Malformed),
        };
    }
    let read = match kind {
        kind::TRANSACTION | kind::PART => {
            let lsn = Lsn(input.u64()?);
            let schema = Schema::take(&mut input)?;
            return Ok(match kind {
                kind::PART => Glance::Begun(lsn, schema),
                _ => Glance::Transaction(lsn, schema),
            });
        }
        kind::REACHED => Glance::Reached(Lsn(input.u64()?)),
        kind::TIMELINE => Glance::Timeline(input.u32()?),
        kind::INDEX => return Ok(Glance::Index),
        _ => return Err(Malformed),
    };
    if input.is_empty() { Ok(read) } else { Err(Malformed) }
}

/// Something to be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A transaction.
    Transaction(Record),
    /// The stream was here.
    Reached(Lsn),
}

/// Puts records together from frames.
#[derive(Default)]
pub(crate) struct Reader {
    parts: BytesMut,
    within: bool,
    /// The version of the schema after what was read.
    pub(crate) schema: Option<Arc<str>>,
}

impl Reader {
    /// Begins where the schema has this version.
    pub(crate) fn new(schema: Option<Arc<str>>) -> Reader {
        Reader { schema, ..Reader::default() }
    }

    /// Takes the payload of the next frame.
    pub(crate) fn read(&mut self, mut payload: Bytes) -> Result<Option<Item>, Malformed> {
        let glance = glance(&payload, self.within)?;
        let body = payload.split_off(1);
        match glance {
            Glance::Begun(..) => {
                self.within = true;
                self.parts.extend_from_slice(&body);
                Ok(None)
            }
            Glance::Transaction(..) => {
                let whole = if std::mem::take(&mut self.within) {
                    self.parts.extend_from_slice(&body);
                    std::mem::take(&mut self.parts).freeze()
                } else {
                    body
                };
                take_record(whole, &mut self.schema).map(Item::Transaction).map(Some)
            }
            Glance::Reached(lsn) => Ok(Some(Item::Reached(lsn))),
            Glance::Timeline(_) => Ok(None),
            Glance::Index => Err(Malformed),
        }
    }

    /// Whether nothing is missing.
    pub(crate) fn is_complete(&self) -> bool {
        !self.within
    }
}

fn take_record(body: Bytes, schema: &mut Option<Arc<str>>) -> Result<Record, Malformed> {
    let mut input = Input::new(body);
    let lsn = Lsn(input.u64()?);
    Schema::take(&mut input)?.apply(schema);
    let migration = input.optional()?.map(str::to_owned);
    let xid = Xid(input.u64()?);
    let commit_ms = input.u64()?;
    let origin = take_origin(&mut input)?;
    let count = input.count()?;
    let mut changes = Vec::with_capacity(count.min(FORESEEN));
    for _ in 0..count {
        changes.push(take_change(&mut input)?);
    }
    if !input.is_empty() {
        return Err(Malformed);
    }
    let schema = schema.as_deref().map(str::to_owned);
    Ok(Record { transaction: Transaction { lsn, xid, commit_ms, origin, changes }, migration, schema })
}

fn take_change(input: &mut Input) -> Result<Change, Malformed> {
    let op = input.u8()?;
    let relation = RelationId(u32::try_from(input.varint()?).map_err(|_| Malformed)?);
    let row = match op & !BLIND {
        INSERT => {
            let new = Columns::take(input, None)?.row(input)?;
            RowChange::Insert { new, tags: take_tags(input)? }
        }
        UPDATE => {
            let old = Columns::take(input, None)?;
            let new = Columns::take(input, Some(&old))?.row(input)?;
            RowChange::Update { old: old.row(input)?, new, tags: take_tags(input)? }
        }
        DELETE => RowChange::Delete { old: Columns::take(input, None)?.row(input)? },
        _ => return Err(Malformed),
    };
    Ok(Change { relation, row, blind: op & BLIND != 0 })
}

/// Where the values of a row lie in the input.
struct Columns {
    from: usize,
    to: usize,
    values: Vec<Option<(usize, usize)>>,
}

impl Columns {
    fn take(input: &mut Input, before: Option<&Columns>) -> Result<Columns, Malformed> {
        let mut from = input.at();
        let count = input.count()?;
        let mut values = Vec::with_capacity(count.min(FORESEEN));
        for column in 0..count {
            values.push(match input.varint()? {
                NULL => None,
                AS_BEFORE => {
                    let before = before.ok_or(Malformed)?;
                    let value = before.values.get(column).copied().flatten().ok_or(Malformed)?;
                    from = from.min(before.from);
                    Some(value)
                }
                n => {
                    let start = input.at();
                    input.take(usize::try_from(n - VALUE).map_err(|_| Malformed)?)?;
                    Some((start, input.at()))
                }
            });
        }
        Ok(Columns { from, to: input.at(), values })
    }

    /// The row; its values are shared with the input.
    fn row(&self, input: &Input) -> Result<Row, Malformed> {
        let range = |(start, end)| start - self.from..end - self.from;
        let ranges = self.values.iter().map(|value| value.map(range));
        RowBuilder::point_into(input.slice(self.from, self.to), ranges).ok_or(Malformed)
    }
}

fn take_origin(input: &mut Input) -> Result<Origin, Malformed> {
    match usize::from(input.u8()?) {
        0 => Ok(Origin::Postgres),
        len => {
            let id = ClientId::new(input.utf8(len)?).map_err(|_| Malformed)?;
            Ok(Origin::Client(id))
        }
    }
}

fn take_tags(input: &mut Input) -> Result<Tags, Malformed> {
    let count = input.count()?;
    (0..count).map(|_| Ok(Tag { ms: input.i64()?, origin: take_origin(input)? })).collect()
}

#[cfg(test)]
mod tests;
