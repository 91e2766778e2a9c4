//! How the journal's disk fares, for the status page.

use std::time::SystemTime;

use change::Lsn;

/// How the journal's disk fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskState {
    /// Segments in the window.
    pub segments: usize,
    /// Bytes that they occupy.
    pub bytes: u64,
    /// Bytes that they may occupy (`ELECTRIC_RESUMABLE_WAL_WINDOW`).
    pub limit: u64,
    /// Everything up to here is on disk for certain.
    pub durable: Lsn,
    /// Bytes of memory of what is not.
    pub waiting: usize,
    /// Whether the stream waits, because memory is full of what could not be written.
    pub stalled: bool,
    /// What is wrong with writing at present.
    pub trouble: Option<Trouble>,
    /// What of the window was lost lately, in plain words: a damaged segment, or room that had to be made on a full disk.
    pub lost: Option<String>,
}

/// Writing fails. Nothing is lost: the stream goes on from memory and Postgres keeps what is not on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What happened, to which file, and what to do, in plain words.
    pub message: String,
    /// Since when.
    pub since: SystemTime,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether the disk is full, as opposed to broken.
    pub full: bool,
}
