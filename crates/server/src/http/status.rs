//! `GET /api/status.json`: how the service does, without user ids and without secrets.

use postgres::drift::GuardTier;
use serde::Serialize;

use crate::{connection::Hub, readiness::Phase};

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
    version: &'static str,
    instance_id: &'a str,
    auth: Auth,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<StreamReport>,
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
    /// Where the window of transactions begins.
    start: String,
    transactions: usize,
    bytes: usize,
    clients: usize,
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
    pub fn report(&self, phase: Phase, hub: Option<&Hub>, guard: Option<GuardTier>) -> Report<'_> {
        Report {
            status: phase.word(),
            message: phase.status(),
            version: self.version,
            instance_id: &self.instance_id,
            auth: Auth { mode: self.auth_mode },
            stream: hub.map(stream_report),
            schema: hub.map(|hub| schema_report(hub, guard)),
            warnings: &self.warnings,
        }
    }
}

fn stream_report(hub: &Hub) -> StreamReport {
    let (transactions, bytes) = hub.stream.size();
    StreamReport {
        position: hub.stream.position().to_string(),
        start: hub.stream.start().to_string(),
        transactions,
        bytes,
        clients: hub.stream.watchers.count(),
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
