//! Transactions that can be told by their position, and journals of them.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use change::{Change, ClientId, Lsn, Origin, RelationId, Row, RowChange, Tag, Tags, Transaction, Xid};
use journal::{Entry, FileLimits, Files, Identity, Journal, Limits, Miss, Record, RecordRef, Recovered};
use tempfile::{TempDir, tempdir, tempdir_in};

/// An entry that is nothing but its record.
#[derive(Debug, PartialEq)]
pub struct Item(pub Record);

impl Entry for Item {
    fn lsn(&self) -> Lsn {
        self.0.transaction.lsn
    }
    fn xid(&self) -> Xid {
        self.0.transaction.xid
    }
    fn weight(&self) -> usize {
        self.0.transaction.weight()
    }
    fn record(&self) -> RecordRef<'_> {
        self.0.as_ref()
    }
}

/// Room for everything.
pub const WIDE: Limits = Limits { memory: 1 << 30, span: u64::MAX };
/// Files without end, of one segment.
pub const LONG: FileLimits = FileLimits { bytes: 1 << 30, segment: 64 << 20 };
/// Segments of some ten transactions.
pub const SHORT: FileLimits = FileLimits { bytes: 1 << 30, segment: 2 << 10 };
/// Memory for some twenty transactions, so that chunks are of some and most is on disk.
pub const NARROW: Limits = Limits { memory: 16 << 10, span: u64::MAX };

/// A folder in memory where there is such a place: for tests that sync thousands of times.
pub fn quick_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempdir_in(memory) } else { tempdir() }.unwrap()
}

/// Numbers without a pattern (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// The version of the schema at a position: a new one comes every thousand.
pub fn schema(lsn: u64) -> Option<String> {
    (lsn >= 1000).then(|| (lsn / 1000).to_string())
}

/// The transaction at a position: each is like no other, and always the same.
pub fn item(lsn: u64) -> Item {
    let mut random = Random(lsn);
    let text =
        |random: &mut Random| format!("{:x}", random.below(u64::MAX)).repeat(1 + random.below(6) as usize);
    let row = |random: &mut Random| {
        let values = [Some(lsn.to_string()), (random.below(3) > 0).then(|| text(random)), Some(text(random))];
        values.iter().map(|value| value.as_deref().map(str::as_bytes)).collect::<Row>()
    };
    let origin = match random.below(2) {
        0 => Origin::Postgres,
        _ => Origin::Client(ClientId::new("5f1d2c30-0000-4000-8000-000000000001").unwrap()),
    };
    let tags: Tags = [Tag { ms: lsn as i64, origin: origin.clone() }].into_iter().collect();
    let changes = (0..random.below(3)).map(|table| {
        let row = match random.below(3) {
            0 => RowChange::Insert { new: row(&mut random), tags: tags.clone() },
            1 => RowChange::Update { old: row(&mut random), new: row(&mut random), tags: tags.clone() },
            _ => RowChange::Delete { old: row(&mut random) },
        };
        Change {
            relation: RelationId(16_384 + table as u32),
            row,
            blind: lsn > 1_015 && lsn.is_multiple_of(3),
        }
    });
    let changes = changes.collect();
    let transaction = Transaction { lsn: Lsn(lsn), xid: Xid(lsn + 7), commit_ms: lsn, origin, changes };
    let migration = lsn.is_multiple_of(1000).then(|| (lsn / 1000).to_string());
    Item(Record { transaction, migration, schema: schema(lsn) })
}

pub fn identity() -> Identity {
    Identity { system: "7339104512345678901".into(), database: 16_384 }
}

/// Opens the folder; a fresh one begins at `start`, in timeline 1.
pub fn files(folder: &Path, limits: FileLimits, start: u64) -> (Files, Recovered) {
    let (mut files, recovered) = Files::open(folder, identity(), limits).unwrap();
    if !recovered.fresh {
        return (files, recovered);
    }
    let recovered = files.restart(Lsn(start), 1, schema(start).as_deref()).unwrap();
    (files, recovered)
}

pub fn open(folder: &Path, files_limits: FileLimits, limits: Limits) -> Journal<Item> {
    open_counting(folder, files_limits, limits, Arc::default())
}

/// The same; counts the entries that are made of what is read.
pub fn open_counting(
    folder: &Path,
    files_limits: FileLimits,
    limits: Limits,
    restored: Arc<AtomicUsize>,
) -> Journal<Item> {
    let (files, recovered) = files(folder, files_limits, 0);
    let restore = move |record: Record, before: Option<&str>| {
        restored.fetch_add(1, Ordering::Relaxed);
        let number = |version: Option<&str>| version.map_or(0, |version| version.parse::<u64>().unwrap());
        let lsn = record.transaction.lsn.0;
        assert_eq!(number(record.schema.as_deref()), lsn / 1000);
        assert!(number(before) <= lsn / 1000);
        Some(Item(record))
    };
    Journal::durable(files, &recovered, limits, restore).unwrap()
}

pub fn append(journal: &Journal<Item>, lsns: impl IntoIterator<Item = u64>) {
    for lsn in lsns {
        assert!(journal.append(Arc::new(item(lsn))));
    }
}

/// Appends as the stream does: only while there is room.
pub async fn append_patiently(journal: &Journal<Item>, lsns: impl IntoIterator<Item = u64>) {
    for lsn in lsns {
        journal.has_room().await;
        append(journal, [lsn]);
    }
}

/// Reads everything after `lsn`, loading what has to be; each is what was written.
pub async fn read_all(journal: &Journal<Item>, lsn: u64) -> Result<Vec<u64>, journal::Trimmed> {
    let position = journal.position();
    let (mut at, mut lsns, mut held) = (Lsn(lsn), Vec::new(), None);
    while at < position {
        match journal.read_after(at, 100) {
            Ok((entries, reached)) => {
                for entry in &entries {
                    let lsn = entry.lsn().0;
                    assert_eq!(**entry, item(lsn));
                    lsns.push(lsn);
                }
                assert!(reached > at, "it goes on");
                at = reached;
            }
            Err(Miss::Cold(from)) => held = Some(journal.load(from).await?),
            Err(Miss::Trimmed) => return Err(journal::Trimmed),
        }
    }
    drop(held);
    Ok(lsns)
}

/// Waits until the journal's state is as wanted.
pub async fn until(
    journal: &Journal<Item>,
    wanted: impl Fn(&journal::DiskState) -> bool,
) -> journal::DiskState {
    for _ in 0..2000 {
        let state = journal.state().unwrap();
        if wanted(&state) {
            return state;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it never came to that: {:?}", journal.state());
}

/// The segments of a folder, oldest first.
pub fn segments(folder: &Path) -> Vec<std::path::PathBuf> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> =
        names.filter(|path| path.extension().is_some_and(|e| e == "journal")).collect();
    segments.sort();
    segments
}
