//! The same is done with a journal in memory that forgets nothing, and what is read has to be the same.

use std::sync::Arc;

use change::Lsn;
use journal::{FileLimits, Journal, Limits, Miss};

use crate::support::{Item, Random, WIDE, append, item, open, quick_folder, until};

/// How many histories; more with `JOURNAL_MODELS`.
fn seeds() -> u64 {
    std::env::var("JOURNAL_MODELS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(12)
}

type Lsns = (Vec<u64>, u64);

fn lsns((entries, reached): (Vec<Arc<Item>>, Lsn)) -> Lsns {
    entries.iter().for_each(|entry| assert_eq!(**entry, item(entry.0.transaction.lsn.0)));
    (entries.iter().map(|entry| entry.0.transaction.lsn.0).collect(), reached.0)
}

/// Reads until it is there; `None` before the window.
async fn read<R>(journal: &Journal<Item>, read: impl Fn() -> Result<R, Miss>) -> Option<R> {
    let mut held = None;
    loop {
        match read() {
            Ok(read) => return Some(read),
            Err(Miss::Trimmed) => return None,
            Err(Miss::Cold(from)) => {
                assert!(held.is_none(), "what was loaded is at hand");
                held = Some(journal.load(from).await.ok()?);
            }
        }
    }
}

#[tokio::test]
async fn it_reads_as_the_journal_in_memory_does() {
    for seed in 0..seeds() {
        history(seed).await;
    }
}

/// What is claimed of a read: these, in order, and none else up to there.
fn check(
    seed: u64,
    model: &Journal<Item>,
    after: u64,
    (found, reached): &Lsns,
    wanted: impl Fn(u64) -> bool,
) {
    let (all, _) = lsns(model.read_after(Lsn(after), usize::MAX).unwrap());
    let expected: Vec<_> = all.into_iter().filter(|lsn| lsn <= reached && wanted(*lsn)).collect();
    assert_eq!(*found, expected, "seed {seed}, after {after}, up to {reached}");
}

async fn history(seed: u64) {
    let mut random = Random(seed);
    let folder = quick_folder();
    let files = FileLimits { bytes: 64 << 10 << random.below(10), segment: 1 << (9 + random.below(7)) };
    let limits = Limits { memory: 1 << (10 + random.below(10)), span: u64::MAX };
    let model = Journal::new(Lsn(0), WIDE);
    let mut journal = open(folder.path(), files, limits);
    for _ in 0..400 {
        let position = model.position().0;
        let place = random.below(position + 3);
        match random.below(12) {
            0..=4 => {
                journal.has_room().await;
                let mut at = position;
                for _ in 0..random.below(20) {
                    at += 1 + random.below(30);
                    append(&model, [at]);
                    append(&journal, [at]);
                }
                assert!(at == 0 || !journal.append(Arc::new(item(at))), "it is a repetition");
            }
            5 => {
                let reached = Lsn(position + random.below(50));
                model.advance(reached);
                journal.advance(reached);
            }
            6 => {
                let max = 1 + random.below(40) as usize;
                let start = journal.start().0;
                let found = read(&journal, || journal.read_after(Lsn(place), max)).await.map(lsns);
                assert!(found.is_some() || place < journal.start().0, "seed {seed}: {place} after {start}");
                if let Some(found) = found {
                    assert!(found.0.len() <= max && (found.1 > place || place >= position));
                    check(seed, &model, place, &found, |_| true);
                }
            }
            7 => {
                let (until, max) = (random.below(position + 3), 1 + random.below(20) as usize);
                let wanted = |lsn: u64| lsn % 3 != 1;
                let search =
                    || journal.search(Lsn(place), Lsn(until), max, |item| wanted(item.0.transaction.lsn.0));
                if let Some(found) = read(&journal, search).await.map(lsns) {
                    assert!(found.0.len() <= max && found.1 <= until.max(place));
                    assert!(found.1 > place || until.min(position) <= place, "seed {seed}: it goes on");
                    check(seed, &model, place, &found, wanted);
                }
            }
            8 => {
                let (all, _) = lsns(model.read_after(Lsn(place), 40).unwrap());
                let some: Vec<_> = all.into_iter().filter(|_| random.below(2) == 0).map(Lsn).collect();
                if let Some(found) = read(&journal, || journal.read_at(&some)).await {
                    let (found, _) = lsns((found, Lsn(0)));
                    assert!(some.is_empty() || !found.is_empty());
                    assert!(some.iter().map(|lsn| lsn.0).take(found.len()).eq(found));
                }
            }
            9 => {
                journal.flush().await.unwrap();
                assert_eq!(journal.durable_position().0, position);
            }
            10 => {
                let xid = item(place.max(1)).0.transaction.xid;
                if let Some(lsn) = journal.recently_passed(xid) {
                    assert_eq!((model.recently_passed(xid), lsn.0), (Some(lsn), place));
                }
            }
            _ => {
                journal.close().await.unwrap();
                drop(journal);
                journal = open(folder.path(), files, limits);
            }
        }
        assert_eq!(journal.position(), model.position(), "seed {seed}");
    }
    journal.flush().await.unwrap();
    let state = until(&journal, |state| state.waiting <= limits.memory).await;
    assert!(
        state.bytes <= files.bytes + 8192 && state.trouble.is_none() && state.lost.is_none(),
        "{state:?}"
    );
}
