//! Readers that are fed by notes, beside a writer, and under changing interests: they must get everything that concerns them.

use std::time::Duration;

use change::{Change, ClientId, Origin, RelationId, Row, RowChange, Tags, Transaction};
use session::Interest;
use shapes::Route;

use super::*;
use crate::{connection::Mailbox, watchers::ConnectionId};

const TRANSACTIONS: u64 = 5_000;
const READERS: u64 = 6;
const TABLES: u64 = 3;
const OWNERS: [&str; 4] = ["ann", "bob", "eve", "joe"];
/// Everyone watches it; the last transaction is of it.
const LAST: RelationId = RelationId(99);

/// Numbers without a pattern (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// The table and the owner of the one row that a transaction inserts.
fn content(position: u64) -> (RelationId, &'static str) {
    if position == TRANSACTIONS {
        return (LAST, OWNERS[0]);
    }
    let mut random = Random(position);
    (RelationId(random.below(TABLES) as u32), OWNERS[random.below(OWNERS.len() as u64) as usize])
}

fn committed(position: u64) -> Committed {
    let (relation, owner) = content(position);
    let new = Row::from_iter([Some(b"1".as_slice()), Some(owner.as_bytes())]);
    let change = Change { relation, row: RowChange::Insert { new, tags: Tags::default() }, blind: false };
    let (lsn, xid) = (Lsn(position), Xid(position));
    let transaction = Transaction { lsn, xid, commit_ms: 0, origin: Origin::Postgres, changes: vec![change] };
    Committed { transaction, before: Arc::default(), schema: Arc::default(), migration: None }
}

fn concerns(interests: &[Interest], position: u64) -> bool {
    let (relation, owner) = content(position);
    let passes = |route: &Route| match route {
        Route::Equal(_, values) => values.iter().any(|value| value.as_deref() == Some(owner.as_bytes())),
        _ => true,
    };
    interests.iter().any(|interest| interest.relation == relation && passes(&interest.route))
}

fn interests(random: &mut Random) -> Arc<[Interest]> {
    let mut some: Vec<_> = (0..random.below(4))
        .map(|_| {
            let owner = OWNERS[random.below(OWNERS.len() as u64) as usize];
            let route = match random.below(4) {
                0 => Route::Any,
                _ => Route::Equal(1, vec![Some(owner.as_bytes().into())]),
            };
            Interest { relation: RelationId(random.below(TABLES) as u32), route }
        })
        .collect();
    some.push(Interest { relation: LAST, route: Route::Any });
    some.into()
}

/// How far a reader has come, told before it waits.
#[derive(Default)]
struct Progress {
    cursor: u64,
    watched: Arc<[Interest]>,
}

impl Progress {
    /// Whether it has everything up to a position that it is to have.
    fn is_settled(&self, position: u64) -> bool {
        (self.cursor + 1..=position).all(|position| !concerns(&self.watched, position))
    }
}

/// Reads to the end. Returns how often it was fed by notes.
async fn read(stream: Arc<Stream>, progress: Arc<Mutex<Progress>>, number: u64, seed: u64) -> usize {
    let mut random = Random(seed);
    let bell = Mailbox::new();
    let client = ClientId::new(&format!("reader-{number}")).unwrap();
    let seat = stream.watchers.add(ConnectionId(number), &client, &bell);
    let mut watched = interests(&mut random);
    stream.watchers.watch(&seat, &watched);
    let (mut cursor, mut by_notes) = (0, 0);
    let (mut expected, mut got) = (Vec::new(), Vec::new());
    while cursor < TRANSACTIONS {
        let before = cursor;
        let noted = stream.read_noted(&seat, Lsn(cursor)).unwrap();
        by_notes += usize::from(noted.is_some());
        let (deliveries, reached) =
            noted.unwrap_or_else(|| stream.read_after(Lsn(cursor), 1 + random.below(200) as usize).unwrap());
        let taken = match random.below(3) {
            // As if the client's window were full.
            0 => random.below(deliveries.len() as u64 + 1) as usize,
            _ => deliveries.len(),
        };
        let mut positions = deliveries.iter().take(taken).map(|delivery| delivery.transaction.lsn.0);
        got.extend(positions.clone().filter(|position| concerns(&watched, *position)));
        cursor = if taken == deliveries.len() { reached.0 } else { positions.next_back().unwrap_or(cursor) };
        expected.extend((before + 1..=cursor).filter(|position| concerns(&watched, *position)));
        match random.below(8) {
            0 | 1 => {
                watched = interests(&mut random);
                stream.watchers.watch(&seat, &watched);
            }
            // More may happen than is remembered.
            2 => {
                for _ in 0..random.below(100) {
                    tokio::task::yield_now().await;
                }
            }
            _ => {}
        }
        if cursor == before && taken == deliveries.len() {
            *progress.lock() = Progress { cursor, watched: watched.clone() };
            bell.rung().await;
        }
    }
    let differs = got.iter().zip(&expected).find(|(got, expected)| got != expected);
    let lengths = (got.len(), expected.len());
    assert!(got == expected, "reader {number} of seed {seed}: {differs:?} differ of {lengths:?}");
    stream.watchers.remove(&seat);
    by_notes
}

/// Appends in bursts. After each, everyone who is concerned must have been woken and come to its end.
async fn write(stream: Arc<Stream>, readers: Vec<Arc<Mutex<Progress>>>, seed: u64) {
    let mut random = Random(seed);
    let mut written = 0;
    while written < TRANSACTIONS {
        let burst = [1, 3, 10, 200][random.below(4) as usize];
        let until = (written + 1 + random.below(burst)).min(TRANSACTIONS - 1).max(written + 1);
        for position in written + 1..=until {
            stream.append(committed(position));
        }
        written = until;
        let settled = async {
            while !readers.iter().all(|reader| reader.lock().is_settled(written)) {
                tokio::task::yield_now().await;
            }
        };
        if written < TRANSACTIONS {
            let settled = tokio::time::timeout(Duration::from_secs(30), settled).await;
            assert!(settled.is_ok(), "somebody was not woken up to {written}, seed {seed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_that_concerns_a_reader_is_missed() {
    for seed in 0..3 {
        let limits = Limits { memory: usize::MAX, span: u64::MAX };
        let stream = Arc::new(Stream::in_memory(Lsn(0), limits, &History::default()));
        let progress: Vec<Arc<Mutex<Progress>>> = (0..READERS).map(|_| Arc::default()).collect();
        let readers: Vec<_> = progress
            .iter()
            .zip(0..)
            .map(|(progress, number)| {
                tokio::spawn(read(stream.clone(), progress.clone(), number, seed * READERS + number))
            })
            .collect();
        tokio::spawn(write(stream.clone(), progress, seed)).await.unwrap();
        let mut by_notes = 0;
        for reader in readers {
            by_notes += reader.await.unwrap();
        }
        assert!(by_notes > 0, "the notes were never used");
        assert_eq!(stream.watchers.count(), 0);
    }
}

#[test]
fn a_snapshot_is_torn_if_it_sees_what_comes_after_something_it_does_not() {
    let limits = Limits { memory: usize::MAX, span: u64::MAX };
    let stream = Stream::in_memory(Lsn(0), limits, &History::default());
    for position in 1..=5 {
        stream.append(committed(position));
    }
    let torn = |in_progress: &[u64], until| {
        let in_progress = in_progress.iter().copied().map(Xid).collect();
        stream.is_torn(&Snapshot { xmin: Xid(1), xmax: Xid(9), in_progress }, Lsn(until))
    };
    assert!(!torn(&[], 5), "it sees everything");
    assert!(!torn(&[4, 5], 5), "the last are about to show");
    assert!(torn(&[3, 5], 5) && torn(&[3, 5], 4), "4 shows before 3");
    assert!(!torn(&[3, 5], 3), "nothing is known beyond");
}
