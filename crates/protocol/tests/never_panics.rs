//! The fuzz targets on stable Rust: arbitrary bytes, and op logs that are nearly right.

use proptest::{collection::vec, prelude::*, sample::select};
use protocol::Message;

use super::{
    harness,
    support::{begin, commit, compensation, delete, insert, log, row, update},
};

/// Texts at the edges of the grammars, and any other.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let edges = [
        "",
        "t",
        "1",
        "-",
        "+0",
        "2147483647",
        "-2147483649",
        "1e400",
        "0.6e-45",
        "inf",
        "-iNf",
        "NaN",
        "infinity",
        "1e",
        "2023-08-14",
        "2023-02-30",
        "0044-03-15 BC",
        "24:00:00",
        "23:59:59.9999999",
        "2023-08-14 14:01:28.848Z",
        "2023-08-14T14:01:28+02:00",
        "294277-01-01 00:00:00",
        "A",
        "null",
        "{\"a\":[1,2]}",
        "\"\\ud83d\"",
        "[[[[",
        "1e131072",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "-infinity",
        "é",
        "\u{0}",
    ];
    prop_oneof![
        4 => select(edges.map(|text| text.as_bytes().to_vec()).to_vec()),
        1 => vec(any::<u8>(), 0..12),
        1 => "[-+0-9eE.:TZ BCinfty\\[\\]{}\",\\\\u]{0,24}".prop_map(String::into_bytes),
    ]
}

fn sat_row() -> impl Strategy<Value = Option<protocol::wire::SatOpRow>> {
    let key = select(vec![b"1".to_vec(), b"2".to_vec(), b"x".to_vec()]);
    (key, vec(proptest::option::of(value()), 14..17)).prop_map(|(key, rest)| {
        let values: Vec<Option<&[u8]>> =
            std::iter::once(Some(&key[..])).chain(rest.iter().map(Option::as_deref)).collect();
        row(&values)
    })
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
        harness::frame(&bytes);
        harness::op_log(&bytes);
    }

    #[test]
    fn any_payload_of_a_known_type_is_a_message_or_an_error(
        code in select(vec![0u8, 9, 10, 14, 15, 17, 21, 22, 23, 24]),
        payload in vec(prop_oneof![Just(0x0au8), Just(0x12), Just(0x1a), Just(0x22), 0u8..8, any::<u8>()], 0..60),
    ) {
        let bytes = [&[code], &payload[..]].concat();
        harness::frame(&bytes);
        harness::op_log(&payload);
    }

    #[test]
    fn nearly_right_op_logs_are_decoded_or_refused(
        rows in vec((sat_row(), sat_row(), 0..5u8), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let ops = rows.into_iter().map(|(old, new, kind)| match kind {
            0 => insert(0, new, &["c@1"]),
            1 => update(0, old, new, &["c@1", "postgres_1@0"]),
            2 => delete(0, old, &[]),
            3 => compensation(0, new, &["@"]),
            _ => update(0, new.clone(), new, &[]),
        });
        let log = log([begin(1, 1)].into_iter().chain(ops).chain([commit()]));
        harness::op_log(log.as_bytes());
        let frame = Message::OpLog(log.clone()).encode();
        prop_assert_eq!(Message::decode(frame), Ok(Message::OpLog(log.clone())));
        harness::op_log(&log.as_bytes()[..cut.index(log.as_bytes().len())]);
    }
}

#[test]
fn what_a_fuzzer_begins_with() {
    let corpus = |target: &str| format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    corpus::play(corpus("frame"), 200, harness::frame);
    corpus::play(corpus("op_log"), 200, harness::op_log);
}
