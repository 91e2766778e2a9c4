//! Finding Postgres' programs.

use std::{
    env,
    path::{Path, PathBuf},
};

/// Where Postgres' programs are.
#[derive(Clone, Debug)]
pub struct Binaries {
    directory: PathBuf,
}

/// There is no Postgres server on this machine.
#[derive(Debug, thiserror::Error)]
#[error(
    "no Postgres server found: neither $PG_BIN, nor /usr/lib/postgresql/*/bin, nor the PATH has `initdb` and `postgres`. \
     On Debian: apt-get install postgresql"
)]
pub struct NoBinaries;

impl Binaries {
    /// Looks in `$PG_BIN`, then for the newest version under Debian's directories, then along the `PATH`.
    ///
    /// # Errors
    /// [`NoBinaries`] if `initdb` and `postgres` are nowhere.
    pub fn find() -> Result<Binaries, NoBinaries> {
        let named = env::var_os("PG_BIN").map(PathBuf::from);
        let on_path =
            env::var_os("PATH").map(|p| env::split_paths(&p).collect::<Vec<_>>()).unwrap_or_default();
        named
            .into_iter()
            .chain(debian_directories())
            .chain(on_path)
            .find(|directory| ["initdb", "postgres"].iter().all(|name| directory.join(name).is_file()))
            .map(|directory| Binaries { directory })
            .ok_or(NoBinaries)
    }

    /// One of the programs.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The folder that holds them.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// `/usr/lib/postgresql/<version>/bin`, newest version first.
fn debian_directories() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    let mut versions: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|version| format!("/usr/lib/postgresql/{version}/bin").into()).collect()
}
