//! What the client writes, on its way to the writer (spec 02 §6.4, §6.5).

use std::collections::VecDeque;

use change::{ClientId, ClientLsn, ClientTransaction, Field};
use protocol::{
    InboundDecoder, InboundLimits, Method, OpLog, Request,
    wire::{SatErrorResp, SatInStartReplicationReq, SatRelation, SatRpcResponse},
};

use crate::{
    Output, SessionConfig, WriteOutcome,
    context::{Context, Ending, Flow},
    wire::ErrorCode,
};

/// The client's own stream. All that is accepted is with the writer, which applies it in order, and nothing of it after one that
/// it refuses.
pub(crate) struct Inbound {
    client: ClientId,
    stage: Stage,
    /// Made with the first relation or op log.
    decoder: Option<Box<InboundDecoder>>,
    /// What is with the writer, in order.
    writing: VecDeque<Writing>,
    /// Bytes of it, roughly.
    weight: usize,
    /// The position of the last transaction that Postgres is known to have; those at or before it are repetitions.
    acknowledged: u64,
    dropped: u64,
    /// A later transaction was refused: what was accepted before it is written, then the connection ends with this.
    failure: Option<Box<Ending>>,
}

/// Whether the client's transactions count.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// The client has been asked under this number for what comes after the acknowledged position.
    Requested(u32),
    /// It has agreed.
    Active,
}

/// A transaction that is with the writer.
struct Writing {
    lsn: ClientLsn,
    weight: usize,
}

/// Bytes that may be with the writer before nothing more is read from the socket.
const MAX_WEIGHT: usize = 8 << 20;

impl Inbound {
    /// Asks the client for everything after `acknowledged`: once per connection (spec 02 §14 row 22).
    pub(crate) fn ask(client: &ClientId, acknowledged: Option<ClientLsn>, cx: &mut Context<'_>) -> Inbound {
        const FIRST: u32 = 0;
        let position = acknowledged.as_ref().map_or(0, ClientLsn::position);
        let lsn = acknowledged.map(|lsn| lsn.as_bytes().clone()).unwrap_or_default();
        let request = SatInStartReplicationReq { lsn, ..SatInStartReplicationReq::default() };
        cx.send(Request::StartReplication(request).encode(FIRST));
        Inbound {
            client: client.clone(),
            stage: Stage::Requested(FIRST),
            decoder: None,
            writing: VecDeque::new(),
            weight: 0,
            acknowledged: position,
            dropped: 0,
            failure: None,
        }
    }

    /// Messages dropped because they came before the client's consent.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether more may be read from the socket.
    pub(crate) fn has_room(&self, config: &SessionConfig) -> bool {
        self.failure.is_none()
            && self.writing.len() < config.limits.queued_transactions.max(1)
            && self.weight < MAX_WEIGHT
    }

    /// Whether the client's last word has been heard, though the connection is still there.
    pub(crate) fn is_failing(&self) -> bool {
        self.failure.is_some()
    }

    /// The client agreed to a request of ours. Answers to anything else are late or made up, and mean nothing.
    pub(crate) fn answered(&mut self, response: &SatRpcResponse) {
        if self.stage == Stage::Requested(response.request_id)
            && response.method == Method::StartReplication.as_str()
        {
            self.stage = Stage::Active;
        }
    }

    /// `SatRelation`.
    pub(crate) fn relation(&mut self, relation: &SatRelation, cx: &mut Context<'_>) -> Flow {
        let schema = cx.world.schema();
        let Err(refused) = self.decoder(cx.config).announce(relation, &schema) else { return Ok(()) };
        cx.out.push(Output::WriteRejected { position: None, reason: refused.to_string() });
        self.failure = Some(Ending::refused(refused.response().into_frame()));
        self.end_if_written()
    }

    /// `SatOpLog`.
    pub(crate) fn op_log(&mut self, log: &OpLog, cx: &mut Context<'_>) -> Flow {
        if self.stage != Stage::Active {
            self.dropped += 1;
            return Ok(());
        }
        let schema = cx.world.schema();
        match self.decoder(cx.config).decode(log, &schema) {
            Ok(transactions) => self.accept(transactions, cx),
            Err(rejection) => {
                let reason = rejection.reason.to_string();
                cx.out.push(Output::WriteRejected { position: rejection.position, reason });
                let mut ending = Ending::refused(rejection.response().into_frame());
                ending.rejected = rejection.transaction;
                self.accept(rejection.accepted, cx);
                self.failure = Some(ending);
                self.end_if_written()?;
            }
        }
        Ok(())
    }

    fn decoder(&mut self, config: &SessionConfig) -> &mut InboundDecoder {
        let limits =
            InboundLimits { bytes: config.limits.transaction_bytes, ops: config.limits.transaction_ops };
        self.decoder.get_or_insert_with(|| Box::new(InboundDecoder::new(self.client.clone(), limits)))
    }

    fn accept(&mut self, transactions: Vec<ClientTransaction>, cx: &mut Context<'_>) {
        for transaction in transactions {
            // A repetition; its echo is in the stream already.
            if transaction.lsn.position() > self.acknowledged {
                let weight = weight(&transaction);
                self.weight = self.weight.saturating_add(weight);
                self.writing.push_back(Writing { lsn: transaction.lsn.clone(), weight });
                cx.out.push(Output::Write(transaction));
            }
        }
    }

    /// The writer's word about the oldest of the transactions it has.
    pub(crate) fn written(&mut self, outcome: WriteOutcome) -> Flow {
        let Some(Writing { lsn, weight }) = self.writing.pop_front() else { return Ok(()) };
        self.weight = self.weight.saturating_sub(weight);
        match outcome {
            WriteOutcome::Done => self.acknowledged = self.acknowledged.max(lsn.position()),
            WriteOutcome::Refused { message } => {
                let error = SatErrorResp::new(ErrorCode::InvalidRequest, message).at(lsn.as_bytes().clone());
                return Err(Ending::refused(error.into_frame()));
            }
        }
        self.end_if_written()
    }

    fn end_if_written(&mut self) -> Flow {
        if !self.writing.is_empty() {
            return Ok(());
        }
        self.failure.take().map_or(Ok(()), Err)
    }
}

/// Roughly what a transaction occupies, in bytes.
fn weight(transaction: &ClientTransaction) -> usize {
    let op = |op: &change::ClientOp| {
        let values: usize = op.values.iter().filter_map(Field::value).map(<[u8]>::len).sum();
        size_of::<change::ClientOp>() + op.values.len() * (size_of::<Field>() + 1) + values
    };
    size_of::<ClientTransaction>() + transaction.ops.iter().map(op).sum::<usize>()
}
