//! Reading what is not in memory any more.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use change::{Lsn, Xid};
use journal::{Limits, Miss};
use tempfile::tempdir;

use crate::support::{
    LONG, NARROW, SHORT, append, append_patiently, item, open, open_counting, read_all, segments, until,
};

#[tokio::test]
async fn what_left_memory_is_read_from_disk() {
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), SHORT, NARROW);
    append_patiently(&journal, 1..2000).await;
    journal.flush().await.unwrap();
    assert!(journal.size().1 <= NARROW.memory, "{:?}", journal.size());
    assert_eq!(journal.read_after(Lsn(3), 10).unwrap_err(), Miss::Cold(Lsn(3)));
    assert_eq!(read_all(&journal, 0).await.unwrap(), (1..2000).collect::<Vec<_>>());
    assert_eq!(journal.start(), Lsn(0));
    assert_eq!(journal.recently_passed(Xid(1999 + 7)), Some(Lsn(1999)));
}

#[tokio::test]
async fn positions_are_read_from_where_they_are() {
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), SHORT, NARROW);
    append_patiently(&journal, (1..1000).map(|n| 2 * n)).await;
    journal.flush().await.unwrap();
    let wanted = [Lsn(10), Lsn(12), Lsn(900), Lsn(1998)];
    let mut held = Vec::new();
    let mut read = Vec::new();
    while read.len() < wanted.len() {
        match journal.read_at(&wanted[read.len()..]) {
            Ok(entries) => {
                assert!(!entries.is_empty());
                read.extend(entries.iter().map(|entry| entry.0.transaction.lsn));
            }
            Err(Miss::Cold(from)) => held.push(journal.load(from).await.unwrap()),
            Err(Miss::Trimmed) => panic!("all of them are there"),
        }
    }
    assert_eq!(read, wanted);
    assert!(held.len() >= 2);
    assert_eq!(journal.read_at(&[Lsn(11)]).unwrap_err(), Miss::Trimmed, "there never was one");
    assert_eq!(journal.read_at(&[]).unwrap(), Vec::<Arc<_>>::new());
}

#[tokio::test]
async fn a_search_says_how_far_it_came() {
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), SHORT, NARROW);
    append_patiently(&journal, 1..1000).await;
    journal.flush().await.unwrap();
    let (mut at, mut found) = (Lsn(5), Vec::new());
    while at < Lsn(900) {
        match journal.search(at, Lsn(900), 3, |item| item.0.transaction.lsn.0.is_multiple_of(7)) {
            Ok((entries, reached)) => {
                assert!(entries.len() <= 3 && reached > at && reached <= Lsn(900));
                found.extend(entries.iter().map(|entry| entry.0.transaction.lsn.0));
                at = reached;
            }
            Err(Miss::Cold(from)) => drop(journal.load(from).await.unwrap()),
            Err(Miss::Trimmed) => panic!("all of it is there"),
        }
    }
    assert_eq!(found, (6..=900).filter(|lsn| lsn % 7 == 0).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_readers_at_one_place_read_each_chunk_once() {
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), LONG, Limits { memory: 1 << 30, ..NARROW });
    append(&journal, 1..9000);
    journal.close().await.unwrap();
    drop(journal);
    let restored = Arc::new(AtomicUsize::new(0));
    // A quarter of it is for chunks: more than all of them.
    let limits = Limits { memory: 16 << 20, ..NARROW };
    let journal = Arc::new(open_counting(folder.path(), LONG, limits, restored.clone()));
    let at_first = restored.swap(0, Ordering::Relaxed);
    let readers: Vec<_> = (0..1000)
        .map(|_| {
            let journal = journal.clone();
            tokio::spawn(async move {
                let (mut at, mut count) = (Lsn(0), 0);
                while at < Lsn(4000) {
                    match journal.read_after(at, usize::MAX) {
                        Ok((entries, reached)) => (at, count) = (reached, count + entries.len()),
                        Err(Miss::Cold(from)) => drop(journal.load(from).await.unwrap()),
                        Err(Miss::Trimmed) => panic!("all of it is there"),
                    }
                }
                count
            })
        })
        .collect();
    for reader in readers {
        assert!(reader.await.unwrap() >= 4000);
    }
    assert!(restored.load(Ordering::Relaxed) + at_first <= 8999, "nothing was read twice");
}

#[tokio::test]
async fn what_is_held_is_at_hand_however_little_memory_there_is() {
    let folder = tempdir().unwrap();
    let limits = Limits { memory: 4, ..NARROW };
    let journal = open(folder.path(), SHORT, limits);
    append_patiently(&journal, 1..100).await;
    journal.flush().await.unwrap();
    let mut held = Vec::new();
    for lsn in (0..90).step_by(10) {
        held.push(journal.load(Lsn(lsn)).await.unwrap());
    }
    for lsn in (0..90).step_by(10) {
        let (entries, _) = journal.read_after(Lsn(lsn), 1).unwrap();
        assert_eq!(*entries[0], item(lsn + 1));
    }
}

#[tokio::test]
async fn damage_that_is_found_when_it_is_read_moves_the_beginning() {
    for newest in [false, true] {
        let folder = tempdir().unwrap();
        let journal = open(folder.path(), if newest { LONG } else { SHORT }, NARROW);
        append_patiently(&journal, 1..1000).await;
        journal.flush().await.unwrap();
        let paths = segments(folder.path());
        let path = &paths[paths.len() / 2];
        assert_eq!(newest, paths.len() == 1);
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        let at = file.metadata().unwrap().len() / 3;
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 4], at).unwrap();
        assert!(read_all(&journal, 0).await.is_err());
        let start = journal.start().0;
        assert!((300..700).contains(&start), "{start}");
        assert!(journal.state().unwrap().lost.unwrap().contains("damaged"));
        assert_eq!(read_all(&journal, start).await.unwrap(), (start + 1..1000).collect::<Vec<_>>());
        append_patiently(&journal, 1000..1100).await;
        journal.flush().await.unwrap();
        until(&journal, |_| segments(folder.path()).len() > 1).await;
        journal.close().await.unwrap();
        drop(journal);
        let journal = open(folder.path(), SHORT, NARROW);
        assert!(journal.start().0 >= start);
        assert_eq!(journal.position(), Lsn(1099), "what came after the damage is kept");
        let start = journal.start().0;
        assert_eq!(read_all(&journal, start).await.unwrap(), (start + 1..1100).collect::<Vec<_>>());
    }
}
