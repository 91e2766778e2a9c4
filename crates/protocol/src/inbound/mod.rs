//! What clients write: op logs to checked transactions (spec 02 §6.5, 03 §6).
//!
//! [`InboundDecoder`] belongs to one connection. It knows the relations that the client announced, keeps the transaction
//! that is not complete yet, and hands out transactions whose every value Postgres is expected to take.

mod operation;
mod refused;
mod rejection;
mod relation;

use std::collections::HashMap;

use bytes::Bytes;
use change::{ClientId, ClientLsn, ClientTransaction};
use schema::Schema;

pub use rejection::{Rejection, RejectionReason};
pub use relation::{InboundRelation, RelationRefused};

use self::{operation::KeyChange, refused::Reader, rejection::Fault, relation::Announced};
use crate::{
    op_log::{Op, OpLog},
    wire::SatRelation,
};

/// How much one message, together with the transaction it completes, may hold once it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboundLimits {
    /// Bytes in memory: values, and what holds them.
    pub bytes: usize,
    /// Operations.
    pub ops: usize,
}

/// 256 MiB and a million operations: a client sends everything that it wrote between two snapshots as one transaction.
impl Default for InboundLimits {
    fn default() -> InboundLimits {
        InboundLimits { bytes: 256 << 20, ops: 1_000_000 }
    }
}

/// Last moment that Postgres' timestamps reach, in milliseconds since the Unix epoch; tags are stored as such.
const MAX_TIMESTAMP_MS: u64 = 9_224_318_015_999_999;

/// Decodes and checks the writes of one client.
#[derive(Debug)]
pub struct InboundDecoder {
    client: ClientId,
    limits: InboundLimits,
    relations: HashMap<u32, Announced>,
    incomplete: Option<Incomplete>,
}

/// A transaction whose commit has not come yet, or not been looked at.
#[derive(Debug)]
struct Incomplete {
    transaction: ClientTransaction,
    /// The first update that changes a key, if there is one: judged when everything has been decoded.
    key_change: Option<KeyChange>,
    /// What it alone takes of the limits.
    spent: Spent,
}

/// What has been used of the limits.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    bytes: usize,
    ops: usize,
}

impl InboundDecoder {
    /// A decoder for the authenticated `client`, with nothing announced.
    #[must_use]
    pub fn new(client: ClientId, limits: InboundLimits) -> InboundDecoder {
        InboundDecoder { client, limits, relations: HashMap::new(), incomplete: None }
    }

    /// Takes note of a relation, or of another definition of one. A table that the client has and that is not synced any more is no
    /// mistake before it is written to.
    ///
    /// # Errors
    /// [`RelationRefused`] when it does not fit the schema; the connection is closed then (spec 03 §6.3).
    pub fn announce(&mut self, relation: &SatRelation, schema: &Schema) -> Result<(), RelationRefused> {
        let bound = Announced::bind(relation, schema)?;
        if self.relations.len() >= InboundRelation::MAX && !self.relations.contains_key(&relation.relation_id)
        {
            return Err(RelationRefused::TooMany);
        }
        self.relations.insert(relation.relation_id, bound);
        Ok(())
    }

    /// Forgets the incomplete transaction: the client has been asked to start its stream again. Relations stay; the
    /// client announces them again anyway.
    pub fn restart(&mut self) {
        self.incomplete = None;
    }

    /// Decodes an op log. Returns the transactions that it completes, in order; those without operations are left out.
    /// What stays incomplete is kept for the next op log.
    ///
    /// # Errors
    /// [`Rejection`]: nothing of the message is accepted, except that a change of a primary key and a write to a table that is not
    /// synced any more spare the transactions before it. The connection is to be closed after the error has been sent.
    pub fn decode(&mut self, log: &OpLog, schema: &Schema) -> Result<Vec<ClientTransaction>, Box<Rejection>> {
        let mut complete = Vec::new();
        let fault = self.read(log, schema, &mut complete).err().map(|fault| {
            let at = self.incomplete.take().map(|incomplete| incomplete.transaction.lsn);
            (fault, at)
        });
        if let Some((fault, at)) = fault.as_ref().filter(|(fault, _)| !fault.spares_earlier()) {
            let mut rejection = fault.clone().reject(at.clone(), Vec::new());
            // What is kept may be skipped by an operator, and with it all that the client wrote before.
            if complete.iter().all(|before| before.transaction.ops.is_empty()) {
                self.keep(&mut rejection, at.as_ref(), log);
            }
            return Err(Box::new(rejection));
        }
        let mut accepted = Vec::with_capacity(complete.len());
        for Incomplete { transaction, key_change, .. } in complete {
            match key_change {
                Some(change) => {
                    self.incomplete = None;
                    let at = transaction.lsn;
                    let mut rejection = change.reject(at.clone(), accepted);
                    self.keep(&mut rejection, Some(&at), log);
                    return Err(Box::new(rejection));
                }
                None if transaction.ops.is_empty() => {}
                None => accepted.push(transaction),
            }
        }
        match fault {
            Some((fault, at)) => {
                let mut rejection = fault.reject(at.clone(), accepted);
                self.keep(&mut rejection, at.as_ref(), log);
                Err(Box::new(rejection))
            }
            None => Ok(accepted),
        }
    }

    /// Keeps the transaction at fault, as far as it can be told.
    fn keep(&self, rejection: &mut Rejection, at: Option<&ClientLsn>, log: &OpLog) {
        let reader = Reader { client: &self.client, relations: &self.relations, log };
        rejection.transaction =
            at.and_then(|at| reader.read(at, &rejection.reason, &rejection.client_message)).map(Box::new);
    }

    fn read(&mut self, log: &OpLog, schema: &Schema, complete: &mut Vec<Incomplete>) -> Result<(), Fault> {
        let mut spent = self.incomplete.as_ref().map_or_else(Spent::default, |i| i.spent);
        for op in log.ops() {
            let op = op.map_err(|_| RejectionReason::Malformed)?;
            spent.ops += 1;
            spent.check(&self.limits)?;
            let (kind, row_op) = match op {
                Op::Begin { commit_timestamp, lsn } => {
                    self.begin(commit_timestamp, lsn)?;
                    continue;
                }
                Op::Commit => {
                    complete.push(self.incomplete.take().ok_or(RejectionReason::NoTransaction)?);
                    continue;
                }
                Op::ServerOnly(name) => return Err(RejectionReason::ServerOnly(name).into()),
                Op::Unknown => return Err(RejectionReason::UnknownOperation.into()),
                Op::Insert(op) => (operation::Kind::Insert, op),
                Op::Update(op) => (operation::Kind::Update, op),
                Op::Delete(op) => (operation::Kind::Delete, op),
                Op::Compensation(op) => (operation::Kind::Compensation, op),
            };
            let incomplete = self.incomplete.as_mut().ok_or(RejectionReason::NoTransaction)?;
            let relation = self.relations.get_mut(&row_op.relation);
            let relation = relation.ok_or(RejectionReason::UnknownRelation(row_op.relation))?;
            let Some(relation) = relation.writable(kind, &row_op, schema)? else { continue };
            let weight = operation::weight(relation, &row_op);
            spent.bytes = spent.bytes.saturating_add(weight);
            spent.check(&self.limits)?;
            incomplete.spent.ops += 1;
            incomplete.spent.bytes += weight;
            let decoded = operation::decode(kind, &row_op, relation, log.as_bytes())?;
            incomplete.transaction.ops.extend(decoded.op);
            incomplete.key_change = incomplete.key_change.take().or(decoded.key_change);
        }
        Ok(())
    }

    fn begin(&mut self, timestamp_ms: u64, lsn: &[u8]) -> Result<(), RejectionReason> {
        if self.incomplete.is_some() {
            return Err(RejectionReason::NestedTransaction);
        }
        // Copied, since it is remembered for longer than the message should be.
        let lsn = lsn.first_chunk::<9>().map_or(lsn, |too_long| too_long);
        let lsn = ClientLsn::new(Bytes::copy_from_slice(lsn)).map_err(|_| RejectionReason::Position)?;
        if timestamp_ms > MAX_TIMESTAMP_MS {
            return Err(RejectionReason::Timestamp);
        }
        let transaction =
            ClientTransaction { client: self.client.clone(), lsn, timestamp_ms, ops: Vec::new() };
        self.incomplete =
            Some(Incomplete { transaction, key_change: None, spent: Spent { bytes: 0, ops: 1 } });
        Ok(())
    }
}

impl Spent {
    fn check(&self, limits: &InboundLimits) -> Result<(), RejectionReason> {
        if self.ops > limits.ops || self.bytes > limits.bytes {
            Err(RejectionReason::TooLarge)
        } else {
            Ok(())
        }
    }
}
