//! The stable twin of a fuzz target: its corpus, and what a fuzzer would first make of it, in ordinary tests.
//!
//! A fuzz target of a crate is a function of bytes that lies in the crate's tests, so that both can call it, and its corpus is a
//! folder of small files, `fuzz/corpus/<target>`, each named by what it holds. [`play`] hands every file to the function, then
//! mutations of it. They come from a fixed seed: a failure comes again. `FUZZ_ROUNDS` says how many mutations of each file
//! there are, if they are to be more than the test asks for.
//!
//! What coverage finds on nightly Rust goes to another folder (see CONTRIBUTING.md); what failed becomes a file of the corpus.

use std::{env, fs, panic, path::Path};

/// The most bytes that a mutation has: as many as libFuzzer makes by itself.
const MAX_LEN: usize = 4096;

/// Hands all files of the folder to `target`, in the order of their names, and of each so many mutations.
///
/// # Panics
/// If `target` does, after the input was printed as a Rust literal; if there is no file.
#[track_caller]
pub fn play(folder: impl AsRef<Path>, rounds: usize, target: impl Fn(&[u8])) {
    let files = read(folder.as_ref());
    assert!(!files.is_empty(), "a corpus lies in {}", folder.as_ref().display());
    let asked = env::var("FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let mut chance = Chance(1);
    for (name, bytes) in &files {
        attempt(name, bytes, &target);
        for _ in 0..asked.unwrap_or(rounds) {
            let other = &files[chance.below(files.len())].1;
            attempt(name, &mutation(bytes, other, &mut chance), &target);
        }
    }
}

fn read(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let paths = entries.map(|entry| entry.path()).filter(|path| path.is_file());
    let mut files: Vec<_> = paths
        .filter_map(|path| Some((path.file_name()?.to_string_lossy().into_owned(), fs::read(&path).ok()?)))
        .collect();
    files.sort();
    files
}

fn attempt(name: &str, bytes: &[u8], target: &impl Fn(&[u8])) {
    let run = panic::AssertUnwindSafe(|| target(bytes));
    if let Err(failure) = panic::catch_unwind(run) {
        eprintln!("made of {name}, this fails: b\"{}\"", bytes.escape_ascii());
        panic::resume_unwind(failure);
    }
}

/// Some bytes of `bytes` changed, left out, repeated, or taken from `other`.
fn mutation(bytes: &[u8], other: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len() + 1);
        let end = (at + 1 + chance.below(8)).min(bytes.len());
        match chance.below(8) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            2 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'\'', b' ', b'0'][chance.below(8)],
            3 => bytes.insert(at, chance.below(256) as u8),
            4 => drop(bytes.drain(at..end.max(at))),
            5 => {
                let part = bytes.get(at..end).unwrap_or_default().to_vec();
                let times = 1 + chance.below(3);
                bytes.splice(at..at, part.repeat(times));
            }
            6 if !other.is_empty() => {
                let from = chance.below(other.len());
                let to = (from + 1 + chance.below(24)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            7 if chance.below(4) == 0 => bytes.truncate(at),
            _ => {}
        }
    }
    bytes.truncate(MAX_LEN);
    bytes
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn files_are_played_as_they_are_and_mutated_the_same_each_time() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        let run = || {
            let seen = RefCell::new(Vec::new());
            play(folder, 50, |bytes| seen.borrow_mut().push(bytes.to_vec()));
            seen.into_inner()
        };
        let (first, second) = (run(), run());
        assert_eq!(first[0], include_bytes!("lib.rs"));
        assert!(first.len() > 50 && first == second);
        let others: std::collections::BTreeSet<_> = first.iter().collect();
        assert!(others.len() > 40, "mutations differ");
        assert!(first[1..].iter().all(|bytes| bytes.len() <= MAX_LEN));
    }

    #[test]
    #[should_panic(expected = "a corpus lies in")]
    fn a_corpus_has_files() {
        play("/nowhere", 1, |_| {});
    }
}
