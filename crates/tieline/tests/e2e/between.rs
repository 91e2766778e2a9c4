//! Between its authentication and the answer to its request for the stream the client library takes the end of its connection for a
//! success: it says that it is connected, has no connection, and makes none any more (spec 02 §10.4).

use std::time::{Duration, Instant};

use node_client::{LocalDatabase, NodeClient};
use testkit::unsigned_token;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use super::service::{ITEMS, PATIENCE, Service, has, id, items, status};

/// What is done with the first connection once its client has authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// Nothing has been held back yet.
    Untouched,
    /// What the client says next is held back.
    Holding,
    /// It is passed on.
    Open,
    /// Both sides see the connection end.
    Cut,
}

/// Passes connections on to a service, the first one up to its client's authentication.
struct Relay {
    port: u16,
    gate: watch::Sender<Gate>,
    accepting: JoinHandle<()>,
}

impl Relay {
    async fn to(target: u16) -> Relay {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let gate = watch::Sender::new(Gate::Untouched);
        let first = gate.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let gate = first.clone();
                tokio::spawn(async move {
                    if let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await {
                        let _ = near.set_nodelay(true).and(far.set_nodelay(true));
                        let _ = pass(near, far, gate).await;
                    }
                });
            }
        });
        Relay { port, gate, accepting }
    }

    /// Waits until the client has authenticated and says something more.
    async fn holds(&self) {
        let mut gate = self.gate.subscribe();
        let holds = tokio::time::timeout(PATIENCE, gate.wait_for(|gate| *gate == Gate::Holding)).await;
        holds.expect("the client goes on after its authentication").unwrap();
    }

    fn set(&self, gate: Gate) {
        self.gate.send_replace(gate);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(mut near: TcpStream, mut far: TcpStream, gate: watch::Sender<Gate>) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = near.split();
    let (mut from_server, mut to_server) = far.split();
    let up = async {
        let mut piece = vec![0; 65_536];
        // The upgrade, the authentication, and what follows once that was answered.
        for nth in 1.. {
            let size = from_client.read(&mut piece).await?;
            if nth == 3 && *gate.borrow() == Gate::Untouched {
                gate.send_replace(Gate::Holding);
                let _ = gate.subscribe().wait_for(|gate| *gate != Gate::Holding).await;
                if *gate.borrow() == Gate::Cut {
                    break;
                }
            }
            if size == 0 {
                break;
            }
            to_server.write_all(piece.get(..size).unwrap_or_default()).await?;
        }
        std::io::Result::Ok(())
    };
    // The end of either direction is the end of both.
    tokio::select! {
        up = up => up,
        down = copy(&mut from_server, &mut to_client) => down.map(drop),
    }
}

async fn client_of(service: &Service, relay: &Relay) -> NodeClient {
    let file = std::path::PathBuf::from(service.folder("alice.db"));
    let url = format!("http://127.0.0.1:{}", relay.port);
    NodeClient::start(&super::scripts(), &url, (LocalDatabase::Sqlite, &file), &items()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_waits_for_a_client_that_has_just_authenticated() {
    let mut service = Service::insecure().await;
    service.sql(ITEMS).await;
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'there', 1)", id(1))).await;
    let relay = Relay::to(service.port).await;
    let client = client_of(&service, &relay).await;
    let token = unsigned_token("alice");
    let connecting = client.connect(&token);
    let replaced = async {
        relay.holds().await;
        service.signal();
        let until = Instant::now() + PATIENCE;
        while status(service.port).await.as_deref() == Some("Connection to Postgres is up!") {
            assert!(Instant::now() < until, "it does not stop");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        relay.set(Gate::Open);
        service.ended().await;
        service.start_again().await;
    };
    let (connected, ()) = tokio::join!(connecting, replaced);
    connected.unwrap();
    client.sync(&["items"]).await.unwrap();
    client.wait(has(1, "there")).await.unwrap();
    assert_eq!(client.strandings(), 0);
    client.close().await.unwrap();
}

/// Nothing that a server may do helps a client whose connection is cut there. Its app has to ask it to connect now and then.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_cut_off_there_goes_on_when_its_app_connects_it_again() {
    let service = Service::insecure().await;
    service.sql(ITEMS).await;
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'there', 1)", id(1))).await;
    let relay = Relay::to(service.port).await;
    let client = client_of(&service, &relay).await;
    let token = unsigned_token("alice");
    let cut = async {
        relay.holds().await;
        relay.set(Gate::Cut);
    };
    let (connected, ()) = tokio::join!(client.connect(&token), cut);
    connected.unwrap();
    assert_eq!(client.strandings(), 1);
    client.sync(&["items"]).await.unwrap();
    client.wait(has(1, "there")).await.unwrap();
    client.close().await.unwrap();
}
