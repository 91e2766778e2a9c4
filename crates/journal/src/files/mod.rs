//! The folder of a journal.

use std::{
    io,
    path::{Path, PathBuf},
};

use change::Lsn;

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
    /// Bytes of one segment, after which the next one is begun. A transaction is never cut: one larger than this makes a
    /// segment larger than this.
    pub segment: u64,
}

impl FileLimits {
    /// A window of so many bytes, in segments of a sixteenth of it, at least 1 MiB and at most 64 MiB.
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
    /// The version of the last migration at or before `position`.
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
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// Opens the folder, making it if need be, and finds out what is in it. Blocks.
    ///
    /// # Errors
    /// [`OpenError`] says what is in the way; nothing has been changed then.
    pub fn open(
        folder: &Path,
        _identity: Identity,
        _limits: FileLimits,
    ) -> Result<(Files, Recovered), OpenError> {
        let files = Files { folder: folder.to_owned() };
        let recovered = Recovered {
            start: Lsn::ZERO,
            position: Lsn::ZERO,
            timeline: 0,
            schema: None,
            fresh: true,
            lost: None,
        };
        Ok((files, recovered))
    }

    /// Throws everything away and begins anew at `start`. Blocks.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub fn restart(
        &mut self,
        start: Lsn,
        timeline: u32,
        schema: Option<&str>,
    ) -> Result<Recovered, OpenError> {
        let schema = schema.map(str::to_owned);
        Ok(Recovered { start, position: start, timeline, schema, fresh: false, lost: None })
    }

    /// The stream goes on in another timeline from the recorded position.
    pub fn note_timeline(&mut self, _timeline: u32) {}

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
