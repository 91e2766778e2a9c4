//! A cluster that speaks TLS.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
};

use cluster::{Cluster, Options};

/// A certificate made for tests, for the name `localhost`, in PEM form; nothing trusts it.
pub const CERTIFICATE: &str = include_str!("encrypted/server.crt");

/// Its private key, in PEM form.
pub const CERTIFICATE_KEY: &str = include_str!("encrypted/server.key");

/// A cluster of the test's own that offers TLS and lets in as the lines of `pg_hba.conf` say.
///
/// # Panics
/// If that fails.
#[must_use]
pub fn encrypted_cluster(hba: &str) -> Cluster {
    let mut cluster =
        Cluster::temporary(&Options { hba: Some(hba.to_owned()), ..Options::default() }).expect("a cluster");
    let data = cluster.data_directory().to_path_buf();
    let owner = fs::metadata(&data).expect("the data directory");
    for (name, content) in [("server.crt", CERTIFICATE), ("server.key", CERTIFICATE_KEY)] {
        let path = data.join(name);
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("permissions");
        chown(&path, Some(owner.uid()), Some(owner.gid())).expect("an owner");
    }
    let settings = fs::read_to_string(data.join("postgresql.conf")).expect("the settings");
    fs::write(data.join("postgresql.conf"), settings + "\nssl = on\n").expect("the settings");
    cluster.stop().expect("it stops");
    cluster.restart().expect("it starts");
    cluster
}
