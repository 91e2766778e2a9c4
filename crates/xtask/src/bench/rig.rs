//! What a measurement runs on: a private cluster with ordinary durability, and the release build of the service beside it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use cluster::{Binaries, Cluster, Options};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio_postgres::{Client, NoTls};

/// The cluster, the database and the service.
pub(crate) struct Rig {
    cluster: Cluster,
    service: Option<Child>,
    log: PathBuf,
    /// Where the service listens.
    pub(crate) port: u16,
    /// Where its migrations proxy listens.
    proxy_port: u16,
    /// `TIELINE_DATA_DIR`, if it is not a folder of the rig's own.
    pub(crate) data_dir: Option<&'static str>,
}

/// What the migrations proxy asks for.
const PROXY_PASSWORD: &str = "bench";

/// The database that is measured.
pub(crate) const DATABASE: &str = "bench";

/// Resident memory of a process, in KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Now.
    pub(crate) resident: u64,
    /// At its peak since the last [`Rig::forget_peak`].
    pub(crate) peak: u64,
}

impl Rig {
    /// Starts the cluster and makes the database; the service is not running yet.
    pub(crate) async fn new(log: &Path) -> Result<Rig> {
        let settings =
            ["fsync = on", "shared_buffers = '256MB'", "max_wal_size = '4GB'", "wal_sender_timeout = 0"];
        let options = Options { settings: settings.map(String::from).to_vec(), ..Options::default() };
        let cluster = tokio::task::spawn_blocking(move || Cluster::temporary(&options)).await??;
        let rig = Rig {
            cluster,
            service: None,
            log: log.to_path_buf(),
            port: free_port()?,
            proxy_port: free_port()?,
            data_dir: None,
        };
        rig.connect_to("postgres").await?.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await?;
        Ok(rig)
    }

    /// Starts the service and waits until it is ready; the answer is how long that took.
    pub(crate) async fn start_service(&mut self) -> Result<Duration> {
        let binary = Path::new("target/release/tieline");
        ensure!(binary.exists(), "no release build: run `cargo build --release --package tieline` first");
        let log = fs::File::create(&self.log)?;
        let started = Instant::now();
        let child = Command::new(binary)
            .arg("serve")
            .env("DATABASE_URL", self.cluster.url(DATABASE))
            .env("DATABASE_REQUIRE_SSL", "false")
            .env("TIELINE_DATA_DIR", self.data_directory())
            .env("AUTH_MODE", "insecure")
            .env("HTTP_PORT", self.port.to_string())
            .env("PG_PROXY_PORT", self.proxy_port.to_string())
            .env("PG_PROXY_PASSWORD", PROXY_PASSWORD)
            .env("LOG_LEVEL", "warning")
            .env("MAX_UNAUTHENTICATED", "10000")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting the service")?;
        self.service = Some(child);
        let limit = started + Duration::from_secs(60);
        while !self.is_ready().await {
            if let Some(status) = self.service.as_mut().and_then(|c| c.try_wait().ok().flatten()) {
                bail!("the service ended ({status}): see {}", self.log.display());
            }
            ensure!(
                Instant::now() < limit,
                "the service is not ready after a minute: see {}",
                self.log.display()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(started.elapsed())
    }

    /// Where the service keeps its journal.
    pub(crate) fn data_directory(&self) -> PathBuf {
        self.data_dir.map_or_else(|| self.cluster.data_directory().join("journals"), PathBuf::from)
    }

    async fn is_ready(&self) -> bool {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let answer = async {
            let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await?;
            socket
                .write_all(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .await?;
            let mut text = String::new();
            socket.read_to_string(&mut text).await?;
            std::io::Result::Ok(text)
        };
        answer.await.is_ok_and(|text| text.starts_with("HTTP/1.1 200"))
    }

    /// Stops the service in good order.
    pub(crate) fn stop_service(&mut self) -> Result<()> {
        if let Some(mut child) = self.service.take() {
            kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM)?;
            child.wait()?;
        }
        Ok(())
    }

    fn service_pid(&self) -> Result<Pid> {
        let child = self.service.as_ref().context("the service is not running")?;
        Ok(Pid::from_raw(child.id() as i32))
    }

    /// The service's memory.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.service_pid()?))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|text| text.trim_start_matches(':').trim().split(' ').next()?.parse().ok())
        };
        let (resident, peak) = (field("VmRSS"), field("VmHWM"));
        Ok(Memory { resident: resident.context("VmRSS")?, peak: peak.context("VmHWM")? })
    }

    /// Processor time that the service has used so far.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.service_pid()?))? {
            // A thread may end meanwhile.
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            nanoseconds += text.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap_or(0);
        }
        ensure!(nanoseconds > 0, "the system does not tell processor times");
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Starts the peak anew from what is resident now.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.service_pid()?), "5")?)
    }

    /// A connection to the measured database, as superuser.
    pub(crate) async fn connect(&self) -> Result<Client> {
        self.connect_to(DATABASE).await
    }

    async fn connect_to(&self, database: &str) -> Result<Client> {
        let (client, connection) = tokio_postgres::connect(&self.cluster.url(database), NoTls).await?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(client)
    }

    /// A command for one of Postgres' own programs, told how to connect.
    pub(crate) fn program(&self, name: &str) -> Result<Command> {
        Rig::program_at(self.port(), name)
    }

    /// The same, at another port.
    pub(crate) fn program_at(port: u16, name: &str) -> Result<Command> {
        let mut command = Command::new(Binaries::find()?.program(name));
        command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", cluster::SUPERUSER]);
        Ok(command)
    }
}

impl Rig {
    /// Where Postgres listens.
    pub(crate) fn port(&self) -> u16 {
        self.cluster.port()
    }

    /// A command for one of Postgres' own programs, told to connect to the service's migrations proxy.
    pub(crate) fn program_through_proxy(&self, name: &str) -> Result<Command> {
        let mut command = Rig::program_at(self.proxy_port, name)?;
        command.env("PGPASSWORD", PROXY_PASSWORD);
        Ok(command)
    }

    /// Waits until the service has read all that was written so far.
    pub(crate) async fn settle(&self, client: &Client) -> Result<()> {
        let end: String = client.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await?.get(0);
        let passed =
            "SELECT coalesce(bool_or(write_lsn >= $1::text::pg_lsn), false) FROM pg_stat_replication";
        let limit = Instant::now() + Duration::from_secs(120);
        while !client.query_one(passed, &[&end]).await?.get::<_, bool>(0) {
            ensure!(Instant::now() < limit, "the service does not get to the end of the log");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(child) = &mut self.service {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
