//! `tieline serve`: the service, until it is told to stop.

use std::process::ExitCode;

use server::{Config, Service, config::Banner};

use crate::bootstrap::{self, Signals};

/// Runs the service with the configuration of the environment.
pub fn run() -> ExitCode {
    bootstrap::settle_allocator();
    bootstrap::failpoints();
    match Config::from_environment() {
        Ok(config) => run_with(config),
        Err(banner) => fail(&banner),
    }
}

fn run_with(config: Config) -> ExitCode {
    bootstrap::logging(config.log);
    bootstrap::panics();
    let runtime = match bootstrap::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            return fail(&Banner::new(
                "INITIALISATION ERROR",
                vec![format!("The system refuses threads: {error}.")],
            ));
        }
    };
    let outcome = runtime.block_on(serve(config));
    // Whatever still runs has had its time.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(banner) => fail(&banner),
    }
}

async fn serve(config: Config) -> Result<(), Banner> {
    let mut signals = Signals::listen().map_err(|error| {
        Banner::new("INITIALISATION ERROR", vec![format!("Signals can't be listened for: {error}.")])
    })?;
    let mut service = Service::start(config).await?;
    tokio::select! {
        fatal = service.failed() => {
            service.stop().await;
            return Err(fatal);
        }
        name = signals.next() => tracing::info!("{name}: stopping. Once more to stop at once"),
    }
    tokio::select! {
        () = service.stop() => {}
        name = signals.next() => {
            tracing::warn!("{name} again: stopped at once");
            return Ok(());
        }
    }
    Ok(())
}

fn fail(banner: &Banner) -> ExitCode {
    banner.print();
    ExitCode::FAILURE
}
