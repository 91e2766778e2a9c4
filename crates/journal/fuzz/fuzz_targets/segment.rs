//! Any bytes as a segment of the journal.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tempfile::{tempdir, tempdir_in};

#[path = "../../tests/endure.rs"]
mod endure;

fuzz_target!(|data: &[u8]| {
    // In memory where there is such a place: files are made and synced for each input.
    let folder = if Path::new("/dev/shm").is_dir() { tempdir_in("/dev/shm") } else { tempdir() };
    endure::endure(folder.unwrap().path(), data);
});
