//! The migrations proxy as a part of the service: its port is reserved when the service starts, and opened when Postgres has
//! been initialised (spec 04 §9.1).
//!
//! Its sessions have a thread of their own. A round trip through them is two short turns of work, so that waking another thread
//! for each would cost more than the work; and neither a restored dump nor a thousand clients that sync slow the other down.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use ::proxy::{Guarding, Proxy, Settings, Strangers};
use parking_lot::Mutex;
use postgres::connection::ConnectConfig;
use tokio::{
    net::TcpStream,
    runtime::{Builder, Handle},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Banner, ClientLimits, Listen, ProxyConfig},
    gate::{Failure, Failures},
    http::{self, Reserved},
};

/// How long a client may take to log in, as with Postgres.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);

/// How much later any wrong password is answered.
const DELAY: Duration = Duration::from_millis(100);

/// The proxy's place in the service.
pub struct ProxyService {
    proxy: Proxy,
    /// Until it is opened.
    reserved: Mutex<Vec<Reserved>>,
    addresses: Vec<SocketAddr>,
    /// Whether it is to be reached through `HTTP_PORT` as well.
    tunnel: bool,
    guarding: Guarding,
    guard: Arc<Guard>,
    /// The thread of the sessions.
    thread: Handle,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl ProxyService {
    /// Reserves the port; connections are refused until [`ProxyService::open`]. `listen` says on which addresses.
    ///
    /// # Errors
    /// The banner to show if the port or a thread can't be had.
    pub fn reserve(
        config: ProxyConfig,
        listen: Listen,
        database: ConnectConfig,
        limits: ClientLimits,
    ) -> Result<ProxyService, Banner> {
        let listen = Listen { port: config.port, ..listen };
        let reserved = http::reserve(listen).map_err(|error| Banner::proxy_port(config.port, &error))?;
        let guard = Arc::new(Guard(Failures::new(limits.failure_burst, limits.failure_rate)));
        let guarding = Guarding::default();
        let proxy = Proxy::new(Settings {
            database,
            credentials: config.credentials,
            certificate: config.certificate,
            sessions: config.sessions,
            login_timeout: LOGIN_TIMEOUT,
            guarding: guarding.clone(),
            strangers: guard.clone(),
        });
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let thread = start_thread(tasks.clone(), stop.clone()).map_err(|error| {
            Banner::new("INITIALISATION ERROR", vec![format!("The system refuses threads: {error}.")])
        })?;
        Ok(ProxyService {
            proxy,
            addresses: reserved.iter().filter_map(Reserved::address).collect(),
            reserved: Mutex::new(reserved),
            tunnel: config.tunnel,
            guarding,
            guard,
            thread,
            tasks,
            stop,
        })
    }

    /// Begins to accept sessions. Does nothing when that has been done before.
    ///
    /// # Errors
    /// The banner to show if somebody else has begun to listen on the port meanwhile.
    pub fn open(&self) -> Result<(), Banner> {
        let reserved = std::mem::take(&mut *self.reserved.lock());
        if let (Some(address), false) = (self.addresses.first(), reserved.is_empty()) {
            tracing::info!("Starting Proxy server listening on port {}", address.port());
        }
        // Sockets belong to the thread that waits for them.
        let _thread = self.thread.enter();
        for (socket, address) in reserved.into_iter().zip(&self.addresses) {
            let listener = socket.open().map_err(|error| Banner::proxy_port(address.port(), &error))?;
            let accepting = self.proxy.clone().accept(listener, self.tasks.clone(), self.stop.clone());
            self.tasks.spawn_on(accepting, &self.thread);
        }
        Ok(())
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.addresses.first().map(SocketAddr::port)
    }

    /// Whether it is to be reached through `HTTP_PORT`.
    #[must_use]
    pub fn has_tunnel(&self) -> bool {
        self.tunnel
    }

    /// A connection to the proxy itself, for the tunnel.
    ///
    /// # Errors
    /// The system's, also as long as the proxy is not open.
    pub async fn connect(&self) -> io::Result<TcpStream> {
        let places: Vec<SocketAddr> = self.addresses.iter().map(|address| reachable(*address)).collect();
        let stream = TcpStream::connect(&*places).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Who watches changes of the schema, which is known when Postgres has been asked.
    #[must_use]
    pub fn guarding(&self) -> &Guarding {
        &self.guarding
    }

    /// Tasks of the proxy, which are waited for when the service stops.
    #[must_use]
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Stops accepting, tells sessions that they end, and waits until they have.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Logs the failures that were folded since the last time; called now and then.
    pub fn log_folded(&self) {
        for (peer, folded) in self.guard.0.take_folded(Instant::now()) {
            tracing::warn!(%peer, folded, "the migrations proxy refused {folded} more logins; their answers were delayed");
        }
    }
}

impl Drop for ProxyService {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.close();
    }
}

/// The sessions' thread, which ends when `stop` is cancelled and all `tasks` have ended.
fn start_thread(tasks: TaskTracker, stop: CancellationToken) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new().name("tieline-proxy".to_owned()).spawn(move || {
        runtime.block_on(async {
            stop.cancelled().await;
            tasks.wait().await;
        });
    })?;
    Ok(handle)
}

/// Where a socket on this machine is reached from this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(std::net::Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(std::net::Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// Counts, logs and slows down failed logins.
struct Guard(Failures);

impl Strangers for Guard {
    fn failed(&self, peer: IpAddr) -> Duration {
        match self.0.note(peer, Instant::now()) {
            Failure::Ordinary { folded: 0 } => {
                tracing::warn!(%peer, "a login to the migrations proxy failed: wrong password");
                DELAY
            }
            Failure::Ordinary { folded } => {
                tracing::warn!(%peer, folded, "a login to the migrations proxy failed: wrong password (and {folded} more before it)");
                DELAY
            }
            Failure::Limited => Failures::DELAY,
        }
    }
}
