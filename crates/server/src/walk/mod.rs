//! Walks a shape in a snapshot: a graph says which rows it has to know, they are read from Postgres *as of the position of its
//! pass*, and handed to it.
//!
//! A snapshot may be newer than the pass. What the stream changed in between is known from the stream, so that is taken back:
//! instead of a row that was changed in between, the image that it had before is handed in ([`Past`]).

mod past;
mod target;

use std::{collections::HashSet, sync::Arc};

use change::{RelationId, Row, Tags};
use postgres::snapshot::{Keys, OpenSnapshot, ReadQuery, SnapshotError, Wanted};
use schema::Table;
use shapes::{Filter, Key, Plan, Purpose, Taken, Want, WantedRows};

pub use past::Past;
pub use target::Target;

/// Keys in one statement.
const KEYS: usize = 5_000;

/// Rows taken before anybody else gets a turn.
const BATCH: usize = 1_000;

/// How a statement calls the table that it reads.
const ALIAS: &str = postgres::snapshot::ALIAS;

/// What is to be known of the rows that a graph is filled with. Of rows that are brought or additional, everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// Who is in the shape: only the columns that decide that are read, and no tags.
    Membership,
    /// Everything, tags included.
    Images,
}

/// A row as the snapshot has it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its values in table column order; those that were not needed are NULL.
    pub values: &'a [Option<&'a [u8]>],
    /// All its tags; none if they were not needed.
    pub tags: &'a Tags,
}

/// Is told of every row that a graph takes.
pub trait Receiver: Send {
    /// What else may go wrong.
    type Error: From<SnapshotError> + Send;

    /// A row was taken. `seen` is what is to be sent of it if it is [`Taken::New`]: `None` if it is not (or not any more) what the
    /// want is after in the snapshot, and if it is additional data that a later transaction changed, which brings it itself.
    fn row(&mut self, want: &Want, taken: Taken, table: &Arc<Table>, seen: Option<Seen<'_>>);

    /// Some rows have been taken; comes at least once per read.
    fn pause(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        std::future::ready(Ok(()))
    }
}

/// Reads what `target` wants until it wants nothing more. `past` is what the snapshot sees of the time after the position of its
/// pass.
///
/// # Errors
/// [`SnapshotError`], or what the receiver says. What was wanted last has to be read again from its beginning then.
pub async fn drive<T: Target, R: Receiver>(
    open: &mut OpenSnapshot,
    target: &mut T,
    past: &Past,
    needed: Needed,
    receiver: &mut R,
) -> Result<(), R::Error> {
    let plan = target.plan();
    while let Some(want) = target.next() {
        let Some(layer) = plan.layers.get(want.layer) else { continue };
        let columns = match (needed, want.purpose) {
            (Needed::Membership, Purpose::Fill) => Some(deciding_columns(&plan, want.layer)),
            _ => None,
        };
        let condition = layer.filter.sql(&layer.table, ALIAS);
        let mut step = Step {
            want: &want,
            table: &layer.table,
            filter: &layer.filter,
            changed: Changed::of(past, layer.table.id, &want.rows),
            target,
            receiver,
        };
        let query = ReadQuery {
            table: &layer.table,
            wanted: columns.as_deref().map_or(Wanted::Rows, Wanted::Columns),
            condition: condition.as_deref(),
            keys: None,
        };
        match &want.rows {
            WantedRows::All => step.read(open, query).await?,
            WantedRows::With { columns, values } => {
                for keys in values.chunks(KEYS) {
                    let keys = Keys { columns, values: keys };
                    step.read(open, ReadQuery { keys: Some(keys), ..query }).await?;
                }
            }
        }
        step.take_changed();
        receiver.pause().await?;
    }
    Ok(())
}

/// The columns of a layer's table that say what is in the layer and what hangs on it; sorted.
fn deciding_columns(plan: &Plan, at: usize) -> Vec<usize> {
    let Some(layer) = plan.layers.get(at) else { return Vec::new() };
    let mut columns = layer.table.primary_key.clone();
    columns.extend(layer.filter.columns());
    columns.extend(layer.links.iter().flat_map(|link| &link.own_columns));
    let out = plan.layers.iter().flat_map(|layer| &layer.links).filter(|link| link.parent == at);
    columns.extend(out.flat_map(|link| &link.parent_columns));
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// The rows of one want.
struct Step<'a, T, R> {
    want: &'a Want,
    table: &'a Arc<Table>,
    filter: &'a Filter,
    changed: Option<Changed<'a>>,
    target: &'a mut T,
    receiver: &'a mut R,
}

impl<T: Target, R: Receiver> Step<'_, T, R> {
    async fn read(&mut self, open: &mut OpenSnapshot, query: ReadQuery<'_>) -> Result<(), R::Error> {
        let mut rows = open.read(query).await?;
        while rows.next_rows(BATCH, |values, tags| self.take(values, tags)).await? > 0 {
            self.receiver.pause().await?;
        }
        Ok(())
    }

    /// A row of the snapshot.
    fn take(&mut self, values: &[Option<&[u8]>], tags: &Tags) {
        let Some(changed) = &mut self.changed else {
            let taken = self.target.take(self.want, values);
            return self.receiver.row(self.want, taken, self.table, Some(Seen { values, tags }));
        };
        match changed.before(values, self.table) {
            Before::Same => {
                let taken = self.target.take(self.want, values);
                self.receiver.row(self.want, taken, self.table, Some(Seen { values, tags }));
            }
            Before::Other(old) => {
                let taken = self.target.take(self.want, old);
                let is_sent = self.want.purpose != Purpose::Additional && self.filter.matches(values);
                let seen = is_sent.then_some(Seen { values, tags });
                self.receiver.row(self.want, taken, self.table, seen);
            }
            Before::NotWanted => {}
        }
    }

    /// The rows that were wanted and that the snapshot does not have, or not as such.
    fn take_changed(&mut self) {
        let Some(changed) = &self.changed else { return };
        for old in changed.rest() {
            let taken = self.target.take(self.want, old);
            self.receiver.row(self.want, taken, self.table, None);
        }
    }
}

/// What a table's changed rows were before, while it is read.
struct Changed<'a> {
    rows: &'a past::Rows,
    /// The columns and values that are wanted; `None` if all are.
    wanted: Option<(&'a [usize], HashSet<&'a Key>)>,
    /// Those of `rows` that the snapshot returned.
    returned: HashSet<&'a Key>,
    key: Vec<u8>,
}

/// A row at the pass's position, as against in the snapshot.
enum Before<'a> {
    Same,
    Other(&'a Row),
    NotWanted,
}

impl<'a> Changed<'a> {
    /// `None` if no row of the table was changed.
    fn of(past: &'a Past, table: RelationId, wanted: &'a WantedRows) -> Option<Changed<'a>> {
        let rows = past.rows(table)?;
        let wanted = match wanted {
            WantedRows::All => None,
            WantedRows::With { columns, values } => Some((columns.as_slice(), values.iter().collect())),
        };
        Some(Changed { rows, wanted, returned: HashSet::new(), key: Vec::new() })
    }

    fn before(&mut self, values: &[Option<&[u8]>], table: &Table) -> Before<'a> {
        Key::write(values, &table.primary_key, &mut self.key);
        let Some((key, old)) = self.rows.get_key_value(self.key.as_slice()) else { return Before::Same };
        self.returned.insert(key);
        match &old.image {
            Some(old) if self.is_wanted(old) => Before::Other(old),
            _ => Before::NotWanted,
        }
    }

    fn rest(&self) -> impl Iterator<Item = &'a Row> {
        let unseen = self.rows.iter().filter(|(key, _)| !self.returned.contains(key));
        unseen.filter_map(|(_, old)| old.image.as_ref()).filter(|old| self.is_wanted(old))
    }

    fn is_wanted(&self, row: &Row) -> bool {
        let Some((columns, values)) = &self.wanted else { return true };
        Key::of(row, columns).is_some_and(|key| values.contains(&key))
    }
}
