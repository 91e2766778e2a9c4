//! What Postgres has of the rows that a transaction touches, and what merging makes of them.

use bytes::Bytes;
use change::{ClientOp, ClientOpKind, Field, Tag, Tags};
use merge::{Effect, Image, RowState, fold, is_blind};
use schema::Table;
use tokio_postgres::Row;

use super::{
    batch::{Batch, RowOps},
    binding::Mask,
    job::Manner,
    key::Key,
    tags::{self, StoredTag, StoredTags},
};

/// One row with all that is known of it.
#[derive(Debug)]
pub struct Found<'a> {
    key: Key,
    ops: Vec<&'a ClientOp>,
    /// Whether the table has it.
    lives: bool,
    /// What the shadow says, if there is one.
    shadow: Option<FoundShadow>,
}

#[derive(Debug)]
struct FoundShadow {
    tags: Tags,
    column_tags: Vec<Option<Tag>>,
    has_image: bool,
}

/// All rows of a table that a transaction touches.
#[derive(Debug)]
pub struct FoundRows<'a> {
    rows: Vec<Found<'a>>,
}

/// What a row will be.
#[derive(Debug)]
pub struct Merged {
    /// Its key.
    pub key: Key,
    /// What happens to it.
    pub effect: Effect,
    /// In table column order; absent: as stored.
    values: Vec<Field>,
    /// The columns whose values are given.
    pub given: Mask,
    /// The columns that take the transaction's tag. The bits after theirs: the row was there before sync; it has to be written,
    /// not only touched; its author did not know how it stood.
    pub marked: Mask,
    /// The set of tags as a literal, unless it is the transaction's own tag alone.
    pub tags: Option<String>,
    /// Whether it has a shadow already.
    pub has_shadow: bool,
    /// Whether it comes back from its tombstone.
    pub from_tombstone: bool,
    /// Whether it is dead, and said to be, only because its author believes that it lives.
    pub withdrawn: bool,
}

impl<'a> FoundRows<'a> {
    /// Puts together what the locking statements returned.
    pub fn read(
        batch: Batch<'a>,
        live: &[Row],
        shadows: &[Row],
    ) -> Result<FoundRows<'a>, tokio_postgres::Error> {
        let table = batch.table;
        let FoundRows { mut rows } = FoundRows::unseen(batch.rows);
        for row in live {
            if let Some(found) = rows.get_mut(ordinal(row)?) {
                found.lives = true;
            }
        }
        for row in shadows {
            let shadow = FoundShadow::read(row, &table)?;
            if let Some(found) = rows.get_mut(ordinal(row)?) {
                found.shadow = Some(shadow);
            }
        }
        Ok(FoundRows { rows })
    }

    /// Rows of which nothing is known.
    pub fn unseen(rows: Vec<RowOps<'a>>) -> FoundRows<'a> {
        let unseen = |RowOps { key, ops }| Found { key, ops, lives: false, shadow: None };
        FoundRows { rows: rows.into_iter().map(unseen).collect() }
    }

    /// Whether a row looks dead by its table and alive by its shadow. Somebody may have brought it back between the two
    /// looks; now that the shadow is locked, a second look at the table tells.
    pub fn is_torn(&self) -> bool {
        self.rows
            .iter()
            .any(|row| !row.lives && row.shadow.as_ref().is_some_and(|shadow| !shadow.tags.is_empty()))
    }

    /// The rows' keys, in the order of the ordinals.
    pub fn keys(&self) -> impl Iterator<Item = &[Bytes]> + Clone {
        self.rows.iter().map(|row| row.key.as_slice())
    }

    /// The second look.
    pub fn look_again(&mut self, live: &[Row]) -> Result<(), tokio_postgres::Error> {
        for row in live {
            if let Some(found) = self.rows.get_mut(ordinal(row)?) {
                found.lives = true;
            }
        }
        Ok(())
    }

    /// Merges the operations into the rows.
    pub fn merge(self, table: &Table, tag: &Tag, manner: Manner) -> Vec<Merged> {
        let merge = |row: Found<'_>| match manner {
            Manner::Apply => row.merge(table, tag),
            Manner::Withdraw => row.withdraw(table, tag),
        };
        self.rows.into_iter().map(merge).collect()
    }
}

fn ordinal(row: &Row) -> Result<usize, tokio_postgres::Error> {
    Ok(usize::try_from(row.try_get::<_, i64>(0)? - 1).unwrap_or(usize::MAX))
}

impl FoundShadow {
    fn read(row: &Row, table: &Table) -> Result<FoundShadow, tokio_postgres::Error> {
        let mut column_tags = vec![None; table.columns.len()];
        let tagged = table.shadow.tag_columns.iter().zip(&mut column_tags).filter(|(name, _)| name.is_some());
        for (n, (_, tag)) in tagged.enumerate() {
            *tag = row.try_get::<_, Option<StoredTag>>(3 + n)?.map(|stored| stored.0);
        }
        Ok(FoundShadow { tags: row.try_get::<_, StoredTags>(1)?.0, has_image: row.try_get(2)?, column_tags })
    }
}

impl Found<'_> {
    fn merge(self, table: &Table, tag: &Tag) -> Merged {
        let columns = table.columns.len();
        let has_shadow = self.shadow.is_some();
        let untracked = self.lives && !has_shadow;
        let mut state = before(self.lives, self.shadow, table);
        let from_tombstone = !self.lives && state.image != Image::Unknown;
        let unknown = state.image == Image::Unknown;
        let standing = state.standing();
        let writes = self.ops.iter().any(|op| op.written.contains(&true));
        let effect = fold(self.ops.iter().copied(), tag, &mut state);
        let blind = is_blind(&self.ops, tag, standing, &state);

        let mut values = match state.image {
            Image::Known(values) => values,
            Image::Unknown => vec![Field::Absent; columns],
        };
        // Columns that a new row's author knows nothing of take their defaults.
        let left_out = |column: usize| {
            self.ops.iter().all(|op| matches!(op.values.get(column), None | Some(Field::Absent)))
        };
        for (column, value) in values.iter_mut().enumerate() {
            if unknown && *value == Field::Null && left_out(column) {
                *value = Field::Absent;
            }
        }
        let (mut given, mut marked) = (Mask::new(columns), Mask::new(columns + 3));
        for (column, value) in table.primary_key.iter().zip(&self.key) {
            if let Some(place) = values.get_mut(*column) {
                *place = Field::Value(value.clone());
            }
        }
        for (column, value) in values.iter().enumerate() {
            if *value != Field::Absent {
                given.set(column);
            }
        }
        for (column, column_tag) in state.column_tags.iter().enumerate() {
            if column_tag.as_ref() == Some(tag) {
                marked.set(column);
            }
        }
        if untracked {
            marked.set(columns);
        }
        if effect == Effect::Insert || (effect == Effect::Update && writes) {
            marked.set(columns + 1);
        }
        if blind {
            marked.set(columns + 2);
        }
        let own_alone = state.tags.len() == 1 && state.tags.contains(tag);
        let tags = (!own_alone).then(|| tags::literal(&state.tags));
        let withdrawn = false;
        Merged { key: self.key, effect, values, given, marked, tags, has_shadow, from_tombstone, withdrawn }
    }

    /// The row stays as it is, or stays away, and its author hears of it.
    fn withdraw(self, table: &Table, tag: &Tag) -> Merged {
        let ops: Vec<ClientOp> = if self.lives {
            let touch = |op: &&ClientOp| ClientOp {
                kind: ClientOpKind::Compensation,
                written: vec![false; op.written.len()],
                ..ClientOp::clone(op)
            };
            self.ops.iter().map(touch).collect()
        } else {
            // As if it had been made and removed at once: then there is something to tell of.
            let mut made = self.ops.last().map(|op| ClientOp::clone(op)).into_iter().collect::<Vec<_>>();
            for op in &mut made {
                op.kind = ClientOpKind::Insert;
                op.written = vec![false; op.written.len()];
                op.values.resize(table.columns.len(), Field::Absent);
                for earlier in self.ops.iter().rev() {
                    let absent = op
                        .values
                        .iter_mut()
                        .zip(&earlier.values)
                        .filter(|(value, _)| **value == Field::Absent);
                    absent.for_each(|(value, given)| *value = given.clone());
                }
            }
            let removed =
                self.ops.iter().map(|op| ClientOp { kind: ClientOpKind::Delete, ..ClientOp::clone(op) });
            let removed: Vec<ClientOp> = removed.collect();
            made.into_iter().chain(removed).collect()
        };
        let found =
            Found { key: self.key, ops: ops.iter().collect(), lives: self.lives, shadow: self.shadow };
        let lives = found.lives;
        let mut merged = Merged { withdrawn: true, ..found.merge(table, tag) };
        if lives {
            merged.marked.set(table.columns.len() + 2);
        }
        merged
    }
}

/// The row's state before the transaction. The table says whether it lives: where its shadow disagrees, somebody has
/// written with the triggers off.
fn before(lives: bool, shadow: Option<FoundShadow>, table: &Table) -> RowState {
    let columns = table.columns.len();
    let stored = || vec![Field::Absent; columns];
    match (lives, shadow) {
        (false, None) => RowState::unknown(columns),
        (true, None) => RowState::untracked(stored(), &table.primary_key),
        (lives, Some(shadow)) => {
            let known = lives || shadow.has_image;
            let tags = match (lives, shadow.tags.is_empty()) {
                (true, true) => [Tag::EPOCH].into_iter().collect(),
                (true, false) => shadow.tags,
                (false, _) => Tags::new(),
            };
            RowState {
                image: if known { Image::Known(stored()) } else { Image::Unknown },
                tags,
                column_tags: shadow.column_tags,
                last_tag: None,
            }
        }
    }
}

impl Merged {
    /// What operations that write into a row, and neither make nor delete it, come to without a look at the row: the values they
    /// give, and as tags those that their author had seen. Postgres merges the two (see [`super::whole`]).
    pub fn in_place(row: RowOps<'_>, table: &Table) -> Merged {
        let columns = table.columns.len();
        let mut values = vec![Field::Absent; columns];
        let mut given = Mask::new(columns);
        let mut cleared = Tags::new();
        for op in &row.ops {
            for tag in op.clear.iter() {
                cleared.insert(tag.clone());
            }
            for (column, (value, written)) in op.values.iter().zip(&op.written).enumerate() {
                if let Some(place) = values.get_mut(column)
                    && *written
                    && *value != Field::Absent
                {
                    *place = value.clone();
                    given.set(column);
                }
            }
        }
        for (column, value) in table.primary_key.iter().zip(&row.key) {
            if let Some(place) = values.get_mut(*column) {
                *place = Field::Value(value.clone());
            }
        }
        Merged {
            key: row.key,
            effect: Effect::Update,
            values,
            given,
            marked: Mask::new(0),
            tags: (!cleared.is_empty()).then(|| tags::literal(&cleared)),
            has_shadow: true,
            from_tombstone: false,
            withdrawn: false,
        }
    }

    /// Whether the row is there afterwards.
    pub fn lives(&self) -> bool {
        matches!(self.effect, Effect::Insert | Effect::Update)
    }

    /// The value to bind for a column; what is not given is NULL.
    pub fn value(&self, column: usize) -> Option<&Bytes> {
        match self.values.get(column) {
            Some(Field::Value(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// The columns of a new row that take their defaults: those that are not given and have any.
    pub fn omitted(&self, table: &Table) -> Vec<usize> {
        let columns = table.columns.iter().zip(&self.values).enumerate();
        columns
            .filter(|(_, (column, value))| {
                **value == Field::Absent && (column.default.is_some() || column.identity.is_some())
            })
            .map(|(n, _)| n)
            .collect()
    }

    /// Roughly the bytes that it takes to bind, for sizing statements.
    pub fn weight(&self) -> usize {
        let values: usize = self.values.iter().map(|value| 4 + value.value().map_or(0, <[u8]>::len)).sum();
        values + self.tags.as_ref().map_or(0, String::len) + 64
    }
}
