//! How the system's allocator gives memory back.

use std::{os::unix::process::CommandExt, process::Command};

/// What glibc reads once, when a process begins: how much stays at the top of the heap, and how much is fetched at a time. By
/// default it may return the top of the heap to the system with every transaction and fetch it again with the next, which was
/// seen to cost four times the work itself.
const SETTINGS: [(&str, &str); 2] = [("MALLOC_TRIM_THRESHOLD_", "33554432"), ("MALLOC_TOP_PAD_", "1048576")];

/// Begins the process anew with these settings, under the same process id, unless they are set already. If that can't be, it goes
/// on as it is: only slower.
pub fn settle() {
    if SETTINGS.iter().any(|(name, _)| std::env::var_os(name).is_some()) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| program.clone().into());
    // Only returns if it fails.
    let _ = Command::new(program).arg0(name).args(arguments).envs(SETTINGS).exec();
}
