//! A short run of `cargo x torture`: everything at once, under faults, with the history checked.

use std::{path::PathBuf, time::Duration};

use torture::Torture;

/// How long there are faults: `TORTURE_SECONDS`, or as many seconds as every run of all tests can bear.
const SECONDS: u64 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn under_faults_nothing_is_lost_doubled_torn_or_reordered() {
    let seconds = std::env::var("TORTURE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let folder = tempfile::Builder::new().prefix("tieline-torture-").tempdir().unwrap().keep();
    let torture = Torture {
        binary: PathBuf::from(env!("CARGO_BIN_EXE_tieline")),
        scripts: super::scripts(),
        folder,
        seed: 1,
        clients: 5,
        length: Duration::from_secs(seconds),
        failovers: None,
        keep: false,
        pause: 0.5,
        progress: |_| {},
    };
    let verdict = torture.run().await.unwrap();
    assert!(verdict.passed(), "{verdict}");
}
