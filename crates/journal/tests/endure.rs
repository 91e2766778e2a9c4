//! Whatever the bytes of a segment are: it opens or says why not, and reads to the end or says that it can't. Shared with
//! `fuzz/fuzz_targets/segment.rs`.

use std::{fs, path::Path};

use change::{Lsn, Xid};
use journal::{Entry, FileLimits, Files, Identity, Journal, Limits, Miss, Record, RecordRef, Trimmed};

/// What the bytes after this are: a whole segment. After anything else they are the payloads of frames, each with its length in front
/// as two bytes, little-endian; they get a header and checksums that fit, which chance would never find.
pub const FILE: u8 = b'F';

struct Whole(Record);

impl Entry for Whole {
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

const LIMITS: FileLimits = FileLimits { bytes: 1 << 30, segment: 4 << 10 };

fn identity() -> Identity {
    Identity { system: "7339104512345678901".into(), database: 16_384 }
}

/// Opens, reads to the end and goes on.
pub fn endure(folder: &Path, bytes: &[u8]) {
    let segment = folder.join("00000000000000000001.journal");
    match bytes.split_first() {
        Some((&FILE, file)) => fs::write(&segment, file).unwrap(),
        Some((_, payloads)) => {
            let (mut files, _) = Files::open(folder, identity(), LIMITS).unwrap();
            files.restart(Lsn(0), 1, None).unwrap();
            drop(files);
            let mut file = fs::read(&segment).unwrap();
            file.extend(frames(payloads));
            fs::write(&segment, file).unwrap();
        }
        None => return,
    }
    let Ok((mut files, mut recovered)) = Files::open(folder, identity(), LIMITS) else { return };
    if recovered.fresh {
        recovered = files.restart(Lsn(0), 1, None).unwrap();
    }
    let limits = Limits { memory: 1 << 20, span: u64::MAX };
    let journal = Journal::durable(files, &recovered, limits, |record, _| Some(Whole(record))).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut at = journal.start();
        while at < journal.position() {
            at = match journal.read_after(at, 100) {
                Ok((entries, reached)) => {
                    let last = entries.last().map_or(at, |entry| entry.lsn());
                    assert!(reached > at && reached >= last && entries.is_sorted_by_key(|entry| entry.lsn()));
                    reached
                }
                Err(Miss::Cold(from)) => match journal.load(from).await {
                    Ok(_) => at,
                    Err(Trimmed) => journal.start(),
                },
                Err(Miss::Trimmed) => journal.start(),
            };
        }
        journal.close().await.unwrap();
    });
}

fn frames(mut rest: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    while let Some((len, tail)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_le_bytes(*len)).min(tail.len());
        let (payload, tail) = tail.split_at(len);
        frames.extend((payload.len() as u32).to_le_bytes());
        frames.extend(crc32c::crc32c(payload).to_le_bytes());
        frames.extend(payload);
        rest = tail;
    }
    frames
}
