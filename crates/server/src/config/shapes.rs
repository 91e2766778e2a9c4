//! Settings of shapes and of initial data.

use std::{path::PathBuf, time::Duration};

use postgres::snapshot::SnapshotSettings;
use shapes::ShapeLimits;

use super::{Notice, parse, setting as s, source::Source};

/// Bounds on shapes, and on what they cost.
#[derive(Clone, Debug)]
pub struct ShapeConfig {
    /// Bounds on one request.
    pub limits: ShapeLimits,
    /// Of the connections that read initial data.
    pub snapshots: SnapshotSettings,
    /// Of the initial data itself.
    pub initial: InitialLimits,
    /// Bytes of memory for shapes with includes that nobody is subscribed to.
    pub cache: usize,
}

/// Bounds on initial data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialLimits {
    /// Most rows of one shape; `None` for any number.
    pub rows: Option<u64>,
    /// Bytes of what is read, or has been read a moment ago, that are held for others who may want it.
    pub memory: usize,
    /// Where what does not fit in memory is kept for a while.
    pub spool: PathBuf,
}

/// Reads them all.
pub(super) fn read(source: &mut Source<'_>) -> ShapeConfig {
    let defaults = ShapeLimits::default();
    let mut number = |setting, range| source.read(setting, |v| parse::integer(v, range));
    let depth = number(s::TIELINE_SHAPE_MAX_DEPTH, 1..=64).map_or(defaults.depth, |n| n as usize);
    let layers = number(s::TIELINE_SHAPE_MAX_TABLES, 1..=10_000).map_or(defaults.layers, |n| n as usize);
    let rows = number(s::TIELINE_SHAPE_MAX_ROWS, 1..=u64::MAX);
    let connections = number(s::TIELINE_SNAPSHOT_CONNECTIONS, 1..=1000);
    let clause = source
        .read(s::TIELINE_SHAPE_MAX_WHERE, |v| parse::size_within(v, 1..=64 << 20, "at most 64M"))
        .unwrap_or(defaults.clause);
    let statement_timeout = source
        .read(s::TIELINE_SNAPSHOT_TIMEOUT, |v| parse::duration_from(v, Duration::from_secs(1), "1s"))
        .unwrap_or(Duration::ZERO);
    let snapshots = SnapshotSettings::default();
    let connections = connections.map_or(snapshots.connections, |n| n as usize);
    let spool = source.read(s::TIELINE_SPOOL_DIR, parse::directory).unwrap_or_else(|| default_spool(source));
    let cache =
        source.read(s::TIELINE_SHAPE_CACHE, |v| parse::size_within(v, 1 << 20..=u64::MAX, "at least 1M"));
    let cache = cache.unwrap_or(64 << 20);
    ShapeConfig {
        limits: ShapeLimits { depth, layers, clause },
        snapshots: SnapshotSettings { connections, statement_timeout, ..snapshots },
        initial: InitialLimits { rows, memory: cache, spool },
        cache,
    }
}

/// The system's temporary directory. It is needed only when initial data does not fit in memory, so the service starts without.
fn default_spool(source: &mut Source<'_>) -> PathBuf {
    let directory = std::env::temp_dir();
    if let Err(fault) = parse::directory(&directory.to_string_lossy()) {
        source.notice(Notice::Warning(format!(
            "The system's temporary directory {fault}. Clients that load much data at the same time may be refused: set {} to \
             another directory.",
            s::TIELINE_SPOOL_DIR.name
        )));
    }
    directory
}
