//! What comes from the service, put together to whole things, and checked as the real client checks it (spec 02 §14) and more
//! strictly where the service promises more (spec 06 §5.6, §6.6, §7).

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use protocol::{
    Message,
    wire::{SatOpBegin, SatOpCommit, SatOpRow, SatRelation, sat_trans_op::Op as Wire},
};

use super::rows::{Op, Received, Row, ShapeData, named};

/// Most operations in one frame.
const OPS_PER_FRAME: usize = 100;

/// A row's identity: its relation and the values of its key.
type Key = (u32, Vec<Option<Bytes>>);

/// Collects and checks.
#[derive(Default)]
pub(super) struct Inbox {
    relations: HashMap<u32, SatRelation>,
    open: Open,
    /// Rows of what is open: each may occur once.
    rows: HashSet<Key>,
    complete: Vec<Received>,
    /// Subscriptions whose data has not come, with their requests.
    pending: HashMap<String, Vec<String>>,
    /// What the last transaction announced, until it comes.
    owed: Option<u64>,
    /// No transaction has come since the stream started: additional data of an earlier one may be repeated.
    at_start: bool,
}

/// What is being received.
#[derive(Default)]
enum Open {
    #[default]
    Nothing,
    Transaction {
        begin: SatOpBegin,
        ops: Vec<Op>,
    },
    Data {
        subscription: String,
        lsn: Bytes,
        shapes: Vec<ShapeData>,
        inside: bool,
    },
    Additional {
        reference: u64,
        ops: Vec<Op>,
    },
    Gone {
        subscriptions: Vec<String>,
        lsn: Bytes,
        ops: Vec<Op>,
    },
}

impl Open {
    fn name(&self) -> &'static str {
        match self {
            Open::Nothing => "nothing",
            Open::Transaction { .. } => "a transaction",
            Open::Data { .. } => "a subscription's data",
            Open::Additional { .. } => "additional data",
            Open::Gone { .. } => "a gone batch",
        }
    }
}

impl Inbox {
    /// The stream starts: relations have to be announced again.
    pub(super) fn start(&mut self) {
        self.relations.clear();
        self.at_start = true;
    }

    /// A subscription was accepted: its data may come from now on.
    pub(super) fn expect_data(&mut self, subscription: &str, requests: Vec<String>) {
        self.pending.insert(subscription.to_owned(), requests);
    }

    /// Takes in a message that is neither call nor answer; returns what it completed.
    pub(super) fn take(&mut self, message: Message) -> Result<Vec<Received>> {
        match message {
            Message::Relation(relation) => {
                self.relations.insert(relation.relation_id, relation);
            }
            Message::OpLog(log) => {
                let ops = log.decode()?.ops;
                ensure!(ops.len() <= OPS_PER_FRAME, "{} operations in one frame", ops.len());
                for op in ops {
                    self.op(op.op.context("an empty operation")?)?;
                }
            }
            Message::SubsDataBegin(begin) => {
                ensure!(!begin.lsn.is_empty(), "data without a position");
                ensure!(
                    self.pending.contains_key(&begin.subscription_id),
                    "data of the subscription {}, which was not accepted, or had its data before",
                    begin.subscription_id
                );
                let (subscription, lsn) = (begin.subscription_id, begin.lsn);
                self.begin(Open::Data { subscription, lsn, shapes: vec![], inside: false })?;
            }
            Message::ShapeDataBegin(begin) => match &mut self.open {
                Open::Data { shapes, inside, .. } if !*inside => {
                    *inside = true;
                    shapes.push(ShapeData { request: begin.request_id, ops: vec![] });
                }
                open => bail!("a shape's data begins inside {}", open.name()),
            },
            Message::ShapeDataEnd(_) => match &mut self.open {
                Open::Data { inside, .. } if *inside => *inside = false,
                open => bail!("a shape's data ends inside {}", open.name()),
            },
            Message::SubsDataEnd(_) => self.end_data()?,
            Message::UnsubsDataBegin(begin) => {
                ensure!(!begin.lsn.is_empty(), "a gone batch without a position");
                let (subscriptions, lsn) = (begin.subscription_ids, begin.lsn);
                self.begin(Open::Gone { subscriptions, lsn, ops: vec![] })?;
            }
            Message::UnsubsDataEnd(_) => match std::mem::take(&mut self.open) {
                Open::Gone { subscriptions, lsn, ops } => {
                    for id in &subscriptions {
                        self.pending.remove(id);
                    }
                    self.complete.push(Received::Gone { subscriptions, lsn, ops });
                }
                open => bail!("a gone batch ends inside {}", open.name()),
            },
            Message::Error(error) => bail!("the service said {:?}: {:?}", error.error_type(), error.message),
            other => bail!("an unexpected {}", other.name()),
        }
        Ok(std::mem::take(&mut self.complete))
    }

    fn begin(&mut self, what: Open) -> Result<()> {
        ensure!(matches!(self.open, Open::Nothing), "{} begins inside {}", what.name(), self.open.name());
        self.open = what;
        self.rows.clear();
        Ok(())
    }

    /// Every request has had exactly one pair, and no other has.
    fn end_data(&mut self) -> Result<()> {
        let Open::Data { subscription, lsn, shapes, inside } = std::mem::take(&mut self.open) else {
            bail!("data ends that never began");
        };
        ensure!(!inside, "data ends inside a shape's");
        let mut wanted = self.pending.remove(&subscription).unwrap_or_default();
        let mut got: Vec<_> = shapes.iter().map(|shape| shape.request.clone()).collect();
        wanted.sort_unstable();
        got.sort_unstable();
        ensure!(got == wanted, "data for the requests {got:?} where {wanted:?} were made");
        self.complete.push(Received::Data { subscription, lsn, shapes });
        Ok(())
    }

    fn op(&mut self, op: Wire) -> Result<()> {
        match op {
            Wire::Begin(begin) => {
                ensure!(
                    !begin.lsn.is_empty() && begin.transaction_id.is_some(),
                    "begin lacks its position or id"
                );
                ensure!(
                    self.owed.is_none(),
                    "a transaction comes before the additional data of the one before it"
                );
                let reference = begin.additional_data_ref;
                ensure!(
                    reference == 0 || Some(reference) == begin.transaction_id,
                    "the reference {reference} is not the transaction's id {:?}",
                    begin.transaction_id
                );
                self.begin(Open::Transaction { begin, ops: vec![] })
            }
            Wire::Commit(commit) => self.commit(&commit),
            Wire::AdditionalBegin(begin) => {
                let reference = begin.r#ref;
                ensure!(
                    self.owed == Some(reference) || (self.owed.is_none() && self.at_start),
                    "additional data for {reference}, which was not announced, or was answered before"
                );
                self.begin(Open::Additional { reference, ops: vec![] })
            }
            Wire::AdditionalCommit(commit) => match std::mem::take(&mut self.open) {
                Open::Additional { reference, ops } => {
                    ensure!(reference == commit.r#ref, "additional data ends with another reference");
                    self.owed = None;
                    self.complete.push(Received::Additional { reference, ops });
                    Ok(())
                }
                open => bail!("additional data ends inside {}", open.name()),
            },
            row => self.row_op(row),
        }
    }

    fn commit(&mut self, commit: &SatOpCommit) -> Result<()> {
        let Open::Transaction { begin, ops } = std::mem::take(&mut self.open) else {
            bail!("a commit without a begin");
        };
        ensure!(
            begin.additional_data_ref == commit.additional_data_ref,
            "begin and commit announce different additional data"
        );
        ensure!(begin.transaction_id == commit.transaction_id, "begin and commit have different ids");
        self.owed = Some(begin.additional_data_ref).filter(|reference| *reference != 0);
        self.at_start = false;
        self.complete.push(Received::Transaction { begin, ops });
        Ok(())
    }

    fn row_op(&mut self, op: Wire) -> Result<()> {
        let (relation, op) = match op {
            Wire::Insert(op) => {
                let relation = self.relation(op.relation_id)?;
                let (table, new) = (relation.table_name.clone(), named(relation, op.row_data)?);
                (op.relation_id, Op::Insert { table, new, tags: op.tags })
            }
            Wire::Update(op) => {
                let relation = self.relation(op.relation_id)?;
                let old = op.old_row_data.map(|row| named(relation, Some(row))).transpose()?;
                let (table, new) = (relation.table_name.clone(), named(relation, op.row_data)?);
                (op.relation_id, Op::Update { table, old, new, tags: op.tags })
            }
            Wire::Delete(op) => {
                let relation = self.relation(op.relation_id)?;
                let (table, old) = (relation.table_name.clone(), named(relation, op.old_row_data)?);
                (op.relation_id, Op::Delete { table, old, tags: op.tags })
            }
            Wire::Gone(op) => {
                let relation = self.relation(op.relation_id)?;
                let key = gone_key(relation, op.pk_data)?;
                (op.relation_id, Op::Gone { table: relation.table_name.clone(), key })
            }
            Wire::Migrate(op) => {
                let Open::Transaction { ops, .. } = &mut self.open else {
                    bail!("a migration inside {}", self.open.name())
                };
                ops.push(Op::Migrate(op));
                return Ok(());
            }
            other => bail!("an unexpected operation {other:?}"),
        };
        self.once(relation, &op)?;
        match &mut self.open {
            Open::Transaction { ops, .. } => {
                let after_gone = matches!(ops.last(), Some(Op::Gone { .. }));
                ensure!(!after_gone || matches!(op, Op::Gone { .. }), "another operation after a gone");
                ops.push(op);
            }
            Open::Data { shapes, inside: true, .. } => {
                ensure!(matches!(op, Op::Insert { .. }), "data holds something else than inserts");
                shapes.last_mut().context("data outside of a shape's")?.ops.push(op);
            }
            Open::Data { .. } => bail!("a row between the data of two shapes"),
            Open::Additional { ops, .. } => {
                ensure!(matches!(op, Op::Insert { .. }), "additional data holds something else than inserts");
                ops.push(op);
            }
            Open::Gone { ops, .. } => {
                ensure!(matches!(op, Op::Gone { .. }), "a gone batch holds something else");
                ops.push(op);
            }
            Open::Nothing => bail!("an operation outside of everything"),
        }
        Ok(())
    }

    /// A row occurs once in whatever is open: operations of a transaction are net (06 §6.6), data has each row once (06 §5.3).
    /// A key may be named twice in a gone batch.
    fn once(&mut self, relation_id: u32, op: &Op) -> Result<()> {
        if matches!(self.open, Open::Gone { .. }) {
            return Ok(());
        }
        let relation = self.relation(relation_id)?;
        let Some((table, row)) = op.row() else { return Ok(()) };
        let key = key_columns(relation).map(|name| row.get(name).cloned().flatten()).collect();
        let again = format!("a row of {table} comes twice in {}", self.open.name());
        ensure!(self.rows.insert((relation_id, key)), again);
        Ok(())
    }

    fn relation(&self, id: u32) -> Result<&SatRelation> {
        self.relations.get(&id).with_context(|| format!("relation {id} was not announced"))
    }
}

fn key_columns(relation: &SatRelation) -> impl Iterator<Item = &str> {
    relation.columns.iter().filter(|column| column.primary_key).map(|column| column.name.as_str())
}

/// The row of a gone: its key and nothing else.
fn gone_key(relation: &SatRelation, row: Option<SatOpRow>) -> Result<Row> {
    let row = named(relation, row)?;
    for column in &relation.columns {
        let is_null = row.get(&column.name).is_none_or(Option::is_none);
        ensure!(is_null != column.primary_key, "{} of a gone row of {}", column.name, relation.table_name);
    }
    Ok(row)
}
