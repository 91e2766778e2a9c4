//! A relay that only copies bytes: what any process between a client and Postgres costs on this machine.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncBufReadExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

/// The relay, run in a process of its own on one thread: prints its port, then connects whoever comes to `target`.
pub(crate) async fn bare_relay(target: u16) -> Result<()> {
    let target = SocketAddr::from(([127, 0, 0, 1], target));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (mut client, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut server = TcpStream::connect(target).await?;
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            copy_bidirectional(&mut client, &mut server).await
        });
    }
}

/// A relay that runs until it is dropped.
pub(super) struct BareRelay {
    pub(super) port: u16,
    _child: Child,
}

impl BareRelay {
    /// In front of a port.
    pub(super) async fn start(target: u16) -> Result<BareRelay> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["bare-relay", &target.to_string()])
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let port = lines.next_line().await?.context("its port")?.trim().parse()?;
        Ok(BareRelay { port, _child: child })
    }
}
