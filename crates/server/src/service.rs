//! The running service: started, waited for, stopped.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Banner, Config, Notice},
    connector::Connector,
    http::{self, About, App},
    proxy::ProxyService,
    readiness::{Phase, Readiness},
};

/// Between two looks at what was folded in the log.
const FOLDING: Duration = Duration::from_secs(10);

/// How much of the time to stop in may be spent on clients.
const SOCKETS_SHARE: f64 = 0.8;

/// A running service. It goes on until [`Service::stop`]; dropping it stops nothing in good order.
pub struct Service {
    app: Arc<App>,
    addresses: Vec<SocketAddr>,
    connector: JoinHandle<Option<Banner>>,
    /// Stops following Postgres.
    disconnect: CancellationToken,
    /// Stops listening.
    hang_up: CancellationToken,
    listeners: TaskTracker,
    shutdown_timeout: Duration,
}

impl Service {
    /// Opens the port and begins to connect to Postgres. HTTP is answered from here on.
    ///
    /// # Errors
    /// The banner to show if the port can't be had.
    pub async fn start(mut config: Config) -> Result<Service, Banner> {
        announce(&config);
        let sockets =
            http::bind(config.listen).map_err(|error| Banner::http_port(config.listen.port, &error))?;
        let proxy = config.proxy.take().map(|proxy| {
            ProxyService::reserve(proxy, config.listen, config.database.clone(), config.clients)
        });
        let proxy = proxy.transpose()?;
        let addresses: Vec<SocketAddr> =
            sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect();
        let shutdown_timeout = config.shutdown_timeout;
        let about = About {
            version: env!("CARGO_PKG_VERSION"),
            auth_mode: if config.auth.is_insecure() { "insecure" } else { "secure" },
            instance_id: config.instance_id.clone(),
            warnings: warnings(&config),
        };
        let app = Arc::new(App {
            readiness: Readiness::default(),
            hub: ArcSwapOption::empty(),
            proxy,
            guard: ArcSwapOption::empty(),
            about,
        });
        let (disconnect, hang_up) = (CancellationToken::new(), CancellationToken::new());
        let listeners = TaskTracker::new();
        for socket in sockets {
            let accepting = http::accept(socket, app.clone().router(), listeners.clone(), hang_up.clone());
            listeners.spawn(accepting);
        }
        listeners.spawn(log_folded(app.clone(), hang_up.clone()));
        for address in &addresses {
            tracing::info!("listening for HTTP and WebSocket connections on {address}");
        }
        let connector = tokio::spawn(Connector::new(config, app.clone(), disconnect.clone()).supervise());
        Ok(Service { app, addresses, connector, disconnect, hang_up, listeners, shutdown_timeout })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The port of the migrations proxy, if there is one.
    #[must_use]
    pub fn proxy_port(&self) -> Option<u16> {
        self.app.proxy.as_ref()?.port()
    }

    /// Waits until clients are served.
    pub async fn ready(&self) {
        self.app.readiness.reached(Phase::Ready).await;
    }

    /// Waits for something that only a change of the configuration mends; the banner to show.
    pub async fn failed(&mut self) -> Banner {
        match (&mut self.connector).await {
            Ok(Some(banner)) => banner,
            Ok(None) => std::future::pending().await,
            Err(_) => Banner::new(
                "INITIALISATION ERROR",
                vec!["The task that follows Postgres has ended.".to_owned()],
            ),
        }
    }

    /// Stops in good order, within the time that the configuration gives: no more upgrades; transactions in hand are finished,
    /// idle clients moved to the present position, sockets closed with 1001 and sessions of the proxy with 57P01; the replication
    /// connection is released, the journal written and let go of; at last the port is closed, so that the status is
    /// told until then. What lasts too long is cut off: a client transaction is then applied as a whole or not at all, and
    /// the client sends it again.
    pub async fn stop(&mut self) {
        self.app.readiness.enter(Phase::Stopping);
        // The rest has to do with what remains: it takes no time unless the disk fails.
        let sockets = async { tokio::join!(close_sockets(&self.app), close_proxy(&self.app)) };
        let in_time =
            tokio::time::timeout(self.shutdown_timeout.mul_f64(SOCKETS_SHARE), sockets).await.is_ok();
        trip("service::stop");
        self.disconnect.cancel();
        let rest = async {
            if !self.connector.is_finished() {
                // Its answer does not matter any more.
                let _ = (&mut self.connector).await;
            }
            close_journal(&self.app).await;
            trip("service::stopped");
            self.hang_up.cancel();
            self.listeners.close();
            self.listeners.wait().await;
        };
        let rest = tokio::time::timeout(self.shutdown_timeout.mul_f64(1.0 - SOCKETS_SHARE), rest);
        if rest.await.is_err() || !in_time {
            tracing::warn!("not everything ended within TIELINE_SHUTDOWN_TIMEOUT; the rest is cut off");
        }
        self.hang_up.cancel();
        tracing::info!("stopped");
    }
}

/// A failpoint on the way out.
fn trip(name: &str) {
    fail::fail_point!(name, |what| drop(crate::connector_error::tripped::<()>(what.as_deref())));
    let _ = name;
}

/// What is said at the start.
fn announce(config: &Config) {
    tracing::info!("Starting Tieline {} in direct_writes mode.", env!("CARGO_PKG_VERSION"));
    for notice in &config.notices {
        match notice {
            Notice::Info(text) => tracing::info!("{text}"),
            Notice::Warning(text) => tracing::warn!("{text}"),
        }
    }
    if config.auth.is_insecure() {
        tracing::warn!("{}", insecure_warning(config.listen.loopback));
    }
}

fn insecure_warning(loopback: bool) -> &'static str {
    if loopback {
        "AUTH_MODE=insecure: tokens are NOT verified, anybody who can connect can be anybody. For development and tests only. \
         Only this machine can connect; AUTH_INSECURE_ALLOW_REMOTE=true lets others in."
    } else {
        "AUTH_MODE=insecure: tokens are NOT verified, anybody who can connect can be anybody. For development and tests only. \
         Other machines can connect (AUTH_INSECURE_ALLOW_REMOTE or TIELINE_CONTAINER says so)."
    }
}

fn warnings(config: &Config) -> Vec<String> {
    let noticed = config.notices.iter().filter_map(|notice| match notice {
        Notice::Warning(text) => Some(text.clone()),
        Notice::Info(_) => None,
    });
    let insecure = config.auth.is_insecure().then(|| insecure_warning(config.listen.loopback).to_owned());
    insecure.into_iter().chain(noticed).collect()
}

async fn close_sockets(app: &App) {
    if let Some(hub) = app.hub.load_full() {
        hub.closing.cancel();
        hub.tasks.close();
        hub.tasks.wait().await;
    }
}

async fn close_journal(app: &App) {
    if let Some(hub) = app.hub.load_full()
        && hub.stream.close().await.is_err()
    {
        tracing::warn!(
            "not all of the journal could be written; what is missing comes from Postgres again at the next start"
        );
    }
}

async fn close_proxy(app: &App) {
    if let Some(proxy) = &app.proxy {
        proxy.close().await;
    }
}

async fn log_folded(app: Arc<App>, stop: CancellationToken) {
    let mut rounds = tokio::time::interval(FOLDING);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = rounds.tick() => {}
        }
        if let Some(hub) = app.hub.load_full() {
            hub.log_folded_refusals();
        }
        if let Some(proxy) = &app.proxy {
            proxy.log_folded();
        }
    }
}
