//! What a fuzzer does with arbitrary bytes; shared with `fuzz/`, which has no other code of its own.
//!
//! Each function takes any bytes and panics only if the crate breaks a promise.

use bytes::Bytes;
use change::{Lsn, Xid};
use postgres::{
    assemble::{Assembled, Assembler, History, RecordedSnapshot},
    tag_text::{parse_tag, parse_tags, timestamp_ms},
};

/// The table `items` as its record in `ddl_commands` has it.
const ITEMS: &str = r#"{"enums":[],"table":{"oid":100,"schema":"public","name":"items",
    "columns":[
      {"attnum":1,"name":"id","type":"text","type_schema":"pg_catalog","typtype":"b","typmod":-1,"sql_type":"text","not_null":true,"collation":null},
      {"attnum":2,"name":"note","type":"text","type_schema":"pg_catalog","typtype":"b","typmod":-1,"sql_type":"text","not_null":false,"collation":null}],
    "primary_key":{"name":"items_pkey","columns":["id"]},"foreign_keys":[],"indexes":[],
    "shadow":{"oid":101,"name":"shadow__public__items","tag_columns":{"note":"_tag_note"}}}}"#;

/// Messages of the replication stream, each with its length in two bytes in front, put together as they come. The tables that
/// they are of are known: 100 is synced, 101 its shadow, 102 and 103 are the service's own.
pub fn stream(data: &[u8]) {
    let mut assembler = assembler();
    let mut rest = data;
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let (message, tail) = tail.split_at(length.min(tail.len()));
        match assembler.message(Bytes::copy_from_slice(message)) {
            Ok(Assembled::Transaction(committed)) => {
                for change in &committed.transaction.changes {
                    let images = [change.row.before(), change.row.after()];
                    assert!(images.iter().flatten().all(|row| row.len() < 2_000), "as wide as its table");
                }
            }
            Ok(Assembled::Empty(_) | Assembled::Pending) => {}
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assembler.restart(Xid(1 << 32), Xid(0));
            }
        }
        assembler.reached(Lsn(data.len() as u64));
        rest = tail;
    }
}

fn assembler() -> Assembler {
    let mut history = History::default();
    let json = ITEMS.as_bytes().to_vec();
    history.push("1", Xid(5), &[RecordedSnapshot { recorded_ms: 7, json }]);
    let mut assembler = Assembler::new(history);
    assembler.restart(Xid(1 << 32), Xid(6));
    for (id, namespace, name, columns) in [
        (100, "public", "items", &["id", "note"][..]),
        (101, "electric", "shadow__public__items", &["id", "_tags", "_tag", "_image"]),
        (102, "electric", "acknowledged_client_lsns", &["client_id", "lsn", "ts"]),
        (103, "electric", "ddl_commands", &["id", "txid", "version", "recorded_at", "snapshot"]),
    ] {
        let known = assembler.message(relation(id, namespace, name, columns));
        assert!(matches!(known, Ok(Assembled::Pending)));
    }
    assembler
}

fn relation(id: u32, namespace: &str, name: &str, columns: &[&str]) -> Bytes {
    let mut bytes = vec![b'R'];
    bytes.extend(id.to_be_bytes());
    bytes.extend(format!("{namespace}\0{name}\0f").bytes());
    bytes.extend((columns.len() as u16).to_be_bytes());
    for column in columns {
        bytes.push(0);
        bytes.extend(format!("{column}\0").bytes());
        bytes.extend([0; 8]);
    }
    bytes.into()
}

/// Tags as text.
pub fn tags(data: &[u8]) {
    if let Ok(tags) = parse_tags(data) {
        assert!(tags.len() <= data.len());
    }
    let _ = parse_tag(data);
    let _ = timestamp_ms(data);
}

/// The same on stable Rust, with the corpus and mutations of it.
#[test]
fn what_a_fuzzer_begins_with() {
    let corpus = |target: &str| format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    corpus::play(corpus("stream"), 200, stream);
    corpus::play(corpus("tags"), 200, tags);
}
