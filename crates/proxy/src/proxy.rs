//! The proxy as a whole: it accepts connections, and holds what sessions share.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use postgres::connection::ConnectConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Certificate, Credentials, Guarding, Strangers, cancel,
    greeting::{Greeting, Porter, part},
    refusal::Refusal,
    relay::Floor,
    session::{self, Place},
};

/// Connections that have not logged in, beyond which new ones are closed.
const STRANGERS: usize = 100;

/// After accepting failed.
const PAUSE: Duration = Duration::from_millis(100);

/// How the proxy is to be.
pub struct Settings {
    /// The database that sessions are on, and as whom.
    pub database: ConnectConfig,
    /// The password of all clients.
    pub credentials: Credentials,
    /// TLS for clients that want it.
    pub certificate: Option<Certificate>,
    /// Most sessions at once.
    pub sessions: usize,
    /// How long a client may take to log in.
    pub login_timeout: Duration,
    /// Who watches changes of the schema.
    pub guarding: Guarding,
    /// Who is told of failed logins.
    pub strangers: Arc<dyn Strangers>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("database", &self.database)
            .field("credentials", &self.credentials)
            .field("certificate", &self.certificate)
            .field("sessions", &self.sessions)
            .finish_non_exhaustive()
    }
}

/// The proxy. Cheap to clone.
#[derive(Clone)]
pub struct Proxy(Arc<Shared>);

struct Shared {
    settings: Settings,
    strangers: Arc<Semaphore>,
    seats: Arc<Semaphore>,
    sessions: cancel::Sessions,
    floor: Floor,
}

impl Proxy {
    /// Accepts nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Proxy {
        let (strangers, seats) = (Semaphore::new(STRANGERS), Semaphore::new(settings.sessions));
        Proxy(Arc::new(Shared {
            settings,
            strangers: Arc::new(strangers),
            seats: Arc::new(seats),
            sessions: cancel::Sessions::default(),
            floor: Floor::default(),
        }))
    }

    /// Accepts connections until told to stop. Sessions are tasks among `tasks`; they are told the same, and end by
    /// themselves.
    pub async fn accept(self, listener: TcpListener, tasks: TaskTracker, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((tcp, peer)) => {
                    let (shared, stop) = (self.0.clone(), stop.clone());
                    tasks.spawn(async move {
                        if let Err(error) = shared.serve(tcp, peer, &stop).await {
                            tracing::debug!(%peer, %error, "a connection to the migrations proxy broke");
                        }
                    });
                }
                // Out of file descriptors, most likely: others' connections will end.
                Err(error) => {
                    tracing::warn!(%error, "a connection to the migrations proxy can't be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Shared {
    async fn serve(&self, tcp: TcpStream, peer: SocketAddr, stop: &CancellationToken) -> io::Result<()> {
        let Ok(place) = self.strangers.try_acquire() else {
            tracing::debug!(%peer, "too many connections have not logged in: this one is closed");
            return Ok(());
        };
        prepare(&tcp)?;
        let settings = &self.settings;
        let porter = Porter {
            certificate: settings.certificate.as_ref(),
            credentials: &settings.credentials,
            strangers: &*settings.strangers,
            peer: peer.ip().to_canonical(),
        };
        let greeting = tokio::select! {
            greeting = timeout(settings.login_timeout, porter.greet(tcp)) => greeting??,
            () = stop.cancelled() => return Ok(()),
        };
        match greeting {
            Greeting::Nothing => Ok(()),
            Greeting::Cancel(_socket, key) => {
                // The connection is closed when Postgres has heard of it, as Postgres does it.
                if let Some(place) = self.sessions.place(&key) {
                    cancel::forward(&settings.database, place, &key).await.map_err(io::Error::other)?;
                }
                Ok(())
            }
            Greeting::Guest(mut client, startup) => {
                drop(place);
                let Ok(_seat) = self.seats.try_acquire() else {
                    return part(&mut client, &full(settings.sessions)).await;
                };
                let house = Place {
                    config: &settings.database,
                    sessions: &self.sessions,
                    floor: &self.floor,
                    guarding: &settings.guarding,
                };
                session::serve(client, &startup, house, stop).await
            }
        }
    }
}

/// All seats are taken.
fn full(seats: usize) -> Refusal {
    Refusal {
        code: "53300",
        message: format!("the migrations proxy has its {seats} sessions").into(),
        hint: Some("Close some, or set TIELINE_PROXY_CONNECTIONS higher.".into()),
    }
}

/// Sends at once, and notices a client that has vanished.
fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(10));
    #[cfg(not(target_os = "openbsd"))]
    let keepalive = keepalive.with_retries(6);
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}
