//! The stable twin of `fuzz/fuzz_targets/segment.rs`: any bytes as a segment, and the fuzz target's corpus.

use std::{fs, path::Path};

use change::Lsn;
use journal::FileLimits;
use proptest::{prelude::*, sample::Index};
use tokio::runtime::Builder;

use crate::{
    endure::FILE,
    support::{NARROW, WIDE, append, open, quick_folder, read_all, segments},
};

fn endure(bytes: &[u8]) {
    crate::endure::endure(quick_folder().path(), bytes);
}

/// A sealed segment, and one that is being written.
fn samples() -> Vec<Vec<u8>> {
    let folder = quick_folder();
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let journal = open(folder.path(), FileLimits { bytes: 1 << 30, segment: 4 << 10 }, WIDE);
        append(&journal, 995..1015);
        journal.advance(Lsn(1020));
        journal.note_timeline(2);
        journal.close().await.unwrap();
    });
    segments(folder.path()).iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Where a segment's records begin.
fn records(segment: &[u8]) -> usize {
    20 + u32::from_le_bytes(segment[12..16].try_into().unwrap()) as usize
}

/// A segment as frames without checksums, as the fuzz target takes them.
fn payloads(segment: &[u8]) -> Vec<u8> {
    let mut rest = &segment[records(segment)..];
    let mut payloads = vec![0];
    while let Some((head, tail)) = rest.split_first_chunk::<8>() {
        let len = u32::from_le_bytes(head[..4].try_into().unwrap()) as usize;
        // Nor is the trailer one.
        let Some((payload, tail)) = tail.split_at_checked(len) else { break };
        payloads.extend((len as u16).to_le_bytes());
        payloads.extend(payload);
        rest = tail;
    }
    payloads
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_bytes_are_endured(bytes: Vec<u8>) {
        endure(&bytes);
    }

    #[test]
    fn bytes_after_a_header_are_endured(tail: Vec<u8>) {
        let segment = &samples()[0];
        endure(&[&[FILE], &segment[..records(segment)], &tail].concat());
    }

    #[test]
    fn changed_segments_are_endured(changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..5)) {
        let samples = samples();
        let files = samples.iter().map(|segment| [&[FILE], segment.as_slice()].concat());
        for mut bytes in files.chain(samples.iter().map(|segment| payloads(segment))) {
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            endure(&bytes);
        }
    }
}

fn corpus() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/segment")
}

#[test]
fn the_corpus_and_mutations_of_it_are_endured() {
    ::corpus::play(corpus(), 40, endure);
}

/// What the first release wrote is read by every later one.
#[test]
fn the_first_format_is_still_read() {
    let folder = quick_folder();
    for (n, name) in [(1, "sealed"), (2, "open")] {
        let sample = fs::read(corpus().join(name)).unwrap();
        fs::write(folder.path().join(format!("{n:020}.journal")), &sample[1..]).unwrap();
    }
    let journal = open(folder.path(), FileLimits::new(1 << 30), NARROW);
    let read = Builder::new_current_thread().enable_all().build().unwrap().block_on(read_all(&journal, 0));
    assert_eq!(read.unwrap(), (995..1015).collect::<Vec<_>>());
    assert_eq!(journal.position(), Lsn(1020));
}

/// Not a test: writes the corpus anew to the folder that `JOURNAL_CORPUS` names, for whoever changes the format.
#[test]
fn the_corpus_is_written_where_it_is_asked_for() {
    let Some(folder) = std::env::var_os("JOURNAL_CORPUS") else { return };
    let write = |name: &str, bytes: Vec<u8>| fs::write(Path::new(&folder).join(name), bytes).unwrap();
    let samples = samples();
    for (name, segment) in ["sealed", "open"].iter().zip(&samples) {
        write(name, [&[FILE], segment.as_slice()].concat());
        write(&format!("{name}_payloads"), payloads(segment));
    }
}
