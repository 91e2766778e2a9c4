//! Named failpoints.
//!
//! `journal::open`, `journal::cut`, `journal::append`, `journal::write`, `journal::sync`, `journal::rotate`, `journal::seal`,
//! `journal::folder`, `journal::trim`, `journal::load`. Each takes `return` (an I/O error), `return(full)` (no space left), and either
//! with `@` and a part of the folder's path, so that several journals in one process can be told apart.

use std::{io, path::Path};

/// Fails if the failpoint `name` is set for this folder.
pub(crate) fn trip(name: &str, folder: &Path) -> io::Result<()> {
    fail::fail_point!(name, |what| tripped(what.as_deref(), folder));
    let _ = (name, folder);
    Ok(())
}

#[cfg_attr(not(test), allow(dead_code, reason = "only with failpoints"))]
fn tripped(what: Option<&str>, folder: &Path) -> io::Result<()> {
    let what = what.unwrap_or_default();
    let (error, place) = what.split_once('@').unwrap_or((what, ""));
    if !folder.to_string_lossy().contains(place) {
        return Ok(());
    }
    Err(if error == "full" { io::ErrorKind::StorageFull.into() } else { io::Error::other("a failpoint") })
}
