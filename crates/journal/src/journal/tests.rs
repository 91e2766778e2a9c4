//! The window in memory.

use proptest::prelude::*;

use super::*;
use crate::RecordRef;

struct Item(u64, usize);

impl Entry for Item {
    fn lsn(&self) -> Lsn {
        Lsn(self.0)
    }
    fn xid(&self) -> Xid {
        Xid(self.0 + 1000)
    }
    fn weight(&self) -> usize {
        self.1
    }
    fn record(&self) -> RecordRef<'_> {
        unreachable!("nothing is written without a disk")
    }
}

const WIDE: Limits = Limits { memory: usize::MAX, span: u64::MAX };

fn lsns(journal: &Journal<Item>, after: u64, max: usize) -> Result<(Vec<u64>, u64), Miss> {
    let (entries, reached) = journal.read_after(Lsn(after), max)?;
    Ok((entries.iter().map(|e| e.0).collect(), reached.0))
}

#[test]
fn reads_what_is_strictly_after() {
    let journal = Journal::new(Lsn(10), WIDE);
    for lsn in [20, 30, 40] {
        assert!(journal.append(Arc::new(Item(lsn, 1))));
    }
    assert_eq!(lsns(&journal, 10, 9), Ok((vec![20, 30, 40], 40)));
    assert_eq!(lsns(&journal, 25, 1), Ok((vec![30], 30)));
    assert_eq!(lsns(&journal, 40, 9), Ok((vec![], 40)));
    assert_eq!(lsns(&journal, 9, 9), Err(Miss::Trimmed));
    assert_eq!(journal.recently_passed(Xid(1030)), Some(Lsn(30)));
    assert_eq!(journal.recently_passed(Xid(1031)), None);
}

#[test]
fn reads_what_is_asked_for_by_position() {
    let journal = Journal::new(Lsn(0), Limits { memory: 3, span: u64::MAX });
    for lsn in [20, 30, 40, 50] {
        journal.append(Arc::new(Item(lsn, 1)));
    }
    let at = |positions: &[u64]| {
        let positions: Vec<Lsn> = positions.iter().copied().map(Lsn).collect();
        journal.read_at(&positions).map(|entries| entries.iter().map(|e| e.0).collect::<Vec<_>>())
    };
    assert_eq!(at(&[30, 50]), Ok(vec![30, 50]));
    assert_eq!(at(&[]), Ok(vec![]));
    assert_eq!(at(&[20, 50]), Err(Miss::Trimmed), "it was dropped");
    assert_eq!(at(&[35]), Err(Miss::Trimmed), "it never was");
}

#[test]
fn searches_what_is_wanted_and_says_how_far() {
    let journal = Journal::new(Lsn(10), WIDE);
    for lsn in [20, 30, 40, 50] {
        journal.append(Arc::new(Item(lsn, 1)));
    }
    journal.advance(Lsn(60));
    let search = |after, until, max| {
        let found = journal.search(Lsn(after), Lsn(until), max, |item| item.0 != 30);
        found.map(|(found, reached)| (found.iter().map(|e| e.0).collect::<Vec<_>>(), reached.0))
    };
    assert_eq!(search(10, 99, 9), Ok((vec![20, 40, 50], 60)));
    assert_eq!(search(10, 55, 9), Ok((vec![20, 40, 50], 55)));
    assert_eq!(search(10, 45, 9), Ok((vec![20, 40], 45)));
    assert_eq!(search(10, 99, 1), Ok((vec![20], 20)));
    assert_eq!(search(20, 99, 1), Ok((vec![40], 40)));
    assert_eq!(search(50, 30, 1), Ok((vec![], 50)));
    assert_eq!(search(9, 99, 1), Err(Miss::Trimmed));
    for lsn in 0..10_000 {
        journal.append(Arc::new(Item(61 + lsn, 1)));
    }
    let (found, reached) = journal.search(Lsn(60), Lsn(99_999), 9, |_| false).unwrap();
    assert!(found.is_empty() && reached < Lsn(10_060) && reached > Lsn(60));
}

#[test]
fn a_repeated_transaction_is_dropped() {
    let journal = Journal::new(Lsn(0), WIDE);
    assert!(journal.append(Arc::new(Item(20, 1))));
    assert!(!journal.append(Arc::new(Item(20, 1))));
    assert!(!journal.append(Arc::new(Item(19, 1))));
    assert_eq!(journal.size(), (1, 1));
}

#[test]
fn an_idle_stream_moves_the_position_but_never_back() {
    let journal: Journal<Item> = Journal::new(Lsn(5), WIDE);
    journal.advance(Lsn(9));
    journal.advance(Lsn(7));
    assert_eq!(lsns(&journal, 5, 9), Ok((vec![], 9)));
}

#[test]
fn the_span_moves_the_beginning_even_without_entries() {
    let journal: Journal<Item> = Journal::new(Lsn(0), Limits { memory: 100, span: 50 });
    journal.append(Arc::new(Item(10, 1)));
    journal.advance(Lsn(100));
    assert_eq!((journal.start(), journal.size()), (Lsn(50), (0, 0)));
}

#[tokio::test]
async fn appending_wakes_whoever_waits() {
    let journal: Arc<Journal<Item>> = Arc::new(Journal::new(Lsn(0), WIDE));
    let mut watch = journal.watch();
    let waiter = tokio::spawn(async move { watch.wait_for(|lsn| *lsn >= Lsn(7)).await.map(|lsn| *lsn) });
    journal.append(Arc::new(Item(7, 1)));
    assert_eq!(waiter.await.unwrap().unwrap(), Lsn(7));
}

proptest! {
    #[test]
    fn the_window_is_the_newest_part_of_history(
        steps in prop::collection::vec((1u64..50, 1usize..20), 1..60), memory in 1usize..100, span in 1u64..400,
    ) {
        let journal = Journal::new(Lsn(0), Limits { memory, span });
        let (mut all, mut lsn) = (Vec::new(), 0);
        for (gap, weight) in steps {
            lsn += gap;
            journal.append(Arc::new(Item(lsn, weight)));
            all.push(lsn);
            let start = journal.start().0;
            prop_assert_eq!(
                lsns(&journal, start, usize::MAX),
                Ok((all.iter().copied().filter(|l| *l > start).collect(), lsn))
            );
            let (count, bytes) = journal.size();
            prop_assert!(bytes <= memory || count == 1);
            prop_assert!(start >= lsn.saturating_sub(span));
        }
    }
}
