//! Opening again: everything is there, and what is not right is said.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
};

use change::Lsn;
use journal::{FileLimits, Files, Identity, Journal, OpenError};
use tempfile::tempdir;

use crate::support::{
    LONG, NARROW, SHORT, WIDE, append, files, identity, item, open, read_all, schema, segments,
};

#[tokio::test]
async fn everything_is_there_after_it_was_closed() {
    let folder = tempdir().unwrap();
    let lsns: Vec<u64> = (1..=3000).map(|n| n * 10).collect();
    for (part, limits) in lsns.chunks(1000).zip([LONG, SHORT, LONG]) {
        let journal = open(folder.path(), limits, WIDE);
        append(&journal, part.iter().copied());
        journal.advance(Lsn(part[part.len() - 1] + 5));
        journal.close().await.unwrap();
        assert_eq!(journal.durable_position(), journal.position());
    }
    let (files, recovered) = files(folder.path(), LONG, 0);
    assert_eq!((recovered.start, recovered.position, recovered.timeline), (Lsn(0), Lsn(30_005), 1));
    assert_eq!((recovered.schema, recovered.lost), (schema(30_000), None));
    drop(files);
    let journal = open(folder.path(), LONG, NARROW);
    assert_eq!(read_all(&journal, 0).await.unwrap(), lsns);
    assert_eq!(read_all(&journal, 15_003).await.unwrap(), lsns[1500..]);
}

#[tokio::test]
async fn an_idle_stream_and_a_timeline_are_remembered() {
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), LONG, WIDE);
    append(&journal, [10]);
    journal.advance(Lsn(500));
    journal.note_timeline(4);
    journal.flush().await.unwrap();
    assert_eq!(journal.durable_position(), Lsn(500));
    journal.close().await.unwrap();
    let (mut files, recovered) = files(folder.path(), LONG, 0);
    assert_eq!((recovered.position, recovered.timeline), (Lsn(500), 4));
    files.note_timeline(5);
    let journal =
        Journal::durable(files, &recovered, WIDE, |record, _| Some(crate::support::Item(record))).unwrap();
    append(&journal, [510]);
    journal.close().await.unwrap();
    assert_eq!(crate::support::files(folder.path(), LONG, 0).1.timeline, 5);
}

#[tokio::test]
async fn a_journal_of_nothing_but_a_timeline_is_opened() {
    let folder = tempdir().unwrap();
    for timeline in [2, 3] {
        let journal = open(folder.path(), LONG, WIDE);
        journal.note_timeline(timeline);
        journal.close().await.unwrap();
    }
    assert_eq!(files(folder.path(), LONG, 0).1.timeline, 3);
}

#[tokio::test]
async fn starting_anew_throws_everything_away() {
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), SHORT, WIDE);
    append(&journal, 1..200);
    journal.close().await.unwrap();
    drop(journal);
    let (mut files, _) = files(folder.path(), SHORT, 0);
    let recovered = files.restart(Lsn(100), 3, Some("7")).unwrap();
    assert_eq!((recovered.start, recovered.position, recovered.fresh), (Lsn(100), Lsn(100), false));
    assert_eq!(segments(folder.path()).len(), 1);
    drop(files);
    let (_files, again) = crate::support::files(folder.path(), SHORT, 0);
    assert_eq!(again, recovered);
}

#[test]
fn one_at_a_time() {
    let folder = tempdir().unwrap();
    let (held, _) = files(folder.path(), LONG, 0);
    let second = Files::open(folder.path(), identity(), LONG).unwrap_err();
    assert!(matches!(second, OpenError::Locked(_)));
    assert!(second.to_string().contains("in use by another process"), "{second}");
    drop(held);
    files(folder.path(), LONG, 0);
}

#[tokio::test]
async fn closing_unlocks_the_folder_though_the_journal_lives() {
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), LONG, WIDE);
    append(&journal, [10]);
    journal.close().await.unwrap();
    files(folder.path(), LONG, 0);
    append(&journal, [20]);
    assert_eq!(read_all(&journal, 0).await.unwrap(), [10, 20]);
}

#[test]
fn a_journal_of_another_database_is_refused() {
    let folder = tempdir().unwrap();
    drop(files(folder.path(), LONG, 0));
    let other = Identity { database: 5, ..identity() };
    let error = Files::open(folder.path(), other, LONG).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }));
    assert!(error.to_string().contains("7339104512345678901-16384"), "{error}");
    assert!(!files(folder.path(), LONG, 0).1.fresh, "nothing was changed");
}

#[tokio::test]
async fn a_journal_of_an_earlier_release_is_read_and_gone_on_with_in_a_segment_of_its_own() {
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), LONG, WIDE);
    append(&journal, [10, 20, 30]);
    journal.close().await.unwrap();
    drop(journal);
    let old = segments(folder.path()).remove(0);
    OpenOptions::new().write(true).open(&old).unwrap().write_all_at(&1u32.to_le_bytes(), 8).unwrap();
    let before = fs::read(&old).unwrap();
    for (round, lsn) in [40, 50].into_iter().enumerate() {
        let journal = open(folder.path(), LONG, NARROW);
        assert_eq!(read_all(&journal, 0).await.unwrap().len(), 3 + round);
        append(&journal, [lsn]);
        journal.close().await.unwrap();
        assert_eq!(segments(folder.path()).len(), 2);
        assert!(fs::read(&old).unwrap() == before, "it is as it was");
    }
    let journal = open(folder.path(), LONG, NARROW);
    assert_eq!(read_all(&journal, 0).await.unwrap(), [10, 20, 30, 40, 50]);
}

#[test]
fn a_later_format_is_refused_with_advice() {
    let folder = tempdir().unwrap();
    drop(files(folder.path(), LONG, 0));
    let segment = OpenOptions::new().write(true).open(&segments(folder.path())[0]).unwrap();
    segment.write_all_at(&9u32.to_le_bytes(), 8).unwrap();
    let error = Files::open(folder.path(), identity(), LONG).unwrap_err();
    assert!(matches!(error, OpenError::Newer { version: 9, .. }));
    assert!(error.to_string().contains("later release"), "{error}");
}

#[test]
fn a_folder_that_can_not_be_made_is_named() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Files::open(&file.join("journal"), identity(), LONG).unwrap_err();
    assert!(error.to_string().starts_with("can't make"), "{error}");
}

#[tokio::test]
async fn of_sealed_segments_only_the_index_is_read() {
    let folder = tempdir().unwrap();
    let limits = FileLimits { bytes: 1 << 30, segment: 1 << 20 };
    let journal = open(folder.path(), limits, WIDE);
    append(&journal, 1..40_000);
    journal.close().await.unwrap();
    drop(journal);
    let segments = segments(folder.path());
    assert!(segments.len() > 5);
    let bytes: u64 = segments.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    let last = fs::metadata(&segments[segments.len() - 1]).unwrap().len();
    let (files, recovered) = files(folder.path(), limits, 0);
    assert_eq!(recovered.position, Lsn(39_999));
    let read = files.bytes_read();
    // A header and an index of about ten chunks each.
    assert!(
        read < last + 600 * segments.len() as u64,
        "{read} of {bytes} bytes were read, {last} of the last"
    );
}

#[tokio::test]
async fn the_oldest_segments_go_when_there_are_too_many_bytes() {
    let folder = tempdir().unwrap();
    let limits = FileLimits { bytes: 32 << 10, segment: 4 << 10 };
    let journal = open(folder.path(), limits, WIDE);
    for lsn in 1..2000 {
        append(&journal, [lsn]);
        if lsn % 50 == 0 {
            journal.flush().await.unwrap();
            let state = journal.state().unwrap();
            assert!(state.bytes <= limits.bytes + 2048, "{state:?}");
        }
    }
    journal.flush().await.unwrap();
    let start = journal.start().0;
    assert!(start > 1500);
    journal.close().await.unwrap();
    drop(journal);
    let journal = open(folder.path(), limits, NARROW);
    assert_eq!(journal.start(), Lsn(start));
    assert_eq!(read_all(&journal, start).await.unwrap(), (start + 1..2000).collect::<Vec<_>>());
    assert!(read_all(&journal, start - 1).await.is_err());
}

#[tokio::test]
async fn a_damaged_segment_in_the_middle_moves_the_beginning_behind_it() {
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), SHORT, WIDE);
    append(&journal, 1..300);
    journal.close().await.unwrap();
    drop(journal);
    let paths = segments(folder.path());
    let middle = &paths[paths.len() / 2];
    let len = fs::metadata(middle).unwrap().len();
    OpenOptions::new().write(true).open(middle).unwrap().set_len(len / 2).unwrap();
    let (held, recovered) = files(folder.path(), SHORT, 0);
    let lost = recovered.lost.unwrap();
    assert!(lost.contains("load their data again"), "{lost}");
    assert!(recovered.start > Lsn(0) && recovered.position == Lsn(299));
    assert_eq!(segments(folder.path()), paths[paths.len() / 2 + 1..]);
    drop(held);
    let journal = open(folder.path(), SHORT, NARROW);
    let start = journal.start().0;
    assert_eq!(read_all(&journal, start).await.unwrap(), (start + 1..300).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_segment_that_lost_its_index_is_read_wholly() {
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), SHORT, WIDE);
    append(&journal, 1..300);
    journal.close().await.unwrap();
    drop(journal);
    for path in segments(folder.path()) {
        let len = fs::metadata(&path).unwrap().len();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(len - 1).unwrap();
    }
    let journal = open(folder.path(), SHORT, NARROW);
    // Of the last one, which has none, the last byte was of the last transaction.
    assert_eq!(read_all(&journal, 0).await.unwrap(), (1..299).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_segment_of_which_not_even_the_header_was_written_is_nothing() {
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), LONG, WIDE);
    append(&journal, 1..30);
    journal.close().await.unwrap();
    drop(journal);
    for (name, bytes) in
        [("00000000000000000002.journal", &b""[..]), ("00000000000000000003.journal", b"TLJOURNL\x01")]
    {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    fs::write(folder.path().join("notes.txt"), "somebody else's").unwrap();
    let journal = open(folder.path(), LONG, WIDE);
    assert_eq!(read_all(&journal, 0).await.unwrap(), (1..30).collect::<Vec<_>>());
    append(&journal, [31]);
    journal.close().await.unwrap();
    assert_eq!(segments(folder.path()).len(), 1);
    assert!(folder.path().join("notes.txt").exists());
}

#[tokio::test]
async fn when_the_last_segment_is_damaged_the_journal_ends_before_it() {
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), SHORT, WIDE);
    append(&journal, 1..300);
    journal.close().await.unwrap();
    drop(journal);
    let paths = segments(folder.path());
    let last = OpenOptions::new().write(true).open(&paths[paths.len() - 1]).unwrap();
    last.write_all_at(b"!", 30).unwrap();
    last.set_len(4 << 10).unwrap();
    let (held, recovered) = files(folder.path(), SHORT, 0);
    assert!(recovered.lost.unwrap().contains("the last one"));
    assert!(recovered.position < Lsn(299) && recovered.position > Lsn(270) && recovered.start == Lsn(0));
    drop(held);
    let journal = open(folder.path(), SHORT, NARROW);
    append(&journal, [500]);
    journal.close().await.unwrap();
    let mut expected: Vec<_> = (1..=recovered.position.0).collect();
    expected.push(500);
    assert_eq!(read_all(&journal, 0).await.unwrap(), expected);
}

#[tokio::test]
async fn damage_within_the_last_segment_is_told_from_an_end_that_is_missing() {
    for (is_damaged, keep) in [(true, 1.0), (false, 0.6)] {
        let folder = tempdir().unwrap();
        let journal = open(folder.path(), LONG, WIDE);
        append(&journal, 1..300);
        journal.flush().await.unwrap();
        // As a crash leaves it: without an index.
        let path = &segments(folder.path())[0];
        let bytes = fs::read(path).unwrap();
        let crashed = tempdir().unwrap();
        let mut left = bytes[..(bytes.len() as f64 * keep) as usize].to_vec();
        if is_damaged {
            let middle = left.len() / 2;
            left[middle] ^= 1;
        }
        fs::write(crashed.path().join(path.file_name().unwrap()), left).unwrap();
        let (_, recovered) = files(crashed.path(), LONG, 0);
        assert!(recovered.position > Lsn(100) && recovered.position < Lsn(299), "{recovered:?}");
        assert_eq!(recovered.lost.is_some_and(|lost| lost.contains("is damaged at byte")), is_damaged);
    }
}

#[tokio::test]
async fn what_can_not_be_restored_moves_the_beginning_behind_it() {
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), SHORT, WIDE);
    append(&journal, 1..300);
    journal.close().await.unwrap();
    drop(journal);
    let (files, recovered) = files(folder.path(), SHORT, 0);
    let restore = |record: journal::Record, _: Option<&str>| {
        (record.transaction.lsn != Lsn(100)).then_some(crate::support::Item(record))
    };
    let journal = Journal::durable(files, &recovered, NARROW, restore).unwrap();
    assert!(read_all(&journal, 95).await.is_err());
    let start = journal.start();
    assert!(start >= Lsn(100) && start < Lsn(200), "{start}");
    assert_eq!(read_all(&journal, start.0).await.unwrap(), (start.0 + 1..300).collect::<Vec<_>>());
    assert!(journal.state().unwrap().lost.unwrap().contains("schema"));
    assert_eq!(*journal.read_at(&[Lsn(299)]).unwrap()[0], item(299));
}

#[tokio::test]
async fn the_schema_before_each_transaction_is_known_wherever_reading_begins() {
    let folder = tempdir().unwrap();
    let journal = open(folder.path(), SHORT, WIDE);
    append(&journal, (1..500).map(|n| n * 10));
    journal.close().await.unwrap();
    drop(journal);
    let (files, recovered) = files(folder.path(), SHORT, 0);
    let restore = |record: journal::Record, before: Option<&str>| {
        assert_eq!(before, schema(record.transaction.lsn.0 - 10).as_deref());
        Some(crate::support::Item(record))
    };
    let journal = Journal::durable(files, &recovered, NARROW, restore).unwrap();
    for after in [3000, 1230, 990, 0] {
        assert_eq!(read_all(&journal, after).await.unwrap().len() as u64, 499 - after / 10);
    }
}
