//! `GET /api/status.json`: how the service does, without user ids and without secrets.

use postgres::drift::GuardTier;
use serde::Serialize;

use crate::{connection::Hub, readiness::Condition, stream::Stream};

/// What the configuration has to say about itself.
#[derive(Clone, Debug)]
pub struct About {
    /// The version of the program.
    pub version: &'static str,
    /// `secure` or `insecure`.
    pub auth_mode: &'static str,
    /// What clients are told as the server's identity.
    pub instance_id: String,
    /// What was said at the start.
    pub warnings: Vec<String>,
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    status: &'static str,
    message: &'static str,
    /// Since when clients are served, or are not; RFC 3339.
    since: String,
    /// Why they are not, in plain words.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    version: &'static str,
    instance_id: &'a str,
    auth: Auth,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<StreamReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<SlotReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    journal: Option<JournalReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<SchemaReport>,
    warnings: &'a [String],
}

#[derive(Debug, Serialize)]
struct Auth {
    mode: &'static str,
}

#[derive(Debug, Serialize)]
struct StreamReport {
    /// How far Postgres has been followed.
    position: String,
    clients: usize,
    /// When clients had to load their data again, and why; the last time since the process began.
    #[serde(skip_serializing_if = "Option::is_none")]
    begun_anew: Option<BegunAnewReport>,
}

#[derive(Debug, Serialize)]
struct BegunAnewReport {
    at: String,
    why: String,
}

/// What makes Postgres keep its log for us.
#[derive(Debug, Serialize)]
struct SlotReport {
    name: String,
    /// Up to here it need not any more.
    confirmed: String,
}

/// The window of transactions that clients can resume from.
#[derive(Debug, Serialize)]
struct JournalReport {
    /// `disk` or `memory`.
    kind: &'static str,
    /// `ok`, or what is wrong with the disk, in plain words.
    state: String,
    /// What of the window was lost lately, in plain words.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<String>,
    /// Where the window begins, and where it ends.
    start: String,
    position: String,
    memory: MemoryReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<DiskReport>,
}

/// The newest part of the window.
#[derive(Debug, Serialize)]
struct MemoryReport {
    transactions: usize,
    bytes: usize,
    limit: usize,
}

/// All of it.
#[derive(Debug, Serialize)]
struct DiskReport {
    segments: usize,
    bytes: u64,
    limit: u64,
    /// Everything up to here is on disk for certain.
    durable: String,
    /// Bytes of memory of what is not.
    waiting: usize,
    /// Whether the stream waits until they are.
    stalled: bool,
}

#[derive(Debug, Serialize)]
struct SchemaReport {
    version: Option<String>,
    tables: usize,
    /// How changes of synced tables are noticed: 1 or 2 (spec 04 §11).
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<u8>,
    /// What that means.
    #[serde(skip_serializing_if = "Option::is_none")]
    tier_means: Option<&'static str>,
    held_back: Vec<HeldBack>,
}

/// A table that no client may have, and why (spec 03 §10.3).
#[derive(Debug, Serialize)]
struct HeldBack {
    table: String,
    reason: String,
}

impl About {
    /// The report of the moment.
    #[must_use]
    pub fn report(&self, now: &Condition, hub: Option<&Hub>, guard: Option<GuardTier>) -> Report<'_> {
        let phase = now.phase;
        let since = jiff::Timestamp::try_from(now.since).unwrap_or_default();
        Report {
            since: format!("{since:.3}"),
            why: now.why.as_deref().map(str::to_owned),
            status: phase.word(),
            message: phase.status(),
            version: self.version,
            instance_id: &self.instance_id,
            auth: Auth { mode: self.auth_mode },
            stream: hub.map(stream_report),
            slot: hub.and_then(slot_report),
            journal: hub.map(|hub| journal_report(&hub.stream)),
            schema: hub.map(|hub| schema_report(hub, guard)),
            warnings: &self.warnings,
        }
    }
}

fn stream_report(hub: &Hub) -> StreamReport {
    let begun_anew = hub.begun_anew.get().map(|begun| BegunAnewReport {
        at: format!("{:.3}", jiff::Timestamp::try_from(begun.at).unwrap_or_default()),
        why: begun.why.clone(),
    });
    StreamReport {
        position: hub.stream.position().to_string(),
        clients: hub.stream.watchers.count(),
        begun_anew,
    }
}

fn slot_report(hub: &Hub) -> Option<SlotReport> {
    let confirmed = hub.stream.confirmable().to_string();
    Some(SlotReport { name: hub.slot.get()?.clone(), confirmed })
}

fn journal_report(stream: &Stream) -> JournalReport {
    let (transactions, bytes) = stream.size();
    let disk = stream.disk();
    let trouble = disk.as_ref().and_then(|disk| disk.trouble.as_ref());
    JournalReport {
        kind: if disk.is_some() { "disk" } else { "memory" },
        state: trouble.map_or_else(|| "ok".to_owned(), |trouble| trouble.message.clone()),
        lost: disk.as_ref().and_then(|disk| disk.lost.clone()),
        start: stream.start().to_string(),
        position: stream.position().to_string(),
        memory: MemoryReport { transactions, bytes, limit: stream.memory_limit() },
        disk: disk.map(|disk| DiskReport {
            segments: disk.segments,
            bytes: disk.bytes,
            limit: disk.limit,
            durable: disk.durable.to_string(),
            waiting: disk.waiting,
            stalled: disk.stalled,
        }),
    }
}

fn schema_report(hub: &Hub, guard: Option<GuardTier>) -> SchemaReport {
    let schema = hub.stream.schema();
    let held_back = schema.tables().filter_map(|table| {
        let reason = table.held_back.clone()?;
        Some(HeldBack { table: table.name.clone(), reason })
    });
    SchemaReport {
        version: schema.version.clone(),
        tables: schema.tables().len(),
        tier: guard.map(GuardTier::number),
        tier_means: guard.map(GuardTier::meaning),
        held_back: held_back.collect(),
    }
}
