//! Every step towards the disk fails once: nothing is lost, it is said, and it goes on by itself.

use std::{fs, path::Path};

use change::Lsn;
use fail::FailScenario;
use journal::{FileLimits, Files, OpenError, Stalled};
use tempfile::tempdir;

use crate::support::{
    LONG, NARROW, SHORT, WIDE, append, append_patiently, files, identity, open, read_all, segments, until,
};

/// Sets a failpoint for one folder; the others in this process don't see it.
fn set(name: &str, action: &str, folder: &Path) {
    fail::cfg(name, &action.replace('@', &format!("@{}", folder.display()))).unwrap();
}

/// A journal that can be written again later is whole, now and after a restart.
async fn fails_and_recovers(name: &str, limits: FileLimits) {
    let scenario = FailScenario::setup();
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), limits, WIDE);
    append(&journal, 1..100);
    journal.flush().await.unwrap();
    set(name, "return(io@)", folder.path());
    append(&journal, 100..200);
    assert_eq!(journal.flush().await, Err(Stalled), "{name}");
    let state =
        until(&journal, |state| state.trouble.as_ref().is_some_and(|trouble| trouble.attempts > 1)).await;
    let trouble = state.trouble.unwrap();
    assert!(trouble.message.contains("can't be written") && !trouble.full, "{}", trouble.message);
    assert!(state.durable >= Lsn(99) && state.durable < Lsn(199) && !state.stalled);
    assert_eq!(journal.durable_position(), state.durable);
    assert_eq!(read_all(&journal, 0).await.unwrap(), (1..200).collect::<Vec<_>>());
    // What would be left if it were killed now.
    let killed = copy(folder.path());
    fail::remove(name);
    let mut durable = journal.watch_durable();
    durable.wait_for(|durable| *durable == Lsn(199)).await.unwrap();
    assert_eq!(until(&journal, |state| state.trouble.is_none()).await.lost, None);
    append(&journal, 200..300);
    journal.close().await.unwrap();
    drop(journal);
    let journal = open(folder.path(), limits, NARROW);
    assert_eq!(read_all(&journal, 0).await.unwrap(), (1..300).collect::<Vec<_>>(), "{name}");
    let journal = open(killed.path(), limits, NARROW);
    let position = journal.position();
    assert!(position >= state.durable);
    assert_eq!(read_all(&journal, 0).await.unwrap(), (1..=position.0).collect::<Vec<_>>(), "{name}");
    scenario.teardown();
}

fn copy(folder: &Path) -> tempfile::TempDir {
    let copy = tempdir().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

#[tokio::test]
async fn appending() {
    fails_and_recovers("journal::append", LONG).await;
}

#[tokio::test]
async fn writing() {
    fails_and_recovers("journal::write", LONG).await;
}

#[tokio::test]
async fn syncing() {
    fails_and_recovers("journal::sync", LONG).await;
}

#[tokio::test]
async fn beginning_a_segment() {
    fails_and_recovers("journal::rotate", SHORT).await;
}

#[tokio::test]
async fn syncing_the_folder() {
    fails_and_recovers("journal::folder", SHORT).await;
}

#[tokio::test]
async fn a_segment_that_can_not_be_sealed_is_read_wholly() {
    let scenario = FailScenario::setup();
    let folder = tempdir().unwrap();
    set("journal::seal", "return(full@)", folder.path());
    let journal = open(folder.path(), SHORT, WIDE);
    append(&journal, 1..200);
    journal.flush().await.unwrap();
    journal.close().await.unwrap();
    drop(journal);
    let bytes: u64 = segments(folder.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    let (files, _) = files(folder.path(), SHORT, 0);
    assert!(files.bytes_read() + 1000 > bytes, "no index says where things are");
    drop(files);
    let journal = open(folder.path(), SHORT, NARROW);
    assert_eq!(read_all(&journal, 0).await.unwrap(), (1..200).collect::<Vec<_>>());
    scenario.teardown();
}

#[tokio::test]
async fn a_segment_that_can_not_be_removed_goes_the_next_time() {
    let scenario = FailScenario::setup();
    let folder = tempdir().unwrap();
    let limits = FileLimits { bytes: 16 << 10, segment: 4 << 10 };
    set("journal::trim", "return(io@)", folder.path());
    let journal = open(folder.path(), limits, WIDE);
    append_patiently(&journal, 1..500).await;
    journal.flush().await.unwrap();
    let start = journal.start();
    let listed = journal.state().unwrap().segments;
    assert!(start > Lsn(0) && segments(folder.path()).len() > listed);
    journal.close().await.unwrap();
    drop(journal);
    fail::remove("journal::trim");
    // Those that stayed are still the window's: they are whole, and follow each other.
    let journal = open(folder.path(), limits, NARROW);
    let start = journal.start().0;
    assert_eq!(read_all(&journal, start).await.unwrap(), (start + 1..500).collect::<Vec<_>>());
    append_patiently(&journal, 500..600).await;
    journal.flush().await.unwrap();
    assert!(journal.state().unwrap().bytes <= limits.bytes);
    assert_eq!(segments(folder.path()).len(), journal.state().unwrap().segments);
    scenario.teardown();
}

#[tokio::test]
async fn what_can_not_be_cut_is_said_when_it_is_opened() {
    let scenario = FailScenario::setup();
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), LONG, WIDE);
    append(&journal, 1..10);
    journal.close().await.unwrap();
    drop(journal);
    let path = &segments(folder.path())[0];
    let mut bytes = fs::read(path).unwrap();
    bytes.extend_from_slice(b"half a record");
    fs::write(path, &bytes).unwrap();
    for name in ["journal::open", "journal::cut"] {
        set(name, "return(io@)", folder.path());
        let error = Files::open(folder.path(), identity(), LONG).unwrap_err();
        assert!(matches!(error, OpenError::Io { .. }), "{error}");
        fail::remove(name);
    }
    assert_eq!(fs::read(path).unwrap(), bytes, "nothing was changed");
    let journal = open(folder.path(), LONG, NARROW);
    assert_eq!(read_all(&journal, 0).await.unwrap(), (1..10).collect::<Vec<_>>());
    scenario.teardown();
}

#[tokio::test]
async fn a_chunk_that_can_not_be_read_moves_the_beginning() {
    let scenario = FailScenario::setup();
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), SHORT, NARROW);
    append_patiently(&journal, 1..500).await;
    journal.flush().await.unwrap();
    set("journal::load", "1*return(io@)", folder.path());
    assert!(read_all(&journal, 200).await.is_err());
    let start = journal.start().0;
    assert!((200..300).contains(&start), "{start}");
    assert_eq!(read_all(&journal, start).await.unwrap(), (start + 1..500).collect::<Vec<_>>());
    scenario.teardown();
}

#[tokio::test]
async fn closing_ends_though_nothing_can_be_written() {
    let scenario = FailScenario::setup();
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), LONG, WIDE);
    set("journal::sync", "return(io@)", folder.path());
    append(&journal, 1..10);
    assert_eq!(journal.close().await, Err(Stalled));
    fail::remove("journal::sync");
    let journal = open(folder.path(), LONG, NARROW);
    let position = journal.position();
    assert_eq!(read_all(&journal, 0).await.unwrap(), (1..=position.0).collect::<Vec<_>>());
    scenario.teardown();
}

/// Memory bounds what waits; on a disk that is broken, as opposed to full, no segment is given up for it.
#[tokio::test]
async fn the_stream_waits_when_memory_is_full_of_what_can_not_be_written() {
    let scenario = FailScenario::setup();
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), SHORT, NARROW);
    append_patiently(&journal, 1..100).await;
    journal.flush().await.unwrap();
    set("journal::write", "return(io@)", folder.path());
    let mut lsn = 100;
    while !journal.state().unwrap().stalled {
        journal.has_room().await;
        append(&journal, [lsn]);
        lsn += 1;
    }
    let mut waiting = looked_at(journal.has_room());
    assert!(waiting.is_waiting());
    let state = until(&journal, |state| state.trouble.is_some()).await;
    assert!(state.waiting > NARROW.memory / 2 && journal.start() == Lsn(0));
    assert_eq!(read_all(&journal, 0).await.unwrap(), (1..lsn).collect::<Vec<_>>());
    fail::remove("journal::write");
    journal.has_room().await;
    journal.flush().await.unwrap();
    assert_eq!(journal.durable_position(), Lsn(lsn - 1));
    assert_eq!(read_all(&journal, 0).await.unwrap(), (1..lsn).collect::<Vec<_>>());
    drop(waiting);
    scenario.teardown();
}

/// A future that is looked at once at a time.
struct Looked<F>(std::pin::Pin<Box<F>>);

fn looked_at<F: Future>(future: F) -> Looked<F> {
    Looked(Box::pin(future))
}

impl<F: Future> Looked<F> {
    fn is_waiting(&mut self) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        self.0.as_mut().poll(&mut context).is_pending()
    }
}

/// A disk on which there is no room: what waits comes to half of the memory, and the oldest segments go for it.
#[tokio::test]
async fn on_a_full_disk_the_oldest_segments_make_room() {
    let scenario = FailScenario::setup();
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), SHORT, NARROW);
    append_patiently(&journal, 1..200).await;
    journal.flush().await.unwrap();
    let before = segments(folder.path()).len();
    set("journal::write", "return(full@)", folder.path());
    append(&journal, [200]);
    let state = until(&journal, |state| state.trouble.is_some()).await;
    let trouble = state.trouble.unwrap();
    assert!(trouble.full && trouble.message.contains("is full"), "{}", trouble.message);
    assert_eq!((journal.start(), state.lost), (Lsn(0), None), "there is room in memory");
    let mut lsn = 201;
    while journal.state().unwrap().waiting < NARROW.memory / 2 {
        append(&journal, [lsn]);
        lsn += 1;
    }
    let state = until(&journal, |state| state.lost.is_some()).await;
    assert!(state.lost.unwrap().contains("to make room"));
    assert!(journal.start() > Lsn(0) && segments(folder.path()).len() < before);
    fail::remove("journal::write");
    let mut durable = journal.watch_durable();
    durable.wait_for(|durable| *durable == Lsn(lsn - 1)).await.unwrap();
    let start = journal.start().0;
    assert_eq!(read_all(&journal, start).await.unwrap(), (start + 1..lsn).collect::<Vec<_>>());
    scenario.teardown();
}
