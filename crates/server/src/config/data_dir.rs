//! Where journals live (`TIELINE_DATA_DIR`, spec 07 §0).

use std::path::{Path, PathBuf};

use super::{Lookup, setting as s, source::Source};

/// The place of a machine-wide installation; in the container image it is a volume.
const MACHINE_WIDE: &str = "/var/lib/tieline";

/// What says that there is to be no journal on disk.
const NONE: &str = "none";

/// Reads the setting, or finds the first default that can be used; `None` if the window of transactions is to be in memory only.
/// Notes a fault if there is no place.
pub(super) fn read(source: &mut Source<'_>, lookup: Lookup<'_>) -> Option<PathBuf> {
    let Some(text) = source.text(s::TIELINE_DATA_DIR) else { return default(source, lookup) };
    if text == NONE {
        return None;
    }
    let path = PathBuf::from(&text);
    match make_usable(&path, Depth::Last) {
        Ok(()) => Some(path),
        Err(reason) => {
            source.fault(
                s::TIELINE_DATA_DIR,
                &format!(
                    "has invalid value: {text:?}. Must be a directory that the service may write to (it is made if the one \
                     above it is there), or \"{NONE}\". The system says: {reason}"
                ),
            );
            None
        }
    }
}

fn default(source: &mut Source<'_>, lookup: Lookup<'_>) -> Option<PathBuf> {
    let mut tried = Vec::new();
    let mut usable = |path: PathBuf, depth| match make_usable(&path, depth) {
        Ok(()) => Some(path),
        Err(reason) => {
            tried.push(format!("{} ({reason})", path.display()));
            None
        }
    };
    let below = |name: &str, rest: &str| {
        let value = lookup(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        value.filter(|path| path.is_absolute()).map(|path| path.join(rest))
    };
    let found = usable(PathBuf::from(MACHINE_WIDE), Depth::Nothing)
        .or_else(|| below("XDG_STATE_HOME", "tieline").and_then(|path| usable(path, Depth::All)))
        .or_else(|| below("HOME", ".local/state/tieline").and_then(|path| usable(path, Depth::All)));
    if found.is_none() {
        source.fault(
            s::TIELINE_DATA_DIR,
            &format!(
                "not set, and none of its defaults can be used: {}. Set it to a directory that the service may write to; or to \
                 \"{NONE}\", then Postgres keeps its log for as long as clients may resume from it",
                tried.join(", ")
            ),
        );
    }
    found
}

/// What of a missing path may be made.
#[derive(Clone, Copy)]
enum Depth {
    Nothing,
    /// So that a volume that is not mounted is noticed.
    Last,
    All,
}

/// Makes the directory, as far as that is allowed, and tries whether files can be made in it.
fn make_usable(path: &Path, depth: Depth) -> Result<(), String> {
    let made = match depth {
        Depth::Nothing => Ok(()),
        // Another instance may be making it, too.
        Depth::Last => {
            std::fs::create_dir(path).or_else(|error| if path.is_dir() { Ok(()) } else { Err(error) })
        }
        Depth::All => std::fs::create_dir_all(path),
    };
    let usable = made.and_then(|()| tempfile::tempfile_in(path).map(drop));
    usable.map_err(|error| error.kind().to_string())
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, ffi::OsString};

    use super::*;

    fn find(variables: &[(&str, &Path)]) -> (Option<PathBuf>, Vec<String>) {
        let table: HashMap<&str, OsString> =
            variables.iter().map(|(name, path)| (*name, path.as_os_str().to_owned())).collect();
        let lookup = |name: &str| table.get(name).cloned();
        let mut source = Source::new(&lookup);
        let found = read(&mut source, &lookup);
        (found, source.finish().0)
    }

    fn machine_wide() -> Option<PathBuf> {
        let path = PathBuf::from(MACHINE_WIDE);
        make_usable(&path, Depth::Nothing).is_ok().then_some(path)
    }

    #[test]
    fn a_directory_that_is_named_is_used_or_made() {
        let place = tempfile::tempdir().unwrap();
        let new = place.path().join("new");
        for path in [place.path(), &new] {
            assert_eq!(find(&[("TIELINE_DATA_DIR", path)]), (Some(path.to_owned()), vec![]));
        }
        assert!(new.is_dir());
        let (found, faults) = find(&[("TIELINE_DATA_DIR", &place.path().join("not/mounted"))]);
        assert!(found.is_none() && faults.len() == 1);
        assert!(faults[0].starts_with("TIELINE_DATA_DIR has invalid value: "), "{faults:?}");
    }

    #[test]
    fn none_means_memory_only() {
        assert_eq!(find(&[("TIELINE_DATA_DIR", Path::new("none"))]), (None, vec![]));
    }

    #[test]
    fn the_defaults_are_tried_in_order() {
        let (state, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let both = [("XDG_STATE_HOME", state.path()), ("HOME", home.path())];
        let machine = machine_wide();
        let expected = machine.clone().unwrap_or_else(|| state.path().join("tieline"));
        assert_eq!(find(&both), (Some(expected), vec![]));
        let expected = machine.unwrap_or_else(|| home.path().join(".local/state/tieline"));
        assert_eq!(find(&both[1..]), (Some(expected.clone()), vec![]));
        let relative = [("XDG_STATE_HOME", Path::new("here")), both[1]];
        assert_eq!(find(&relative), (Some(expected), vec![]), "the standard has absolute paths only");
    }

    #[test]
    fn no_place_is_a_fault_that_names_the_setting() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (found, faults) = find(&[("HOME", file.path())]);
        match machine_wide() {
            Some(path) => assert_eq!(found, Some(path)),
            None => {
                assert!(found.is_none() && faults.len() == 1, "{faults:?}");
                assert!(faults[0].starts_with("TIELINE_DATA_DIR not set"), "{faults:?}");
                assert!(faults[0].contains(file.path().to_str().unwrap()), "{faults:?}");
            }
        }
    }
}
