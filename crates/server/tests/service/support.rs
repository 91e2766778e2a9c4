//! Starting a service inside the test, and asking it over HTTP.

use std::{collections::HashMap, ffi::OsString, net::Ipv4Addr, path::PathBuf, time::Duration};

use server::{Config, Service};
use testkit::{Cluster, Database, FaultProxy, Options};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How long a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A service in this process.
pub struct Running {
    pub service: Service,
    pub port: u16,
}

/// Where the journals of this process' services are; it goes with the cluster.
pub fn journals() -> PathBuf {
    testkit::shared_cluster().data_directory().join("journals")
}

/// A configuration for a database: insecure, on ports that the system chooses, and with these variables.
pub fn config(url: &str, variables: &[(&str, &str)]) -> Config {
    let mut table: HashMap<String, OsString> = HashMap::new();
    table.insert("TIELINE_DATA_DIR".to_owned(), journals().into());
    for (name, value) in [("DATABASE_URL", url), ("AUTH_MODE", "insecure"), ("DATABASE_REQUIRE_SSL", "false")]
    {
        table.insert(name.to_owned(), value.into());
    }
    for (name, value) in variables {
        table.insert((*name).to_owned(), (*value).into());
    }
    let mut config = Config::from_lookup(&|name| table.get(name).cloned()).expect("a good configuration");
    config.listen.port = 0;
    if let Some(proxy) = &mut config.proxy {
        proxy.port = 0;
    }
    config
}

/// Starts a service and waits until it is ready.
pub async fn start(url: &str, variables: &[(&str, &str)]) -> Running {
    let running = start_unready(url, variables).await;
    within(running.service.ready()).await;
    running
}

/// Starts a service.
pub async fn start_unready(url: &str, variables: &[(&str, &str)]) -> Running {
    let service = Service::start(config(url, variables)).await.expect("the service starts");
    let port = service.addresses()[0].port();
    Running { service, port }
}

/// A database with a synced table `items`, and a service on it.
pub async fn start_with_items() -> (Database, tokio_postgres::Client, Running) {
    start_with_items_and(&[]).await
}

/// The same, with these variables.
pub async fn start_with_items_and(variables: &[(&str, &str)]) -> (Database, tokio_postgres::Client, Running) {
    let database = Database::create().await;
    let running = start(&database.url, variables).await;
    let client = database.client().await;
    make_items(&client, &running).await;
    (database, client, running)
}

/// Makes the synced table `items`.
pub async fn make_items(client: &tokio_postgres::Client, running: &Running) {
    client
        .batch_execute(
            "CREATE TABLE items (id text PRIMARY KEY, content text);
             CALL electric.electrify('public.items')",
        )
        .await
        .expect("a synced table");
    stream_has_caught_up(running.port).await;
}

/// A private cluster with these settings.
pub async fn cluster(settings: &'static [&'static str]) -> Cluster {
    let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
    let options = Options { settings, ..Options::default() };
    let made = tokio::task::spawn_blocking(move || Cluster::temporary(&options)).await;
    made.expect("no panic").expect("a cluster")
}

/// A proxy before a cluster that misbehaves on demand, and the connection string of a database through it.
pub async fn through_proxy(cluster: &Cluster, database: &Database) -> (FaultProxy, String) {
    let target = (Ipv4Addr::LOCALHOST, cluster.port()).into();
    let proxy = FaultProxy::start(target).await.expect("a proxy");
    let url = database.url.replace(&format!(":{}/", cluster.port()), &format!(":{}/", proxy.port()));
    (proxy, url)
}

/// Waits until the service has processed everything that is committed now, as the list of migrations does.
pub async fn stream_has_caught_up(port: u16) {
    assert_eq!(get(port, "/api/migrations?dialect=sqlite").await.code, 200);
}

/// Fails the test if something takes too long.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// `GET path`.
pub async fn get(port: u16, path: &str) -> Answer {
    request(port, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await
}

/// Sends a request's head as it stands and reads until the end.
pub async fn request(port: u16, head: &str) -> Answer {
    let exchange = async {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        socket.write_all(head.as_bytes()).await.expect("to be heard");
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).await.expect("an answer");
        bytes
    };
    let bytes = within(exchange).await;
    let split = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a whole head");
    let head = String::from_utf8_lossy(&bytes[..split]).into_owned();
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code");
    Answer { code, head, body: bytes[split + 4..].to_vec() }
}
