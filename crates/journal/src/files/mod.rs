//! The folder of a journal.

pub(crate) mod catalog;
mod folder;
mod log;
mod open;
mod scan;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use change::Lsn;

pub(crate) use self::{
    log::{Log, discard},
    open::lost,
};
use crate::format::index::Standing;

/// Whose journal it is: a database of a cluster. Kept in every segment; one of another database is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's system identifier, at most 255 bytes; a decimal number in practice.
    pub system: String,
    /// The database's object id.
    pub database: u32,
}

impl Identity {
    /// The name of the folder for it below `TIELINE_DATA_DIR` (spec 07 §0).
    #[must_use]
    pub fn folder_name(&self) -> String {
        format!("{}-{}", self.system, self.database)
    }
}

/// Bounds of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLimits {
    /// Bytes of all segments together (`ELECTRIC_RESUMABLE_WAL_WINDOW`). The segment being written always stays.
    pub bytes: u64,
    /// Bytes of one segment, after which the next one is begun; at most a quarter of `bytes`. A transaction is never cut: one larger
    /// than this makes a segment larger than this.
    pub segment: u64,
}

impl FileLimits {
    /// A window of so many bytes, in segments of a sixteenth of it, but at least 1 MiB and at most 64 MiB.
    #[must_use]
    pub fn new(bytes: u64) -> FileLimits {
        FileLimits { bytes, segment: (bytes / 16).clamp(1 << 20, 64 << 20) }
    }
}

/// What was found in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Where the window begins.
    pub start: Lsn,
    /// How far the stream had been recorded: it has to go on strictly after this.
    pub position: Lsn,
    /// The timeline of the write-ahead log at `position`.
    pub timeline: u32,
    /// The version of the schema at `position`.
    pub schema: Option<String>,
    /// Nothing was there, or nothing usable: [`Files::restart`] has to say where the window begins.
    pub fresh: bool,
    /// What of it could not be used and was dropped, in plain words.
    pub lost: Option<String>,
}

/// The folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses it.
    #[error("the journal {0} is in use by another process; it is taken over when that one stops")]
    Locked(PathBuf),
    /// It is another database's.
    #[error(
        "the journal {folder} belongs to database {found}, not to {wanted}; set TIELINE_DATA_DIR to another folder"
    )]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// A later release wrote it.
    #[error(
        "the journal {folder} was written in format {version} by a later release of Tieline; run that release, or \
         remove the folder (clients then load their data again)"
    )]
    Newer {
        /// The folder.
        folder: PathBuf,
        /// The version of its format.
        version: u32,
    },
    /// The operating system refused.
    #[error("can't {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A journal's folder, locked.
#[derive(Debug)]
pub struct Files(pub(crate) Log);

impl Files {
    /// Opens the folder, making it if need be, and finds out what is in it: of sealed segments the header and the index are read, the one
    /// that was being written is read wholly and cut after the last whole record. A segment that can't be read or does not reach up to
    /// the next one is dropped with all before it. Blocks.
    ///
    /// # Errors
    /// [`OpenError`] says what is in the way; nothing has been changed then.
    pub fn open(
        folder: &Path,
        identity: Identity,
        limits: FileLimits,
    ) -> Result<(Files, Recovered), OpenError> {
        let (log, recovered) = open::open(folder, identity, limits)?;
        Ok((Files(log), recovered))
    }

    /// Throws everything away and begins anew at `start`. Blocks.
    ///
    /// # Errors
    /// [`OpenError::Io`]. What is left is an end of the old window, or nothing.
    pub fn restart(
        &mut self,
        start: Lsn,
        timeline: u32,
        schema: Option<&str>,
    ) -> Result<Recovered, OpenError> {
        let standing = Standing { end: start, timeline, schema: schema.map(Arc::from) };
        self.0.restart(standing)?;
        let schema = schema.map(str::to_owned);
        Ok(Recovered { start, position: start, timeline, schema, fresh: false, lost: None })
    }

    /// The stream goes on in another timeline from the recorded position. Written with what comes next.
    pub fn note_timeline(&mut self, timeline: u32) {
        self.0.note_timeline(timeline);
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.folder()
    }

    /// Bytes that were read to open it.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.0.bytes_read()
    }
}

/// Names an operation that failed.
pub(crate) fn refused<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> OpenError + 'a {
    move |source| OpenError::Io { action, path: path.to_owned(), source }
}
