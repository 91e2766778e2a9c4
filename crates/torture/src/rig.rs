//! What is tortured: a private Postgres, the service, and the proxies between them.

use std::{
    fs::OpenOptions,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
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

/// A running Postgres and the service over it.
pub(crate) struct Rig {
    cluster: Arc<Mutex<Cluster>>,
    url: String,
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
        let (admin, url) = (cluster.url("postgres"), cluster.url(DATABASE));
        let proxy = FaultProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, cluster.port()))).await?;
        connect(&admin).await?.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await?;
        let rig = Rig {
            cluster: Arc::new(Mutex::new(cluster)),
            url,
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
        connect(&self.url).await
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
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        // An error here shows as an error of the query that waits for it.
        let _ = connection.await;
    });
    Ok(client)
}
