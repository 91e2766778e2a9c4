//! The fuzz target on stable Rust: arbitrary bytes, and sessions that are nearly right.

use proptest::{collection::vec, prelude::*, sample::select};

use super::harness;

/// Pieces of messages.
const PIECES: &[&[u8]] = &[
    b"\0",
    b";",
    b" ",
    b"'",
    b"E'",
    b"\\",
    b"\"",
    b"$a$",
    b"/*",
    b"--",
    b"\n",
    b"(",
    b".",
    b"\x95",
    b"\xC3\xA9",
    b"$1",
    b"ELECTRIC ",
    b"ENABLE ",
    b"ALTER TABLE ",
    b"DROP TABLE ",
    b"t",
    b"CALL electric.electrify",
    b"GRANT ",
    b"a",
    b"b",
    b"C42601\0",
    b"P1\0",
    b"P99999999999999999999\0",
    b"M",
    b"client_encoding\0SJIS\0",
    b"S",
    b"P",
    b"\0\0\0\0",
];

fn message() -> impl Strategy<Value = Vec<u8>> {
    let client = select(b"QPBDECSHFdcfX".to_vec()).prop_map(|tag| [0, tag]);
    let server = select(b"CIsZEN123tnTDSGHWdcVA".to_vec()).prop_map(|tag| [1, tag]);
    (prop_oneof![client, server], vec(select(PIECES), 0..8)).prop_map(|(head, pieces)| {
        let body = pieces.concat();
        let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
        [&head[..], &[length], &body[..usize::from(length)]].concat()
    })
}

proptest! {
    #[test]
    fn any_bytes_are_a_session(bytes in vec(any::<u8>(), 0..300)) {
        harness::session(&bytes);
    }

    #[test]
    fn any_messages_are_a_session(choice: u8, messages in vec(message(), 0..40)) {
        harness::session(&[&[choice][..], &messages.concat()].concat());
    }
}

#[test]
fn what_a_fuzzer_begins_with() {
    corpus::play(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/session"), 200, harness::session);
}
