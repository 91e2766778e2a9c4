//! A disk that is really full: a file system of 256 KiB in memory. Only root can make one; elsewhere the failpoints stand for it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use change::Lsn;
use journal::FileLimits;
use tempfile::{TempDir, tempdir};

use crate::support::{NARROW, append, append_patiently, open, read_all, until};

/// Unmounted when dropped.
struct Tmpfs(TempDir);

impl Tmpfs {
    fn mount() -> Option<Tmpfs> {
        let folder = tempdir().unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=256k", "tmpfs"], folder.path()).then_some(Tmpfs(folder))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("journal")
    }

    fn grow(&self) {
        assert!(run("mount", &["-o", "remount,size=8m"], self.0.path()));
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        run("umount", &["-l"], self.0.path());
    }
}

fn run(program: &str, arguments: &[&str], last: &Path) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).arg(last).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[tokio::test]
async fn nothing_is_lost_while_the_disk_is_full_and_it_goes_on_when_there_is_room() {
    let Some(disk) = Tmpfs::mount() else { return };
    let limits = FileLimits { bytes: 1 << 30, segment: 16 << 10 };
    let journal = open(&disk.path(), limits, NARROW);
    append_patiently(&journal, 1..500).await;
    journal.flush().await.unwrap();
    let ballast = disk.0.path().join("somebody else's");
    std::fs::write(&ballast, vec![0; 256 << 10]).unwrap_err();
    let mut lsn = 500;
    while journal.state().unwrap().trouble.is_none() {
        append(&journal, [lsn]);
        lsn += 1;
        let _ = journal.flush().await;
    }
    let state = journal.state().unwrap();
    assert!(state.trouble.unwrap().full && state.durable < Lsn(lsn - 1));
    assert_eq!(journal.position(), Lsn(lsn - 1));
    assert_eq!(journal.start(), Lsn(0));
    assert_eq!(read_all(&journal, 0).await.unwrap(), (1..lsn).collect::<Vec<_>>());
    disk.grow();
    until(&journal, |state| state.trouble.is_none() && state.durable == Lsn(lsn - 1)).await;
    append_patiently(&journal, lsn..lsn + 100).await;
    journal.close().await.unwrap();
    drop(journal);
    let journal = open(&disk.path(), limits, NARROW);
    assert_eq!(read_all(&journal, 0).await.unwrap(), (1..lsn + 100).collect::<Vec<_>>());
}

#[tokio::test]
async fn on_a_disk_that_stays_full_the_window_becomes_shorter() {
    let Some(disk) = Tmpfs::mount() else { return };
    let limits = FileLimits { bytes: 1 << 30, segment: 16 << 10 };
    let journal = open(&disk.path(), limits, NARROW);
    // Some ten times what there is room for; and more, for as long as so little waits that no room is made for it.
    append_patiently(&journal, 1..10_000).await;
    let mut end = 10_000;
    while journal.flush().await.is_err() {
        append_patiently(&journal, end..end + 1).await;
        end += 1;
    }
    assert_eq!(journal.durable_position(), Lsn(end - 1));
    assert!(journal.state().unwrap().lost.unwrap().contains("to make room"));
    journal.close().await.unwrap();
    drop(journal);
    let journal = open(&disk.path(), limits, NARROW);
    let start = journal.start().0;
    assert!(start > 5_000 && start < 9_900, "{start}");
    assert_eq!(read_all(&journal, start).await.unwrap(), (start + 1..end).collect::<Vec<_>>());
}
