//! `tieline dev`: everything on this machine, for development: a private Postgres, the service in insecure mode with the
//! migrations proxy, a sample table, a token that works, and what to do next.

mod database;
mod demo;
mod guide;
mod token;

use std::{
    ffi::OsString,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use cluster::{Cluster, Options};
use server::{Config, Service};

use crate::bootstrap::{self, Signals};

/// The port that clients look for when they are told none.
const DEFAULT_PORT: u16 = 5133;

/// The same of the migrations proxy, and the password that the client's command line tries.
const DEFAULT_PROXY_PORT: u16 = 65432;
const PROXY_PASSWORD: &str = "proxy_password";

/// Run everything on this machine: a private Postgres, the service in insecure mode, a sample table.
///
/// The cluster lives in the directory given with --dir and is kept between runs. Ctrl-C stops everything.
#[derive(Clone, Debug, clap::Args)]
pub struct DevArgs {
    /// Where the private Postgres is kept.
    #[arg(long, default_value = ".tieline", value_name = "DIR")]
    dir: PathBuf,
    /// The service's port [default: 5133, or a free one if that is taken].
    #[arg(long)]
    port: Option<u16>,
    /// The migrations proxy's port [default: 65432, or a free one if that is taken].
    #[arg(long)]
    proxy_port: Option<u16>,
    /// The private Postgres' port [default: a free one, the same in each run].
    #[arg(long)]
    postgres_port: Option<u16>,
    /// Show it working: two real clients and psql, each change seen by the others; then stop.
    #[arg(long)]
    demo: bool,
    /// The folder of the demo's client and its npm packages.
    #[arg(long, default_value = "e2e", value_name = "DIR", requires = "demo")]
    client: PathBuf,
}

/// Runs until Ctrl-C, or to the end of the demo.
pub fn run(args: &DevArgs) -> ExitCode {
    bootstrap::panics();
    let outcome = bootstrap::runtime().context("starting threads").and_then(|runtime| {
        let outcome = runtime.block_on(dev(args));
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tieline dev: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn dev(args: &DevArgs) -> Result<()> {
    let mut signals = Signals::listen().context("listening for signals")?;
    let directory = args.dir.clone();
    let first = !directory.join("postgres/data/PG_VERSION").exists();
    println!(
        "starting a private Postgres in {}{}",
        directory.join("postgres").display(),
        if first { " (making it: a few seconds, once)" } else { "" }
    );
    let options = Options { port: args.postgres_port, ..Options::default() };
    let cluster = {
        let place = directory.join("postgres");
        tokio::task::spawn_blocking(move || Cluster::kept(&place, &options)).await??
    };
    database::make(&cluster.url("postgres")).await?;
    let url = cluster.url(database::NAME);

    let port = args.port.map_or_else(|| usable_port(DEFAULT_PORT, "--port"), Ok)?;
    let proxy_port = args.proxy_port.map_or_else(|| usable_port(DEFAULT_PROXY_PORT, "--proxy-port"), Ok)?;
    println!("starting the service on port {port}, the migrations proxy on port {proxy_port}");
    let mut service = start_service(&url, &directory.join("journal"), port, proxy_port).await?;
    let outcome = tokio::select! {
        outcome = ready(args, &service, &url, (port, proxy_port)) => match outcome {
            Ok(Next::Stop) => Ok(()),
            Ok(Next::Stay) => tokio::select! {
                _ = signals.next() => Ok(()),
                banner = service.failed() => Err(anyhow::anyhow!("the service stopped:\n{banner}")),
            },
            Err(error) => Err(error),
        },
        _ = signals.next() => Ok(()),
    };
    println!("stopping");
    service.stop().await;
    // Postgres, which takes a moment to write its memory to disk.
    tokio::task::spawn_blocking(move || drop(cluster)).await?;
    outcome
}

/// What to do once everything has been shown.
enum Next {
    Stay,
    Stop,
}

async fn ready(args: &DevArgs, service: &Service, url: &str, (port, proxy_port): (u16, u16)) -> Result<Next> {
    service.ready().await;
    database::make_sample(url).await?;
    let token = token::unsigned("dev");
    remember(&args.dir, url, &token)?;
    let service_url = format!("http://127.0.0.1:{port}");
    if args.demo {
        demo::show(&args.client, &service_url, url).await?;
        return Ok(Next::Stop);
    }
    let proxy = format!("postgresql://postgres:{PROXY_PASSWORD}@127.0.0.1:{proxy_port}/{}", database::NAME);
    guide::print(&guide::Places { postgres: url, proxy: &proxy, service: &service_url }, &token, &args.dir);
    Ok(Next::Stay)
}

/// The Postgres URL and the token as files, for scripts.
fn remember(directory: &Path, url: &str, token: &str) -> Result<()> {
    for (name, text) in [("url", url), ("token", token)] {
        let file = directory.join(name);
        std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

async fn start_service(url: &str, journal: &Path, port: u16, proxy_port: u16) -> Result<Service> {
    let (url, journal) = (url.to_owned(), journal.as_os_str().to_owned());
    let lookup = move |name: &str| -> Option<OsString> {
        let own = match name {
            "TIELINE_DATA_DIR" => return Some(journal.clone()),
            "DATABASE_URL" => url.clone(),
            "DATABASE_REQUIRE_SSL" => "false".into(),
            "AUTH_MODE" => "insecure".into(),
            "HTTP_PORT" => port.to_string(),
            "PG_PROXY_PORT" => format!("http:{proxy_port}"),
            "PG_PROXY_PASSWORD" => PROXY_PASSWORD.into(),
            // Whatever the surroundings hold for a real service is not meant for this one.
            name if name.starts_with("AUTH_")
                || name.starts_with("TIELINE_PROXY_")
                || name == "TIELINE_CONTAINER" =>
            {
                return None;
            }
            // The guide says all that matters; the service's own lines would hide it.
            "LOG_LEVEL" => return std::env::var_os(name).or_else(|| Some("error".into())),
            _ => return std::env::var_os(name),
        };
        Some(own.into())
    };
    let config = Config::from_lookup(&lookup).map_err(|banner| anyhow::anyhow!("{banner}"))?;
    bootstrap::logging(config.log);
    Service::start(config).await.map_err(|banner| anyhow::anyhow!("{banner}"))
}

/// The default port if it is free, else another, with a word about it and the option that chooses.
fn usable_port(default: u16, option: &str) -> Result<u16> {
    if TcpListener::bind((Ipv4Addr::LOCALHOST, default)).is_ok() {
        return Ok(default);
    }
    let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) else {
        bail!("no free port on this machine")
    };
    println!("port {default} is taken: using a free one ({option} chooses)");
    Ok(listener.local_addr()?.port())
}
