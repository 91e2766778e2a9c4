//! The names in the folder, and making changes of them last.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::trip::trip;

const SUFFIX: &str = ".journal";
const DIGITS: usize = 20;

/// The file of a segment.
pub(crate) fn segment(folder: &Path, sequence: u64) -> PathBuf {
    folder.join(format!("{sequence:0DIGITS$}{SUFFIX}"))
}

/// The segments in a folder by their numbers, oldest first.
pub(crate) fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut sequences = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        let digits =
            digits.filter(|digits| digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit()));
        sequences.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    sequences.sort_unstable();
    Ok(sequences)
}

/// Makes files that came and went come and go for good.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    trip("journal::folder", folder)?;
    File::open(folder)?.sync_all()
}

/// Removes a segment. One that is gone already is no error.
pub(crate) fn remove(folder: &Path, segment: &Path) -> io::Result<()> {
    trip("journal::trim", folder)?;
    match fs::remove_file(segment) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
