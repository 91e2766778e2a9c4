//! One operation: its rows in table order, which columns it writes, and the tags its author had seen.

use bytes::Bytes;
use change::{ClientLsn, ClientOp, ClientOpKind, ClientTransaction, Field, Tag, Tags};
use schema::{Column, Table};

use super::{
    InboundRelation,
    rejection::{Fault, Rejection, RejectionReason},
    relation::ClientColumn,
};
use crate::{
    op_log::{RowOp, WireRow},
    value,
};

/// The kinds of operation as they are on the wire.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Insert,
    Update,
    Delete,
    Compensation,
}

impl Kind {
    /// Whether an operation only asks to keep a row alive. An update without the old row is how clients before 0.8 said it
    /// (spec 02 §6.5).
    pub(super) fn only_keeps(self, op: &RowOp<'_>) -> bool {
        match self {
            Kind::Compensation => true,
            Kind::Update => op.old.is_none(),
            Kind::Insert | Kind::Delete => false,
        }
    }
}

/// An update that changes its row's key.
#[derive(Debug)]
pub(super) struct KeyChange {
    schema: String,
    table: String,
    columns: Vec<String>,
}

impl KeyChange {
    pub(super) fn reject(self, lsn: ClientLsn, accepted: Vec<ClientTransaction>) -> Rejection {
        let KeyChange { schema, table, columns } = self;
        let client_message = format!(
            "Applying transaction [LSN {lsn}] failed write validation tests for the following reason: Attempt to \
             update table \"{schema}\".\"{table}\" primary key(s) {columns:?} (ImmutablePrimaryKey) change: \
             delete the row and insert another instead"
        );
        let position = Some(lsn.position());
        let reason = RejectionReason::ImmutableKey { table };
        Rejection { accepted, lsn: Some(lsn), client_message, reason, position, transaction: None }
    }
}

/// What an operation comes to.
#[derive(Default)]
pub(super) struct Decoded {
    /// `None` for a compensation that names no row.
    pub(super) op: Option<ClientOp>,
    pub(super) key_change: Option<KeyChange>,
}

/// What an operation will occupy in memory, in bytes, at most and roughly; known before it is decoded.
pub(super) fn weight(relation: &InboundRelation, op: &RowOp<'_>) -> usize {
    // A tag's client id is a reference-counted allocation of its own.
    const TAG: usize = size_of::<Tag>() + 4 * size_of::<usize>();
    let width = relation.table().columns.len() * (size_of::<Field>() + size_of::<bool>());
    let values: usize = op.new.or(op.old).map_or(0, |row| row.values().map(<[u8]>::len).sum());
    let tags: usize = op.tags().map(|tag| TAG + tag.len()).sum();
    size_of::<ClientOp>() + width + 2 * values + tags
}

/// Checks an operation and brings it to table order. `payload` is the buffer that its values lie in.
pub(super) fn decode(
    kind: Kind,
    op: &RowOp<'_>,
    relation: &InboundRelation,
    payload: &Bytes,
) -> Result<Decoded, Fault> {
    let reader = RowReader { relation, table: relation.table(), payload };
    let missing = |operation| RejectionReason::MissingRow { operation, table: reader.table.name.clone() };
    let clear = op.tags().map(str::parse).collect::<Result<Tags, _>>();
    let clear = clear.map_err(|_| RejectionReason::Tag(reader.table.name.clone()))?;
    let make = |kind, values, written| {
        Some(ClientOp { relation: relation.id(), kind, values, written, clear: clear.clone() })
    };
    let unwritten = || vec![false; reader.table.columns.len()];
    match (kind, op.new, op.old) {
        (Kind::Insert, Some(new), _) => {
            let values = reader.row(new)?;
            let written = reader.provided(&values);
            Ok(Decoded { op: make(ClientOpKind::Insert, values, written), key_change: None })
        }
        (Kind::Update, Some(new), Some(old)) => {
            let Update { values, written, key } = reader.update(new, old)?;
            let key_change = (!key.is_empty()).then(|| KeyChange {
                schema: reader.table.schema.clone(),
                table: reader.table.name.clone(),
                columns: key,
            });
            Ok(Decoded { op: make(ClientOpKind::Update, values, written), key_change })
        }
        (Kind::Delete, _, Some(old)) => {
            let values = reader.row(old)?;
            Ok(Decoded { op: make(ClientOpKind::Delete, values, unwritten()), key_change: None })
        }
        (Kind::Compensation | Kind::Update, Some(row), None) => match reader.key(row)? {
            Some(values) => {
                Ok(Decoded { op: make(ClientOpKind::Compensation, values, unwritten()), key_change: None })
            }
            None => Ok(Decoded::default()),
        },
        (Kind::Insert, ..) => Err(missing("insert").into()),
        (Kind::Update, ..) => Err(missing("update").into()),
        (Kind::Delete, ..) => Err(missing("delete").into()),
        (Kind::Compensation, ..) => Err(missing("compensation").into()),
    }
}

struct RowReader<'a> {
    relation: &'a InboundRelation,
    table: &'a Table,
    payload: &'a Bytes,
}

/// An update's new row, which of its columns differ from the old row, and which of its key.
struct Update {
    values: Vec<Field>,
    written: Vec<bool>,
    key: Vec<String>,
}

impl<'a> RowReader<'a> {
    /// A whole row: every value checked, NULL only where it may be.
    fn row(&self, row: WireRow<'a>) -> Result<Vec<Field>, Fault> {
        let mut values = self.absent();
        self.cells(row, |cell| {
            let checked = cell.check(self.table).map(|()| self.field(&cell))?;
            set(&mut values, cell.index, checked);
            Ok(())
        })?;
        Ok(values)
    }

    /// Values that are the same in both rows are not judged: an update carries whole rows, and what Postgres let out must
    /// come back in (spec 03 §3.6). Keys are always judged.
    fn update(&self, new: WireRow<'a>, old: WireRow<'a>) -> Result<Update, Fault> {
        let mut before = self.absent();
        let mut raw_before = vec![None; self.table.columns.len()];
        self.cells(old, |cell| {
            set(&mut before, cell.index, self.field(&cell));
            set(&mut raw_before, cell.index, Some(cell.value));
            Ok(())
        })?;
        let mut update =
            Update { values: self.absent(), written: vec![false; self.table.columns.len()], key: Vec::new() };
        self.cells(new, |cell| {
            let key = self.table.primary_key.contains(&cell.index);
            if !key && raw_before.get(cell.index) == Some(&Some(cell.value)) {
                cell.check_text(self.table)?;
            } else {
                cell.check(self.table)?;
            }
            let after = self.field(&cell);
            let changed = before.get(cell.index) != Some(&after);
            if key && changed {
                update.key.push(cell.column.name.clone());
            }
            set(&mut update.written, cell.index, changed && !key);
            set(&mut update.values, cell.index, after);
            Ok(())
        })?;
        Ok(update)
    }

    /// The key alone, whatever else the row holds. `None` when it is not whole: a client that refers to a row by other
    /// columns than its key asks to keep a row alive without saying which, and such a request has no effect.
    fn key(&self, row: WireRow<'a>) -> Result<Option<Vec<Field>>, Fault> {
        let (mut values, mut whole) = (self.absent(), true);
        self.cells(row, |cell| {
            if !self.table.primary_key.contains(&cell.index) {
                return Ok(());
            }
            if cell.value.is_none() {
                whole = false;
                return Ok(());
            }
            cell.check(self.table)?;
            set(&mut values, cell.index, self.field(&cell));
            Ok(())
        })?;
        Ok(whole.then_some(values))
    }

    /// Hands on each column that the client knows, with its value, after checking that the row has the relation's shape.
    fn cells(
        &self,
        row: WireRow<'a>,
        mut each: impl FnMut(Cell<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let problem = |problem| RejectionReason::Row { table: self.table.name.clone(), problem };
        let columns = self.relation.columns();
        if row.len != columns.len() {
            return Err(problem("it must have one value per column").into());
        }
        for (i, (ClientColumn { index, nullable }, value)) in columns.iter().zip(row.values()).enumerate() {
            let null = row.is_null(i).ok_or_else(|| problem("its null bitmask is too short"))?;
            if null && !value.is_empty() {
                return Err(problem("a column marked NULL has a value").into());
            }
            let Some(column) = self.table.columns.get(*index) else { continue };
            let nullable = *nullable && !column.not_null && !self.table.primary_key.contains(index);
            each(Cell { index: *index, column, nullable, value: (!null).then_some(value) })?;
        }
        Ok(())
    }

    fn field(&self, cell: &Cell<'_>) -> Field {
        match cell.value {
            None => Field::Null,
            Some(value) => Field::Value(value::to_postgres(&cell.column.ty, self.payload.slice_ref(value))),
        }
    }

    fn absent(&self) -> Vec<Field> {
        vec![Field::Absent; self.table.columns.len()]
    }

    /// The columns that an insert writes: all that the client knows, but for the key.
    fn provided(&self, values: &[Field]) -> Vec<bool> {
        let written =
            |(i, value): (usize, &Field)| *value != Field::Absent && !self.table.primary_key.contains(&i);
        values.iter().enumerate().map(written).collect()
    }
}

/// One value of a row, before it is judged.
struct Cell<'a> {
    /// Index of the column in the table.
    index: usize,
    column: &'a Column,
    nullable: bool,
    /// As on the wire; `None` for NULL.
    value: Option<&'a [u8]>,
}

impl Cell<'_> {
    fn check(&self, table: &Table) -> Result<(), Fault> {
        match self.value {
            None if self.nullable => Ok(()),
            None => {
                let (table, column) = (table.name.clone(), self.column.name.clone());
                Err(RejectionReason::Null { table, column }.into())
            }
            Some(value) => value::check(self.column, value)
                .map_err(|refusal| Fault::value(&table.name, &self.column.name, refusal)),
        }
    }

    fn check_text(&self, table: &Table) -> Result<(), Fault> {
        let Some(value) = self.value else { return Ok(()) };
        value::check_text(self.column, value)
            .map_err(|refusal| Fault::value(&table.name, &self.column.name, refusal))
    }
}

fn set<T>(values: &mut [T], at: usize, value: T) {
    if let Some(slot) = values.get_mut(at) {
        *slot = value;
    }
}
