//! `kill -9` while it is written: this test runs itself in a process of its own, kills it, and looks at what is left.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use change::Lsn;
use journal::FileLimits;
use tempfile::tempdir;

use crate::support::{NARROW, Random, append_patiently, open, read_all};

const FOLDER: &str = "JOURNAL_TO_WRITE";
const LIMITS: FileLimits = FileLimits { bytes: 1 << 30, segment: 64 << 10 };

/// How often it is killed; more with `JOURNAL_KILLS`.
fn kills() -> u64 {
    std::env::var("JOURNAL_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(12)
}

/// Nothing of its own: the process to be killed. Appends for ever, and prints what is durable.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_process_to_be_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let journal = std::sync::Arc::new(open(Path::new(&folder), LIMITS, NARROW));
    let mut durable = journal.watch_durable();
    tokio::spawn(async move {
        while durable.changed().await.is_ok() {
            println!("\ndurable {}", durable.borrow_and_update().0);
        }
    });
    let mut random = Random(journal.position().0);
    loop {
        let (next, count) = (journal.position().0 + 1, random.below(200));
        append_patiently(&journal, next..next + count).await;
        match random.below(4) {
            0 => drop(journal.flush().await),
            1 => tokio::time::sleep(std::time::Duration::from_millis(random.below(30))).await,
            _ => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn what_was_durable_survives_being_killed() {
    let folder = tempdir().unwrap();
    let mut random = Random(u64::from(std::process::id()));
    let mut reached = 0;
    for kill in 0..kills() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::the_process_to_be_killed", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut durable = lines.filter_map(|line| line.strip_prefix("durable ")?.parse::<u64>().ok());
        // It dies at some moment after this; what it still says is looked at, too.
        for _ in 0..=random.below(8) {
            reached = durable.next().expect("it goes on until it is killed").max(reached);
        }
        child.kill().unwrap();
        reached = durable.max().unwrap_or(0).max(reached);
        child.wait().unwrap();
        let journal = open(folder.path(), LIMITS, NARROW);
        let position = journal.position().0;
        assert!(position >= reached, "kill {kill}: {reached} was durable, {position} is left");
        // The end, and now and then all of it.
        let from = if kill % 4 == 3 { 0 } else { position.saturating_sub(500) };
        assert_eq!(read_all(&journal, from).await.unwrap(), (from + 1..=position).collect::<Vec<_>>());
        assert_eq!((journal.start(), journal.state().unwrap().lost), (Lsn(0), None));
        journal.close().await.unwrap();
    }
    assert!(reached > 0);
}
