//! A private Postgres cluster, for `tieline dev` and for tests: local binaries, `wal_level=logical`, a free loopback port, an
//! unprivileged user when started as root (Postgres refuses to run as root), stopped when dropped.
//!
//! Nothing here touches a cluster that it did not make.

mod binaries;
mod process;
mod user;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use binaries::{Binaries, NoBinaries};
use tempfile::TempDir;

use crate::{process::Server, user::Unprivileged};

/// The superuser's name in every private cluster.
pub const SUPERUSER: &str = "postgres";

/// A cluster could not be made or started.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No local Postgres.
    #[error(transparent)]
    NoBinaries(#[from] NoBinaries),
    /// No user to run Postgres as.
    #[error("Postgres refuses to run as root, and neither user `postgres` nor `nobody` exists to run it as")]
    NoUser,
    /// A program of Postgres' failed.
    #[error("{program} failed:\n{output}")]
    Failed {
        /// The program.
        program: &'static str,
        /// What it said.
        output: String,
    },
    /// A file or process operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

pub(crate) fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> ClusterError {
    let what = what.into();
    move |source| ClusterError::Io { what, source }
}

/// How a cluster is to be set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The port to listen on; a free one if `None`.
    pub port: Option<u16>,
    /// Lines for `postgresql.conf`, after ours: `name = value`.
    pub settings: Vec<String>,
    /// Lines for `pg_hba.conf` in place of ours, which trust every loopback connection.
    pub hba: Option<String>,
}

/// A running private cluster. Stops when dropped.
pub struct Cluster {
    server: Server,
    data: PathBuf,
    port: u16,
    scratch: Option<TempDir>,
}

impl Cluster {
    /// A throw-away cluster in a scratch directory, without durability (`fsync=off`) unless `options` say otherwise. Takes
    /// about two seconds. It ends, and its directory goes, with this value or with the process, however that ends.
    ///
    /// # Errors
    /// [`ClusterError`] says what failed.
    pub fn temporary(options: &Options) -> Result<Cluster, ClusterError> {
        let binaries = Binaries::find()?;
        let user = Unprivileged::find()?;
        let scratch = scratch(&user)?;
        let data = scratch.path().join("data");
        process::initdb(&binaries, &user, &data)?;
        let mut options = options.clone();
        let fast = ["fsync = off", "full_page_writes = off", "shared_buffers = '32MB'"];
        options.settings.splice(0..0, fast.map(String::from));
        Cluster::start(&binaries, &user, data, &options, Some(scratch))
    }

    /// The cluster kept in `directory`, made there the first time. Durable; its port is kept between runs if it is still
    /// free, so that saved connection strings go on working.
    ///
    /// # Errors
    /// [`ClusterError`] says what failed.
    pub fn kept(directory: &Path, options: &Options) -> Result<Cluster, ClusterError> {
        let binaries = Binaries::find()?;
        let user = Unprivileged::find()?;
        let directory = own_directory(&user, directory)?;
        let data = directory.join("data");
        process::reclaim(&data)?;
        if !data.join("PG_VERSION").exists() {
            if data.exists() {
                fs::remove_dir_all(&data).map_err(io_error("removing a half-made cluster"))?;
            }
            process::initdb(&binaries, &user, &data)?;
        }
        let mut options = options.clone();
        let kept_port = directory.join("port");
        if options.port.is_none() {
            let last = fs::read_to_string(&kept_port).ok().and_then(|text| text.trim().parse().ok());
            options.port = last.filter(|port| process::is_free(*port));
        }
        let cluster = Cluster::start(&binaries, &user, data, &options, None)?;
        fs::write(&kept_port, cluster.port.to_string()).map_err(io_error("remembering the port"))?;
        Ok(cluster)
    }

    fn start(
        binaries: &Binaries,
        user: &Unprivileged,
        data: PathBuf,
        options: &Options,
        scratch: Option<TempDir>,
    ) -> Result<Cluster, ClusterError> {
        process::configure(&data, options)?;
        let (server, port) =
            Server::start(binaries, user, &data, options.port, scratch.as_ref().map(TempDir::path))?;
        Ok(Cluster { server, data, port, scratch })
    }

    /// The loopback port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection string for a database, as the superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://{SUPERUSER}@127.0.0.1:{}/{database}", self.port)
    }

    /// The data directory.
    #[must_use]
    pub fn data_directory(&self) -> &Path {
        &self.data
    }

    /// Stops it (fast shutdown: connections are cut, data is flushed) and waits for the end.
    ///
    /// # Errors
    /// [`ClusterError`] says what failed.
    pub fn stop(&mut self) -> Result<(), ClusterError> {
        self.server.stop()
    }

    /// Kills it, as a crash would (`SIGQUIT`: immediate shutdown), and waits for the end.
    ///
    /// # Errors
    /// [`ClusterError`] says what failed.
    pub fn crash(&mut self) -> Result<(), ClusterError> {
        self.server.crash()
    }

    /// Starts it again on the same port after [`Cluster::stop`] or [`Cluster::crash`].
    ///
    /// # Errors
    /// [`ClusterError`] says what failed.
    pub fn restart(&mut self) -> Result<(), ClusterError> {
        let (binaries, user) = (Binaries::find()?, Unprivileged::find()?);
        self.server.stop()?;
        let scratch = self.scratch.as_ref().map(TempDir::path);
        (self.server, self.port) = Server::start(&binaries, &user, &self.data, Some(self.port), scratch)?;
        Ok(())
    }

    /// A copy of its files as they are now, without its replication slots: a base backup.
    ///
    /// # Errors
    /// [`ClusterError`] says what failed.
    pub fn backup(&self) -> Result<Backup, ClusterError> {
        self.copy(&[])
    }

    fn copy(&self, options: &[&str]) -> Result<Backup, ClusterError> {
        let (binaries, user) = (Binaries::find()?, Unprivileged::find()?);
        let scratch = scratch(&user)?;
        process::base_backup(&binaries, &user, self.port, &scratch.path().join("data"), options)?;
        Ok(Backup { scratch })
    }

    /// A hot standby that follows this cluster's log, on a port of its own.
    ///
    /// # Errors
    /// [`ClusterError`] says what failed.
    pub fn standby(&self) -> Result<Cluster, ClusterError> {
        self.copy(&["--write-recovery-conf"])?.start(None)
    }

    /// A hot standby that follows this cluster's log, kept in `directory`, which is made and must not have one yet.
    ///
    /// # Errors
    /// [`ClusterError`] says what failed.
    pub fn standby_kept(&self, directory: &Path) -> Result<Cluster, ClusterError> {
        let (binaries, user) = (Binaries::find()?, Unprivileged::find()?);
        let directory = own_directory(&user, directory)?;
        let data = directory.join("data");
        process::base_backup(&binaries, &user, self.port, &data, &["--write-recovery-conf"])?;
        let (server, port) = Server::start(&binaries, &user, &data, None, None)?;
        Ok(Cluster { server, data, port, scratch: None })
    }

    /// Makes a primary of a standby, on a timeline of its own, and waits for that. What it has not received is not in it.
    ///
    /// # Errors
    /// [`ClusterError`] says what failed.
    pub fn promote(&self) -> Result<(), ClusterError> {
        process::promote(&Binaries::find()?, &Unprivileged::find()?, &self.data)
    }

    /// Stops all its processes in their tracks (`SIGSTOP`), as a machine that hangs would, until [`Cluster::thaw`].
    pub fn freeze(&self) {
        self.server.freeze();
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.server.thaw();
    }

    /// The process id of the postmaster, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }
}

/// The files of a cluster as they were at some moment.
#[derive(Debug)]
pub struct Backup {
    scratch: TempDir,
}

impl Backup {
    /// Runs a cluster from it, which it becomes; on a free port if `None`.
    ///
    /// # Errors
    /// [`ClusterError`] says what failed.
    pub fn start(self, port: Option<u16>) -> Result<Cluster, ClusterError> {
        let (binaries, user) = (Binaries::find()?, Unprivileged::find()?);
        let data = self.scratch.path().join("data");
        let (server, port) = Server::start(&binaries, &user, &data, port, Some(self.scratch.path()))?;
        Ok(Cluster { server, data, port, scratch: Some(self.scratch) })
    }
}

/// A directory that Postgres' user owns and gets to, made if it is not there.
fn own_directory(user: &Unprivileged, directory: &Path) -> Result<PathBuf, ClusterError> {
    fs::create_dir_all(directory).map_err(io_error(format!("making {}", directory.display())))?;
    let directory = directory.canonicalize().map_err(io_error("resolving the directory"))?;
    user.give(&directory)?;
    user.check_reach(&directory)?;
    Ok(directory)
}

fn scratch(user: &Unprivileged) -> Result<TempDir, ClusterError> {
    let made = tempfile::Builder::new().prefix("tieline-pg-").tempdir();
    let scratch = made.map_err(io_error("making a scratch directory"))?;
    user.give(scratch.path())?;
    Ok(scratch)
}
