//! node-postgres through the migrations proxy, and through the tunnel that the client's own command line digs to it.

use std::process::Stdio;

use serde_json::Value;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use super::{
    app::PASSWORD,
    service::{PATIENCE, Service, free_port},
};

/// Everything that the driver sees of a database.
async fn seen(url: &str) -> Value {
    let script = super::scripts().join("node-postgres.mjs");
    let done = Command::new("node").arg(script).arg(url).kill_on_drop(true).output();
    let done = tokio::time::timeout(PATIENCE, done).await.unwrap().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

/// `electric-sql proxy-tunnel`, once it listens.
async fn tunnel(service: &str, port: u16) -> Child {
    let scripts = super::scripts();
    let child = Command::new("node")
        .arg(scripts.join("node_modules/electric-sql/dist/cli/main.js"))
        .args(["proxy-tunnel", "--service", service, "--local-port", &port.to_string()])
        .current_dir(&scripts)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let listening = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, listening).await.unwrap();
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn it_sees_the_same_on_every_way() {
    let proxy = free_port();
    let port = format!("http:{proxy}");
    let settings = [("AUTH_MODE", "insecure"), ("PG_PROXY_PORT", &*port), ("PG_PROXY_PASSWORD", PASSWORD)];
    let service = Service::with(&settings).await;
    let direct = seen(&service.database_url()).await;
    assert!(direct["seen"].as_array().unwrap().len() > 20, "{direct}");
    assert_eq!(direct["news"].as_array().unwrap().len(), 3, "{direct}");
    let through = |port: u16, user: &str| format!("postgresql://{user}:{PASSWORD}@127.0.0.1:{port}/app");
    for user in ["app", "transparent"] {
        assert_eq!(seen(&through(proxy, user)).await, direct, "{user}");
    }
    let local = free_port();
    let _tunnel = tunnel(&service.url(), local).await;
    assert_eq!(seen(&through(local, "app")).await, direct);
}
