//! What has to be in place before anything else: one file for each thing that is set up.

mod allocator;
mod failpoints;
mod log;
mod panic;
mod signal;

pub use allocator::settle as settle_allocator;
pub use failpoints::failpoints;
pub use log::logging;
pub use panic::panics;
pub use signal::Signals;

/// The threads that everything runs on: one for each processor.
///
/// # Errors
/// The system's, if it refuses threads.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("tieline").build()
}
