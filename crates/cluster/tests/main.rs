//! Private clusters on this machine's own Postgres.

use std::net::{Ipv4Addr, TcpStream};

use cluster::{Cluster, Options};

fn answers(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[test]
fn a_temporary_cluster_runs_and_goes_with_its_value() {
    let cluster = Cluster::temporary(&Options::default()).unwrap();
    let (port, data) = (cluster.port(), cluster.data_directory().to_path_buf());
    assert!(answers(port) && data.join("PG_VERSION").exists());
    drop(cluster);
    assert!(!answers(port) && !data.exists());
}

#[test]
fn a_kept_cluster_survives_a_crash_and_keeps_its_port() {
    let home = tempfile::Builder::new().prefix("tieline-kept-").tempdir().unwrap();
    let directory = home.path().join("cluster");
    std::os::unix::fs::chown(home.path(), None, None).unwrap();
    std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut first = Cluster::kept(&directory, &Options::default()).unwrap();
    let port = first.port();
    first.crash().unwrap();
    assert!(!answers(port));
    first.restart().unwrap();
    assert!(answers(port) && first.port() == port);
    drop(first);
    let again = Cluster::kept(&directory, &Options::default()).unwrap();
    assert_eq!(again.port(), port);
}
