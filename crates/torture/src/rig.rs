//! What is tortured: a private Postgres, the service, and the proxies between them.

use std::{
    fs::OpenOptions,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use cluster::{Cluster, Options};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testkit::FaultProxy;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    sync::Mutex as AsyncMutex,
};
use tokio_postgres::{Client, NoTls};

/// The database of the run.
const DATABASE: &str = "torture";

/// How long the service may take to serve after it was started with everything there.
const START: Duration = Duration::from_secs(60);

/// How long a standby may take to follow.
const FOLLOW: Duration = Duration::from_secs(60);

/// A running Postgres and the service over it.
pub(crate) struct Rig {
    /// The primary of the moment.
    cluster: Arc<Mutex<Cluster>>,
    /// Where it listens.
    postgres: AtomicU16,
    /// How often Postgres has failed over.
    failovers: AtomicU32,
    service: AsyncMutex<Option<Child>>,
    binary: PathBuf,
    folder: PathBuf,
    /// Where the service listens.
    pub(crate) port: u16,
    /// Between the service and Postgres.
    pub(crate) proxy: FaultProxy,
}

impl Rig {
    /// Starts Postgres and the service, with everything of theirs below `folder`.
    pub(crate) async fn start(binary: &Path, folder: &Path) -> Result<Rig> {
        let settings =
            ["fsync = off", "full_page_writes = off", "shared_buffers = '64MB'", "log_lock_waits = on"];
        let options = Options { settings: settings.map(String::from).to_vec(), ..Options::default() };
        let place = folder.join("postgres");
        let cluster = tokio::task::spawn_blocking(move || Cluster::kept(&place, &options)).await??;
        let (admin, postgres) = (cluster.url("postgres"), cluster.port());
        let proxy = FaultProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, postgres))).await?;
        connect(&admin).await?.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await?;
        let rig = Rig {
            cluster: Arc::new(Mutex::new(cluster)),
            postgres: AtomicU16::new(postgres),
            failovers: AtomicU32::new(0),
            service: AsyncMutex::new(None),
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            port: TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port(),
            proxy,
        };
        rig.start_service().await?;
        rig.ready(START).await?;
        Ok(rig)
    }

    /// A connection of one's own to the database, past the proxy.
    pub(crate) async fn connect(&self) -> Result<Client> {
        let port = self.postgres.load(Ordering::Acquire);
        connect(&format!("postgresql://{}@127.0.0.1:{port}/{DATABASE}", cluster::SUPERUSER)).await
    }

    /// Starts the service if it does not run, and waits for nothing.
    pub(crate) async fn start_service(&self) -> Result<()> {
        let mut service = self.service.lock().await;
        if let Some(child) = service.as_mut()
            && child.try_wait()?.is_none()
        {
            return Ok(());
        }
        let log = OpenOptions::new().create(true).append(true).open(self.folder.join("service.log"))?;
        let url = format!("postgresql://{}@127.0.0.1:{}/{DATABASE}", cluster::SUPERUSER, self.proxy.port());
        let child = Command::new(&self.binary)
            .arg("serve")
            .env_clear()
            .env("DATABASE_URL", url)
            .env("DATABASE_REQUIRE_SSL", "false")
            .env("AUTH_MODE", "insecure")
            .env("HTTP_PORT", self.port.to_string())
            .env("TIELINE_DATA_DIR", self.folder.join("journal"))
            .env("LOG_LEVEL", "info")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.binary.display()))?;
        *service = Some(child);
        Ok(())
    }

    /// Waits until the service serves clients.
    pub(crate) async fn ready(&self, limit: Duration) -> Result<()> {
        let until = Instant::now() + limit;
        while self.status().await.is_none_or(|answer| !answer.starts_with("HTTP/1.1 200")) {
            if let Some(child) = self.service.lock().await.as_mut()
                && let Some(status) = child.try_wait()?
            {
                bail!("the service has ended by itself ({status})");
            }
            if Instant::now() > until {
                bail!("the service does not become ready within {} s", limit.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// What the service answers when it is asked for its state.
    pub(crate) async fn status(&self) -> Option<String> {
        let answer = async {
            let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
            socket
                .write_all(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .await?;
            let mut text = String::new();
            socket.read_to_string(&mut text).await?;
            std::io::Result::Ok(text)
        };
        tokio::time::timeout(Duration::from_secs(2), answer).await.ok()?.ok()
    }

    /// Whether the service has ended although nobody asked it to.
    pub(crate) async fn service_died(&self) -> Option<String> {
        let status = self.service.lock().await.as_mut()?.try_wait().ok()??;
        Some(status.to_string())
    }

    /// Kills the service.
    pub(crate) async fn kill_service(&self) -> Result<()> {
        if let Some(mut child) = self.service.lock().await.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Asks the service to stop, and waits until it has: the answer is its exit status and how long that took.
    pub(crate) async fn stop_service(&self, limit: Duration) -> Result<()> {
        let Some(mut child) = self.service.lock().await.take() else { return Ok(()) };
        if let Some(pid) = child.id() {
            kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM)?;
        }
        match tokio::time::timeout(limit, child.wait()).await {
            Ok(status) => match status?.success() {
                true => Ok(()),
                false => bail!("the service was asked to stop and failed ({:?})", child.wait().await?),
            },
            Err(_) => {
                child.kill().await?;
                bail!("the service was asked to stop and has not after {} s", limit.as_secs())
            }
        }
    }

    /// Stops Postgres, in good order or as a crash would, and starts it again after a time.
    pub(crate) async fn restart_postgres(&self, crash: bool, pause: Duration) -> Result<()> {
        let cluster = self.cluster.clone();
        tokio::task::spawn_blocking(move || {
            let mut cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner);
            if crash {
                cluster.crash()?;
            } else {
                cluster.stop()?;
            }
            std::thread::sleep(pause);
            cluster.restart()
        })
        .await??;
        Ok(())
    }

    /// Gives Postgres a standby that every commit waits for; lets it be so for a time; ends the primary for good, in good order or as a
    /// crash would; and promotes the standby. Nothing that anybody was told or shown is lost; the replication slot is.
    pub(crate) async fn fail_over(&self, crash: bool, pause: Duration) -> Result<()> {
        let (cluster, count) = (self.cluster.clone(), self.failovers() + 1);
        let place = self.folder.join(format!("postgres-{count}"));
        let standby = tokio::task::spawn_blocking(move || {
            cluster.lock().unwrap_or_else(PoisonError::into_inner).standby_kept(&place)
        });
        let standby = standby.await??;
        let admin = self.connect().await?;
        let name = "application_name = 'walreceiver'";
        admin.batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'walreceiver'").await?;
        admin.batch_execute("SELECT pg_reload_conf()").await?;
        until(&admin, &format!("SELECT true FROM pg_stat_replication WHERE {name} AND sync_state = 'sync'"))
            .await?;
        tokio::time::sleep(pause).await;
        // What is in the log is decoded at once, also before the standby has it: it must not be shown to anybody before that.
        self.proxy.stall();
        let end: String = admin.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await?.get(0);
        until(&admin, &format!("SELECT true FROM pg_stat_replication WHERE {name} AND flush_lsn >= '{end}'"))
            .await?;
        self.proxy.refuse();
        let (cluster, port) = (self.cluster.clone(), standby.port());
        tokio::task::spawn_blocking(move || {
            let mut cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner);
            if crash {
                cluster.crash()?;
            } else {
                cluster.stop()?;
            }
            standby.promote()?;
            *cluster = standby;
            anyhow::Ok(())
        })
        .await??;
        self.postgres.store(port, Ordering::Release);
        self.failovers.store(count, Ordering::Release);
        self.proxy.turn_to(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Ok(())
    }

    /// How often Postgres has failed over so far.
    pub(crate) fn failovers(&self) -> u32 {
        self.failovers.load(Ordering::Acquire)
    }
}

/// Waits until a query has an answer.
async fn until(client: &Client, sql: &str) -> Result<()> {
    let until = Instant::now() + FOLLOW;
    while client.query_opt(sql, &[]).await?.is_none() {
        if Instant::now() > until {
            bail!("still no answer after {} s: {sql}", FOLLOW.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        // An error here shows as an error of the query that waits for it.
        let _ = connection.await;
    });
    Ok(client)
}
