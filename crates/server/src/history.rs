//! The journal of a database: opened, found to be continued or begun anew, and made into the stream that connections read.

use std::{convert::Infallible, io, path::Path, sync::Arc};

use change::Lsn;
use journal::{FileLimits, Files, Identity, Limits, OpenError, Recovered};
use postgres::{assemble::History, replication::Control};
use tokio::task::spawn_blocking;

use crate::stream::Stream;

/// A journal that nobody else can open while this, or the stream made of it, lives; or a window in memory that is yet to begin.
#[derive(Debug)]
pub struct Opened {
    files: Option<Files>,
    recovered: Recovered,
    window: Limits,
}

/// Opens the journal of a database below the data directory. Without one (`None`) the window is in memory only, and nothing is
/// ever found in it.
///
/// `window` is as configured: its `memory` bounds the part in memory, its `span` the bytes on disk (spec 07 §0).
///
/// # Errors
/// [`OpenError`]; with [`OpenError::Locked`], another instance has it and may be about to go.
pub async fn open(data_dir: Option<&Path>, window: Limits, identity: Identity) -> Result<Opened, OpenError> {
    let Some(data_dir) = data_dir else {
        let nothing = Recovered {
            start: Lsn::ZERO,
            position: Lsn::ZERO,
            timeline: 0,
            schema: None,
            fresh: true,
            lost: None,
        };
        return Ok(Opened { files: None, recovered: nothing, window });
    };
    let folder = data_dir.join(identity.folder_name());
    let path = folder.clone();
    let opening = spawn_blocking(move || Files::open(&folder, identity, FileLimits::new(window.span)));
    let (files, recovered) = opening.await.unwrap_or_else(|_| Err(failed("open", &path)))?;
    Ok(Opened { files: Some(files), recovered, window })
}

fn failed(action: &'static str, path: &Path) -> OpenError {
    let source = io::Error::other("the attempt ended early, which is an error in the program");
    OpenError::Io { action, path: path.to_owned(), source }
}

impl Opened {
    /// What there is to be continued; `None` if there is nothing: then [`Opened::begin_anew`] has to be called.
    #[must_use]
    pub fn found(&self) -> Option<&Recovered> {
        (!self.recovered.fresh).then_some(&self.recovered)
    }

    /// Whether transactions are kept on disk.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.files.is_some()
    }

    /// How many bytes the window may have: on disk, or, without one, of Postgres' log.
    #[must_use]
    pub fn span(&self) -> u64 {
        self.window.span
    }

    /// How much of Postgres' log the window may span, in bytes: a window that is in memory only holds the slot back by as much.
    /// Returns what it was, if that is more.
    pub fn bound_span(&mut self, span: u64) -> Option<u64> {
        let was = self.window.span;
        self.window.span = was.min(span);
        (was > span).then_some(was)
    }

    /// Throws away what there is. The window begins at `start`, on this timeline and after the migration with this version: the
    /// stream will hand on everything after `start`.
    ///
    /// # Errors
    /// [`OpenError::Io`]. There is no journal then; open it anew.
    pub async fn begin_anew(
        &mut self,
        start: Lsn,
        timeline: u32,
        schema: Option<&str>,
    ) -> Result<(), OpenError> {
        let schema = schema.map(str::to_owned);
        let Some(mut files) = self.files.take() else {
            let lost = None;
            self.recovered = Recovered { start, position: start, timeline, schema, fresh: false, lost };
            return Ok(());
        };
        let folder = files.folder().to_owned();
        let restarting = spawn_blocking(move || {
            let recovered = files.restart(start, timeline, schema.as_deref())?;
            Ok((files, recovered))
        });
        let (files, recovered) = restarting.await.unwrap_or_else(|_| Err(failed("empty", &folder)))?;
        self.files = Some(files);
        self.recovered = recovered;
        Ok(())
    }

    /// The stream goes on in another timeline from where the journal ends.
    pub fn note_timeline(&mut self, timeline: u32) {
        self.recovered.timeline = timeline;
        if let Some(files) = &mut self.files {
            files.note_timeline(timeline);
        }
    }

    /// Makes what connections read, with all migrations that the database knows of; the newest part is in memory then.
    ///
    /// # Errors
    /// [`OpenError::Io`] if it can't be read.
    pub async fn into_stream(self, history: &History) -> Result<Arc<Stream>, OpenError> {
        let Opened { files, recovered, window } = self;
        let Some(files) = files else {
            return Ok(Arc::new(Stream::in_memory(recovered.start, window, history)));
        };
        let (folder, history) = (files.folder().to_owned(), history.clone());
        let reading = spawn_blocking(move || Stream::on_disk(files, &recovered, window, &history));
        match reading.await {
            Ok(Ok(stream)) => Ok(Arc::new(stream)),
            Ok(Err(source)) => Err(OpenError::Io { action: "start writing", path: folder, source }),
            Err(_) => Err(failed("read", &folder)),
        }
    }
}

/// Lets Postgres forget what is not needed from it any more, as soon as that is so. Goes on until dropped.
pub async fn confirm(stream: &Stream, control: &Control) -> Infallible {
    loop {
        let confirmable = stream.confirmable();
        control.confirm(confirmable);
        stream.confirmable_beyond(confirmable).await;
    }
}
