//! Random histories, cut and changed at random: what is read back is a run of what was written, word for word.

use std::{fs, path::Path};

use change::Lsn;
use journal::{FileLimits, Files, Journal};
use proptest::{prelude::*, sample::Index};
use tokio::runtime::{Builder, Runtime};

use crate::support::{
    Item, NARROW, SHORT, WIDE, append, identity, item, open, quick_folder, read_all, segments,
};

/// A step of a history.
#[derive(Clone, Debug)]
enum Step {
    Append(u64),
    Reached(u64),
    Flush,
    Reopen,
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (1u64..40).prop_map(Step::Append),
        2 => (1u64..40).prop_map(Step::Reached),
        1 => Just(Step::Flush),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

fn limits() -> impl Strategy<Value = FileLimits> {
    prop_oneof![Just(SHORT), Just(FileLimits { bytes: 1 << 30, segment: 512 })]
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Does it; the transactions in order, and the last position.
async fn play(folder: &Path, limits: FileLimits, steps: &[Step], from: u64) -> (Vec<u64>, u64) {
    let (mut lsns, mut at) = (Vec::new(), from);
    let mut journal = open(folder, limits, WIDE);
    for step in steps {
        match step {
            Step::Append(gap) => {
                at += gap;
                append(&journal, [at]);
                lsns.push(at);
            }
            Step::Reached(gap) => {
                at += gap;
                journal.advance(Lsn(at));
            }
            Step::Flush => journal.flush().await.unwrap(),
            Step::Reopen => {
                journal.close().await.unwrap();
                journal = open(folder, limits, WIDE);
            }
        }
        assert_eq!(journal.position(), Lsn(at));
    }
    journal.close().await.unwrap();
    (lsns, at)
}

/// The files as one run of bytes, oldest first, and where each begins.
fn bytes(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    segments(folder).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Where the index of a segment begins, as its last bytes say.
fn index_of(segment: &[u8]) -> Option<usize> {
    let trailer = segment.last_chunk::<16>().filter(|trailer| trailer.ends_with(b"TLJX"))?;
    Some(u64::from_le_bytes(*trailer.first_chunk()?) as usize)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// A crash: of what was written after the last `fsync`, any part may be missing, and the rest of it be anything.
    #[test]
    fn what_was_durable_survives_a_torn_tail(
        limits in limits(), before in history(), after in history(), cut: Index, flip in prop::option::of((any::<Index>(), 0u8..8)),
    ) {
        runtime().block_on(async {
            let folder = quick_folder();
            let (mut lsns, durable) = play(folder.path(), limits, &before, 0).await;
            let synced = bytes(folder.path());
            let (more, _) = play(folder.path(), limits, &after, durable).await;
            lsns.extend(more);
            // Segments are begun with a synced header after a synced segment: only the last one can be torn.
            let all = bytes(folder.path());
            let (path, torn) = &all[all.len() - 1];
            let safe = synced.iter().find(|(known, _)| known == path).map_or(0, |(_, bytes)| bytes.len());
            let len = safe + cut.index(torn.len() - safe + 1);
            // An index is written when all before it is durable.
            let safe = safe.max(index_of(torn).filter(|index| *index < len).unwrap_or(0));
            let mut left = torn[..len].to_vec();
            if let Some((at, bit)) = flip && len > safe {
                left[safe + at.index(len - safe)] ^= 1 << bit;
            }
            fs::write(path, &left).unwrap();
            // A later format is told by four bytes at the beginning, which no checksum covers.
            if let Ok((files, recovered)) = Files::open(folder.path(), identity(), limits) {
                let journal = Journal::durable(files, &recovered, NARROW, |record, _| Some(Item(record))).unwrap();
                let position = journal.position().0;
                assert!(position >= durable, "{durable} was durable, {position} is left");
                let read = read_all(&journal, 0).await.unwrap();
                assert_eq!(read, lsns.iter().copied().filter(|lsn| *lsn <= position).collect::<Vec<_>>());
                // It goes on as if nothing had been.
                append(&journal, [position + 1]);
                journal.close().await.unwrap();
                drop(journal);
                let journal = open(folder.path(), limits, NARROW);
                assert_eq!(read_all(&journal, position).await.unwrap(), [position + 1]);
            } else {
                assert!(flip.is_some() && safe == 0);
            }
        });
    }

    /// A bad disk: any bit may be another, any file be shorter. What can be read is still a run of what was written.
    #[test]
    fn damage_anywhere_leaves_a_run_of_what_was_written(
        limits in limits(), steps in history(),
        damage in prop::collection::vec((any::<Index>(), any::<Index>(), prop::option::of(0u8..8)), 1..4),
    ) {
        runtime().block_on(async {
            let folder = quick_folder();
            let (lsns, _) = play(folder.path(), limits, &steps, 0).await;
            for (file, at, bit) in damage {
                let all = bytes(folder.path());
                let (path, mut bytes) = all[file.index(all.len())].clone();
                let at = at.index(bytes.len().max(1));
                match bit {
                    Some(bit) if at < bytes.len() => bytes[at] ^= 1 << bit,
                    _ => bytes.truncate(at),
                }
                fs::write(path, bytes).unwrap();
            }
            let Ok((files, recovered)) = Files::open(folder.path(), identity(), limits) else { return };
            if recovered.fresh {
                return;
            }
            let journal = Journal::durable(files, &recovered, NARROW, |record, _| Some(Item(record))).unwrap();
            // Reading finds the rest of the damage, a segment at a time.
            loop {
                let start = journal.start().0;
                match read_all(&journal, start).await {
                    Ok(read) => {
                        let position = journal.position().0;
                        let run = lsns.iter().copied().filter(|lsn| (start + 1..=position).contains(lsn));
                        assert_eq!(read, run.collect::<Vec<_>>());
                        break;
                    }
                    Err(journal::Trimmed) => assert!(journal.start().0 > start),
                }
            }
            let position = journal.position().0;
            append(&journal, [position + 3]);
            assert_eq!(*journal.read_after(Lsn(position), 1).unwrap().0[0], item(position + 3));
        });
    }
}
