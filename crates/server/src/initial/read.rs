//! The rows of a request: each once, and none that the client has by other shapes.

use std::sync::Arc;

use change::{Lsn, RelationId, Tags};
use postgres::snapshot::{ALIAS, OpenSnapshot, ReadQuery, Wanted};
use schema::Table;
use session::{Known, Read, ReadKind, ReadRequest};
use shapes::{Filter, Graph, Key, Layer, Taken, Want};

use super::{encode::Encoder, job::Failure, tape::Recorder};
use crate::walk::{Needed, Past, Receiver, Seen, drive};

/// Rows taken apart and encoded before anybody else gets a turn.
const BATCH: usize = 1_000;

/// Reads everything and writes it to the tape. A shape with joins is walked by a graph of its own, which is forgotten with the
/// request.
///
/// # Errors
/// [`Failure`].
pub(super) async fn all(
    open: &mut OpenSnapshot,
    request: &ReadRequest,
    tape: &Recorder,
) -> Result<(), Failure> {
    let mut had = Had { known: &request.known, at: open.lsn, earlier: Vec::new() };
    for (index, read) in request.reads.iter().enumerate() {
        let mut output = Output { had: &had, encoder: Encoder::new(index, read.kind), tape };
        let covered = match read.plan.layers.as_slice() {
            [] => continue,
            [root] => {
                table(open, read, root, &mut output).await?;
                Covered::Passing(root.table.id, root.filter.clone())
            }
            _ => Covered::Members(Box::new(walk(open, read, &mut output).await?)),
        };
        output.encoder.finish();
        output.pause().await?;
        had.earlier.push(covered);
    }
    Ok(())
}

/// The rows of a shape of one table.
async fn table(
    open: &mut OpenSnapshot,
    read: &Read,
    root: &Layer,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let condition = root.filter.sql(&root.table, ALIAS);
    let columns = match read.kind {
        ReadKind::Rows => None,
        ReadKind::Keys => Some([root.filter.columns(), output.had.columns(root.table.id)].concat()),
    };
    let query = ReadQuery {
        table: &root.table,
        wanted: columns.as_deref().map_or(Wanted::Rows, Wanted::Columns),
        condition: condition.as_deref(),
        keys: None,
    };
    let mut rows = open.read(query).await?;
    loop {
        let received = rows.next_rows(BATCH, |values, tags| {
            if root.filter.matches(values) {
                output.push(&root.table, values, tags);
            }
        });
        if received.await? == 0 {
            return Ok(());
        }
        output.pause().await?;
    }
}

/// The rows of a shape with joins. Returns who they are.
async fn walk(open: &mut OpenSnapshot, read: &Read, output: &mut Output<'_>) -> Result<Graph, Failure> {
    let mut graph = Graph::new(read.plan.clone());
    let mut pass = graph.fill();
    let target = &mut (&mut graph, &mut pass);
    drive(open, target, &Past::default(), Needed::Images, output).await?;
    let _ = pass.finish(&mut graph);
    Ok(graph)
}

/// What the rows are written to.
struct Output<'a> {
    had: &'a Had<'a>,
    encoder: Encoder,
    tape: &'a Recorder,
}

impl Output<'_> {
    fn push(&mut self, table: &Arc<Table>, values: &[Option<&[u8]>], tags: &Tags) {
        if !self.had.has(table, values) {
            self.encoder.push(table, values, tags);
        }
    }
}

impl Receiver for Output<'_> {
    type Error = Failure;

    fn row(&mut self, _want: &Want, taken: Taken, table: &Arc<Table>, seen: Option<Seen<'_>>) {
        if let (Taken::New, Some(seen)) = (taken, seen) {
            self.push(table, seen.values, seen.tags);
        }
    }

    async fn pause(&mut self) -> Result<(), Failure> {
        let frames = self.encoder.take()?;
        if frames.len() > 0 {
            self.tape.write(frames).await?;
        }
        Ok(())
    }
}

/// Rows that are not sent.
struct Had<'a> {
    /// By other shapes, at the snapshot's position.
    known: &'a Known,
    at: Lsn,
    /// By earlier reads of the same request.
    earlier: Vec<Covered>,
}

/// The rows of a read.
enum Covered {
    Passing(RelationId, Filter),
    Members(Box<Graph>),
}

impl Had<'_> {
    fn has(&self, table: &Table, values: &[Option<&[u8]>]) -> bool {
        let is_passing =
            |relation: RelationId, filter: &Filter| relation == table.id && filter.matches(values);
        if self.known.filters.iter().any(|(relation, filter)| is_passing(*relation, filter)) {
            return true;
        }
        if self.known.trackers.is_empty() && self.earlier.is_empty() {
            return false;
        }
        let Some(key) = Key::of(values, &table.primary_key) else { return false };
        let is_covered = |covered: &Covered| match covered {
            Covered::Passing(relation, filter) => is_passing(*relation, filter),
            Covered::Members(graph) => graph.holds(table.id, &key),
        };
        self.earlier.iter().any(is_covered)
            || self.known.trackers.iter().any(|tracker| tracker.holds(table.id, &key, self.at))
    }

    /// The columns of a table that are looked at to tell.
    fn columns(&self, table: RelationId) -> Vec<usize> {
        let known = self.known.filters.iter().map(|(relation, filter)| (*relation, filter));
        let earlier = self.earlier.iter().filter_map(|covered| match covered {
            Covered::Passing(relation, filter) => Some((*relation, filter)),
            Covered::Members(_) => None,
        });
        let filters = known.chain(earlier).filter(|(relation, _)| *relation == table);
        filters.flat_map(|(_, filter)| filter.columns()).collect()
    }
}
