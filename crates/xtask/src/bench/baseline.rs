//! The limits that are measured against: Postgres' own programs, and a WebSocket server that does nothing but broadcast.

use std::{
    io::Write,
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream::FuturesUnordered};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    sync::watch,
};
use tokio_tungstenite::tungstenite::Message;

use super::rig::{DATABASE, Rig};

/// Transactions per second that `pg_recvlogical` reads from a slot up to `end`, with the service's own options.
pub(crate) fn pg_recvlogical(rig: &Rig, slot: &str, end: &str, transactions: u64) -> Result<f64> {
    let started = Instant::now();
    let status = rig
        .program("pg_recvlogical")?
        .args(["-d", DATABASE, "--slot", slot, "--start", "--endpos", end, "--no-loop", "-f", "/dev/null"])
        .args([
            "-o",
            "proto_version=1",
            "-o",
            "publication_names=electric_publication",
            "-o",
            "messages=true",
        ])
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "pg_recvlogical failed");
    Ok(transactions as f64 / started.elapsed().as_secs_f64())
}

/// Rows per second of `COPY (SELECT …) TO STDOUT` over loopback.
pub(crate) async fn copy_out(rig: &Rig, query: &str) -> Result<f64> {
    let client = rig.connect().await?;
    let started = Instant::now();
    let rows = std::pin::pin!(client.copy_out(&format!("COPY ({query}) TO STDOUT")).await?);
    let count = rows.fold(0u64, |n, row| async move { n + u64::from(row.is_ok()) }).await;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// Transactions per second of `pgbench` running `script` over `clients` connections for `seconds`.
pub(crate) fn pgbench(rig: &Rig, script: &str, clients: u32, seconds: u32) -> Result<f64> {
    pgbench_over(rig, Way::Direct, "prepared", Some(script), clients, seconds)
}

/// How a program gets to Postgres.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// Straight.
    Direct,
    /// Through the service's migrations proxy.
    Proxy,
    /// To a port of this machine behind which Postgres is.
    Port(u16),
}

/// Makes the tables of `pgbench`'s own script.
pub(crate) fn pgbench_tables(rig: &Rig) -> Result<()> {
    let output = rig.program("pgbench")?.args(["-i", "-q", "-s", "10", DATABASE]).output()?;
    ensure!(output.status.success(), "pgbench -i failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The same as [`pgbench`] over one of the ways, with a protocol of its own, and its own script if none is given.
pub(crate) fn pgbench_over(
    rig: &Rig,
    way: Way,
    protocol: &str,
    script: Option<&str>,
    clients: u32,
    seconds: u32,
) -> Result<f64> {
    let mut command = match way {
        Way::Direct => rig.program("pgbench")?,
        Way::Proxy => rig.program_through_proxy("pgbench")?,
        Way::Port(port) => Rig::program_at(port, "pgbench")?,
    };
    command.args(["-n", "-M", protocol, "-j", "2"]);
    command.args(["-c", &clients.to_string(), "-T", &seconds.to_string()]);
    let mut file = tempfile::NamedTempFile::new()?;
    if let Some(script) = script {
        file.write_all(script.as_bytes())?;
        command.arg("-f").arg(file.path());
    }
    rate(&command.arg(DATABASE).output()?)
}

/// What `pgbench` says it reached.
fn rate(output: &std::process::Output) -> Result<f64> {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("tps = "));
    let tps = line.and_then(|line| line.split(' ').next()?.parse().ok());
    tps.with_context(|| format!("pgbench failed: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The bare broadcaster, run in a process of its own: prints its port, then sends `size` bytes to every connected client for
/// each line on its standard input.
pub(crate) async fn broadcaster(size: usize) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?.port());
    let (send, receive) = watch::channel(Bytes::new());
    tokio::spawn(async move {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(_)) = lines.next_line().await {
            send.send_replace(Bytes::from(vec![7; size]));
        }
        std::process::exit(0);
    });
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let mut receive = receive.clone();
        tokio::spawn(async move {
            let mut socket = tokio_tungstenite::accept_async(socket).await?;
            receive.mark_unchanged();
            while receive.changed().await.is_ok() {
                let message = receive.borrow_and_update().clone();
                socket.send(Message::Binary(message)).await?;
            }
            anyhow::Ok(())
        });
    }
}

/// Median time from the trigger until all of `clients` have what was broadcast.
pub(crate) async fn broadcast(clients: usize, size: usize, rounds: usize) -> Result<Duration> {
    let mut child = tokio::process::Command::new(std::env::current_exe()?)
        .args(["broadcaster", &size.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    let port: u16 = lines.next_line().await?.context("its port")?.trim().parse()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut sockets = Vec::with_capacity(clients);
    for _ in 0..clients {
        sockets.push(tokio_tungstenite::connect_async(format!("ws://{address}/")).await?.0);
    }
    let mut trigger = child.stdin.take().context("its input")?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let started = Instant::now();
        tokio::io::AsyncWriteExt::write_all(&mut trigger, b"\n").await?;
        let mut waiting: FuturesUnordered<_> = sockets.iter_mut().map(StreamExt::next).collect();
        while let Some(message) = waiting.next().await {
            message.context("the broadcaster closed")??;
        }
        times.push(started.elapsed());
    }
    Ok(median(&mut times))
}

/// The median of some times.
pub(crate) fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
