//! Transactions put together from synthetic messages.

use change::{Change, RowChange, Tag};
use proptest::prelude::*;

use super::*;

mod evolution;

const ITEMS: u32 = 100;
const SHADOW: u32 = 101;
const ACKNOWLEDGED: u32 = 102;
const DDL: u32 = 103;

const SNAPSHOT: &str = r#"{"enums":[],"table":{"oid":100,"schema":"public","name":"items",
    "columns":[
      {"attnum":1,"name":"id","type":"text","type_schema":"pg_catalog","typtype":"b","typmod":-1,"sql_type":"text","not_null":true,"collation":null},
      {"attnum":2,"name":"note","type":"text","type_schema":"pg_catalog","typtype":"b","typmod":-1,"sql_type":"text","not_null":false,"collation":null}],
    "primary_key":{"name":"items_pkey","columns":["id"]},"foreign_keys":[],"indexes":[],
    "shadow":{"oid":101,"name":"shadow__public__items","tag_columns":{"note":"_tag_note"}}}}"#;

const NATIVE: &str = r#"{"(\"2023-06-06 00:00:00+00\",)"}"#;
const NATIVE_TAG: &str = r#"("2023-06-06 00:00:00+00",)"#;
const NATIVE_MS: i64 = 1_686_009_600_000;

/// A value in a tuple.
#[derive(Clone, Copy)]
enum V<'a> {
    Null,
    Toast,
    T(&'a str),
}
use V::{Null, T, Toast};

fn tuple(values: &[V<'_>]) -> Vec<u8> {
    let mut bytes = (values.len() as u16).to_be_bytes().to_vec();
    for value in values {
        match value {
            Null => bytes.push(b'n'),
            Toast => bytes.push(b'u'),
            T(text) => {
                bytes.push(b't');
                bytes.extend((text.len() as u32).to_be_bytes());
                bytes.extend(text.bytes());
            }
        }
    }
    bytes
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

fn insert(id: u32, new: &[V<'_>]) -> Bytes {
    [&[b'I'][..], &id.to_be_bytes(), b"N", &tuple(new)].concat().into()
}

fn update(id: u32, old: &[V<'_>], new: &[V<'_>]) -> Bytes {
    [&[b'U'][..], &id.to_be_bytes(), b"O", &tuple(old), b"N", &tuple(new)].concat().into()
}

fn delete(id: u32, old: &[V<'_>]) -> Bytes {
    [&[b'D'][..], &id.to_be_bytes(), b"O", &tuple(old)].concat().into()
}

fn truncate(id: u32) -> Bytes {
    [&[b'T'][..], &1u32.to_be_bytes(), &[0], &id.to_be_bytes()].concat().into()
}

fn shadow(id: &str, tags: &str, tag: &str, image: V<'_>) -> Bytes {
    insert(SHADOW, &[T(id), T(tags), T(tag), image])
}

fn begin(xid: u32) -> Bytes {
    [&[b'B'][..], &0u64.to_be_bytes(), &0i64.to_be_bytes(), &xid.to_be_bytes()].concat().into()
}

/// Commits 2.5 ms after 2000-01-01.
fn commit(end: u64) -> Bytes {
    [&[b'C', 0][..], &0u64.to_be_bytes(), &end.to_be_bytes(), &2500i64.to_be_bytes()].concat().into()
}

fn history() -> History {
    let mut history = History::default();
    let json = SNAPSHOT.as_bytes().to_vec();
    history.push("1", Xid(5), &[RecordedSnapshot { recorded_ms: 7, json }]);
    history
}

fn assembler() -> Assembler {
    let mut assembler = Assembler::new(history());
    assembler.restart(Xid(1 << 32), Xid(6));
    for message in [
        relation(ITEMS, "public", "items", &["id", "note"]),
        relation(SHADOW, "electric", "shadow__public__items", &["id", "_tags", "_tag", "_image"]),
        relation(ACKNOWLEDGED, "electric", "acknowledged_client_lsns", &["client_id", "lsn", "ts"]),
        relation(DDL, "electric", "ddl_commands", &["id", "txid", "version", "recorded_at", "snapshot"]),
        relation(900, "electric", "transaction_marker", &["id", "content"]),
    ] {
        assert_eq!(assembler.message(message), Ok(Assembled::Pending));
    }
    assembler
}

fn run_in(assembler: &mut Assembler, messages: &[Bytes]) -> Assembled {
    assert_eq!(assembler.message(begin(7)), Ok(Assembled::Pending));
    for message in messages {
        assert_eq!(assembler.message(message.clone()), Ok(Assembled::Pending));
    }
    assembler.message(commit(500)).unwrap()
}

fn run(messages: &[Bytes]) -> Assembled {
    run_in(&mut assembler(), messages)
}

/// The changes, one a line: `+` new, `-` old, `~` old → new, with tags.
fn changes(messages: &[Bytes]) -> Vec<String> {
    match run(messages) {
        Assembled::Transaction(committed) => committed.transaction.changes.iter().map(show).collect(),
        Assembled::Empty(_) => Vec::new(),
        Assembled::Pending => panic!("the commit is missing"),
    }
}

fn show(change: &Change) -> String {
    let row = |row: &change::Row| {
        let text =
            |value: Option<&[u8]>| value.map_or("∅".into(), |v| String::from_utf8_lossy(v).into_owned());
        row.iter().map(text).collect::<Vec<_>>().join(",")
    };
    let tags = |tags: &change::Tags| tags.iter().map(Tag::to_string).collect::<Vec<_>>().join(" ");
    match &change.row {
        RowChange::Insert { new, tags: t } => format!("+{} [{}]", row(new), tags(t)),
        RowChange::Update { old, new, tags: t } => format!("~{} → {} [{}]", row(old), row(new), tags(t)),
        RowChange::Delete { old } => format!("-{}", row(old)),
    }
}

#[test]
fn a_single_change_comes_with_its_tags() {
    let insert = insert(ITEMS, &[T("1"), Null]);
    let Assembled::Transaction(committed) = run(&[insert, shadow("1", NATIVE, NATIVE_TAG, Null)]) else {
        panic!()
    };
    let transaction = &committed.transaction;
    assert_eq!(show(&transaction.changes[0]), format!("+1,∅ [postgres_1@{NATIVE_MS}]"));
    assert_eq!(transaction.lsn, Lsn(500));
    assert_eq!(transaction.xid, Xid((1 << 32) + 7));
    assert_eq!(transaction.origin, Origin::Postgres);
    assert_eq!(transaction.commit_ms, NATIVE_MS as u64);
    assert_eq!(committed.migration, None);
    assert_eq!(committed.schema.version.as_deref(), Some("1"));
}

#[test]
fn changes_of_one_row_fold_to_one() {
    let (a, b, c) = ([T("1"), T("a")], [T("1"), T("b")], [T("1"), T("c")]);
    for (messages, net) in [
        (vec![insert(ITEMS, &a), update(ITEMS, &a, &b)], vec!["+1,b [postgres_1@0]"]),
        (vec![insert(ITEMS, &a), delete(ITEMS, &a)], vec![]),
        (vec![update(ITEMS, &a, &b), update(ITEMS, &b, &c)], vec!["~1,a → 1,c [postgres_1@0]"]),
        (vec![update(ITEMS, &a, &b), delete(ITEMS, &b)], vec!["-1,a"]),
        (vec![delete(ITEMS, &a), insert(ITEMS, &b)], vec!["~1,a → 1,b [postgres_1@0]"]),
        (vec![delete(ITEMS, &a), insert(ITEMS, &b), delete(ITEMS, &b)], vec!["-1,a"]),
        (vec![update(ITEMS, &a, &a)], vec!["~1,a → 1,a [postgres_1@0]"]),
    ] {
        assert_eq!(changes(&messages), net);
    }
}

#[test]
fn rows_come_in_the_order_of_their_last_change() {
    let (one, two) = ([T("1"), T("x")], [T("2"), T("x")]);
    let messages = [insert(ITEMS, &one), insert(ITEMS, &two), update(ITEMS, &one, &[T("1"), T("y")])];
    assert_eq!(changes(&messages), ["+2,x [postgres_1@0]", "+1,y [postgres_1@0]"]);

    // That its tags are written is no change of a row.
    let tags = [shadow("1", NATIVE, NATIVE_TAG, Null), shadow("2", NATIVE, NATIVE_TAG, Null)];
    let [tag_one, tag_two] = tags;
    let tag = format!("[postgres_1@{NATIVE_MS}]");
    let expected = [format!("+1,x {tag}"), format!("+2,x {tag}")];
    assert_eq!(changes(&[tag_two, insert(ITEMS, &one), insert(ITEMS, &two), tag_one]), expected);

    // A row that is gone already does not go again.
    let dead = |id| shadow(id, "{}", NATIVE_TAG, T(r#"{"id":"9","note":null}"#));
    let messages = [delete(ITEMS, &one), delete(ITEMS, &two), dead("9"), dead("1"), truncate(ITEMS)];
    assert_eq!(changes(&messages), ["-1,x", "-2,x", "-9,∅"]);
    let messages =
        [dead("9"), insert(ITEMS, &two), update(ITEMS, &one, &one), truncate(ITEMS), insert(ITEMS, &two)];
    assert_eq!(changes(&messages), ["-9,∅", "-1,x", "+2,x [postgres_1@0]"]);
}

#[test]
fn a_new_key_is_another_row() {
    let messages = [
        update(ITEMS, &[T("1"), T("a")], &[T("2"), T("a")]),
        shadow("1", "{}", NATIVE_TAG, T(r#"{"id":"1","note":"a"}"#)),
        shadow("2", NATIVE, NATIVE_TAG, Null),
    ];
    assert_eq!(changes(&messages), ["-1,a".to_owned(), format!("+2,a [postgres_1@{NATIVE_MS}]")]);
}

#[test]
fn keys_may_change_places() {
    let rows = |id: &'static str, note: &'static str| [T(id), T(note)];
    let messages = [
        update(ITEMS, &rows("1", "a"), &rows("3", "a")),
        update(ITEMS, &rows("2", "b"), &rows("1", "b")),
        update(ITEMS, &rows("3", "a"), &rows("2", "a")),
    ];
    assert_eq!(
        changes(&messages),
        ["~1,a → 1,b [postgres_1@0]", "~2,b → 2,a [postgres_1@0]"].map(String::from)
    );
}

#[test]
fn large_values_that_did_not_change_come_from_the_old_row() {
    let messages = [
        update(ITEMS, &[T("1"), T("large")], &[T("1"), Toast]),
        update(ITEMS, &[T("k"), T("n")], &[Toast, T("m")]),
    ];
    assert_eq!(changes(&messages), ["~1,large → 1,large [postgres_1@0]", "~k,n → k,m [postgres_1@0]"]);
}

#[test]
fn truncated_rows_are_deleted_with_the_images_they_left() {
    let image = T(r#"{"id":"1","note":null}"#);
    let dead = shadow("1", "{}", NATIVE_TAG, image);
    let one = [T("1"), T("z")];
    assert_eq!(changes(&[dead.clone(), truncate(ITEMS)]), ["-1,∅"]);
    let again = [dead.clone(), truncate(ITEMS), insert(ITEMS, &one), shadow("1", NATIVE, NATIVE_TAG, Null)];
    assert_eq!(changes(&again), [format!("~1,∅ → 1,z [postgres_1@{NATIVE_MS}]")]);
    assert!(changes(&[insert(ITEMS, &one), dead.clone(), truncate(ITEMS)]).is_empty());
    let updated = [update(ITEMS, &[T("1"), T("y")], &one), dead, truncate(ITEMS)];
    assert_eq!(changes(&updated), ["-1,y"]);
}

#[test]
fn what_is_nothing_for_clients_only_moves_the_position() {
    let dead = shadow("1", "{}", NATIVE_TAG, T(r#"{"id":"1","note":null}"#));
    let bookkeeping = insert(900, &[T("a"), Null]);
    for messages in [vec![], vec![dead], vec![bookkeeping]] {
        assert_eq!(run(&messages), Assembled::Empty(Lsn(500)));
    }
}

#[test]
fn a_clients_transaction_carries_its_author_and_time() {
    let mark = insert(ACKNOWLEDGED, &[T("client-1"), T("\\x01"), T("1234")]);
    let tags = r#"{"(\"1970-01-01 00:00:01.234+00\",client-1)"}"#;
    let tag = r#"("1970-01-01 00:00:01.234+00",client-1)"#;
    let messages = [mark.clone(), insert(ITEMS, &[T("1"), Null]), shadow("1", tags, tag, Null)];
    let Assembled::Transaction(committed) = run(&messages) else { panic!() };
    assert_eq!(committed.transaction.origin.as_str(), "client-1");
    assert_eq!(committed.transaction.commit_ms, 1234);
    assert_eq!(show(&committed.transaction.changes[0]), "+1,∅ [client-1@1234]");

    // An echo comes without any change, too.
    let Assembled::Transaction(committed) = run(&[mark]) else { panic!() };
    assert_eq!(committed.transaction.origin.as_str(), "client-1");
    assert!(committed.transaction.changes.is_empty());
}

#[test]
fn a_note_in_the_shadow_of_a_live_row_says_that_its_author_wrote_blindly() {
    let tags = r#"{"(\"1970-01-01 00:00:01.234+00\",client-1)"}"#;
    let tag = r#"("1970-01-01 00:00:01.234+00",client-1)"#;
    let note = T(r#"{"": "blind"}"#);
    let blind = |messages: &[Bytes]| match run(messages) {
        Assembled::Transaction(committed) => committed.transaction.changes[0].blind,
        other => panic!("{other:?}"),
    };
    let one = [T("1"), T("z")];
    assert!(blind(&[insert(ITEMS, &one), shadow("1", tags, tag, note)]));
    assert!(blind(&[update(ITEMS, &[T("1"), T("y")], &one), shadow("1", tags, tag, note)]));
    // A transaction that is applied one operation after the other says it once.
    let later = update(ITEMS, &one, &[T("1"), T("x")]);
    assert!(blind(&[insert(ITEMS, &one), shadow("1", tags, tag, note), later, shadow("1", tags, tag, Null)]));
    assert!(!blind(&[insert(ITEMS, &one), shadow("1", tags, tag, Null)]));
    // A dead row's image is another thing.
    let image = T(r#"{"": null, "id": "1", "note": "z"}"#);
    assert!(!blind(&[shadow("1", "{}", tag, image)]));
}

#[test]
fn without_tags_the_time_is_the_commits() {
    let Assembled::Transaction(committed) = run(&[insert(ITEMS, &[T("1"), Null])]) else { panic!() };
    assert_eq!(committed.transaction.commit_ms, 946_684_800_002);
}

fn ddl(version: &str, xid: u64, json: &str) -> Bytes {
    insert(DDL, &[T("1"), T(&xid.to_string()), T(version), T("1970-01-01 00:00:07+00"), T(json)])
}

#[test]
fn a_migration_changes_the_schema_for_its_own_transaction() {
    let column = r#"{"attnum":3,"name":"more","type":"int4","type_schema":"pg_catalog","typtype":"b","typmod":-1,"sql_type":"integer","not_null":false,"collation":null}],"primary_key""#;
    let wider = SNAPSHOT.replace("],\n    \"primary_key\"", &format!(",{column}"));
    let wider = wider.replace("\"_tag_note\"", "\"_tag_note\",\"more\":\"_tag_more\"");
    schema::parse(wider.as_bytes()).expect("a proper snapshot");
    let xid = (1 << 32) + 7;
    let mut assembler = assembler();
    let messages = [
        // The version may follow later, and then a large snapshot is not repeated.
        insert(DDL, &[T("1"), T(&xid.to_string()), Null, T("1970-01-01 00:00:07+00"), T(&wider)]),
        update(
            DDL,
            &[T("1"), Null, Null, Null, Null],
            &[T("1"), T(&xid.to_string()), T("2"), T("1970-01-01 00:00:07+00"), Toast],
        ),
        insert(ITEMS, &[T("0"), T("x")]),
        relation(ITEMS, "public", "items", &["id", "note", "more"]),
        insert(ITEMS, &[T("1"), T("x"), T("5")]),
    ];
    let Assembled::Transaction(committed) = run_in(&mut assembler, &messages) else { panic!() };
    assert_eq!(committed.schema.version.as_deref(), Some("2"));
    let migration = committed.migration.as_ref().unwrap();
    assert_eq!((migration.version.as_str(), migration.xid, migration.recorded_ms), ("2", Xid(xid), 7000));
    assert_eq!(committed.transaction.changes.len(), 2);
    assert_eq!(show(&committed.transaction.changes[0]), "+0,x,∅ [postgres_1@0]");
    assert_eq!(show(&committed.transaction.changes[1]), "+1,x,5 [postgres_1@0]");
}

#[test]
fn a_table_may_be_filled_in_the_transaction_that_makes_it_synced() {
    let mut assembler = Assembler::new(History::default());
    assembler.restart(Xid(0), Xid(0));
    let messages = [
        relation(ITEMS, "public", "items", &["id", "note"]),
        insert(ITEMS, &[T("1"), T("x")]),
        relation(SHADOW, "electric", "shadow__public__items", &["id", "_tags", "_tag", "_image"]),
        shadow("1", NATIVE, NATIVE_TAG, Null),
        relation(DDL, "electric", "ddl_commands", &["id", "txid", "version", "recorded_at", "snapshot"]),
        ddl("1", 7, SNAPSHOT),
    ];
    let Assembled::Transaction(committed) = run_in(&mut assembler, &messages) else { panic!() };
    assert_eq!(show(&committed.transaction.changes[0]), format!("+1,x [postgres_1@{NATIVE_MS}]"));
    assert!(committed.migration.is_some());
}

#[test]
fn known_migrations_are_passed_again_after_a_restart() {
    // The slot stands before the migration.
    let mut assembler = Assembler::new(History { loaded_at: Lsn(1000), ..history() });
    assembler.restart(Xid(7), Xid(5));
    assert_eq!(assembler.schema().version, None);
    let ddl_relation =
        relation(DDL, "electric", "ddl_commands", &["id", "txid", "version", "recorded_at", "snapshot"]);
    let messages = [ddl_relation, ddl("1", 7, SNAPSHOT)];
    let Assembled::Transaction(committed) = run_in(&mut assembler, &messages) else { panic!() };
    assert_eq!(committed.migration, Some(Arc::clone(&history().steps[0].migration)));
    assert_eq!(committed.schema.version.as_deref(), Some("1"));
    assert_eq!(assembler.schema().version.as_deref(), Some("1"));
}

#[test]
fn a_known_migration_behind_the_stream_is_found_by_what_it_explains() {
    let mut assembler = Assembler::new(History { loaded_at: Lsn(1000), ..history() });
    assembler.restart(Xid(7), Xid(5));
    let messages = [relation(ITEMS, "public", "items", &["id", "note"]), insert(ITEMS, &[T("1"), Null])];
    let Assembled::Transaction(committed) = run_in(&mut assembler, &messages) else { panic!() };
    assert_eq!(committed.migration, None);
    assert_eq!(committed.schema.version.as_deref(), Some("1"));

    let mut assembler = Assembler::new(History { loaded_at: Lsn(1000), ..history() });
    assembler.restart(Xid(7), Xid(5));
    assembler.reached(Lsn(999));
    assert_eq!(assembler.schema().version, None);
    assembler.reached(Lsn(1000));
    assert_eq!(assembler.schema().version.as_deref(), Some("1"));
}

#[test]
fn many_rows_are_told_apart() {
    let ids: Vec<String> = (0..1000).map(|id| id.to_string()).collect();
    let mut messages: Vec<Bytes> = ids.iter().map(|id| insert(ITEMS, &[T(id), T("a")])).collect();
    messages.extend(ids.iter().map(|id| update(ITEMS, &[T(id), T("a")], &[T(id), T("b")])));
    messages.extend(ids.iter().step_by(2).map(|id| delete(ITEMS, &[T(id), T("b")])));
    let changes = changes(&messages);
    assert_eq!(changes.len(), 500);
    assert_eq!(changes[499], "+999,b [postgres_1@0]");
}

#[test]
fn refuses_to_guess() {
    let mut assembler = assembler();
    let key_only: Bytes = [&[b'D'][..], &ITEMS.to_be_bytes(), b"K", &tuple(&[T("1"), Null])].concat().into();
    assembler.message(begin(1)).unwrap();
    assembler.message(key_only).unwrap();
    assert_eq!(assembler.message(commit(1)), Err(AssembleError::IdentityLost { table: "items".into() }));

    assembler.restart(Xid(1), Xid(1));
    assert!(matches!(assembler.message(insert(ITEMS, &[T("1")])), Err(AssembleError::OutOfOrder(_))));
    assert!(matches!(assembler.message(commit(1)), Err(AssembleError::OutOfOrder(_))));
    assembler.message(begin(1)).unwrap();
    assert!(matches!(assembler.message(begin(1)), Err(AssembleError::OutOfOrder(_))));
}

/// What one row goes through in a model of a transaction.
#[derive(Clone, Debug)]
enum Deed {
    Put(u8, u8),
    Take(u8),
    Move(u8, u8),
}

fn steps() -> impl Strategy<Value = Vec<Deed>> {
    let step = prop_oneof![
        (0u8..12, any::<u8>()).prop_map(|(id, note)| Deed::Put(id, note)),
        (0u8..12).prop_map(Deed::Take),
        (0u8..12, 0u8..12).prop_map(|(from, to)| Deed::Move(from, to)),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// Applying the net changes to the rows before gives the rows after, with each row named once, in the order of its last
    /// change.
    #[test]
    fn the_net_changes_lead_from_before_to_after(before in prop::collection::btree_map(0u8..12, any::<u8>(), 0..8), steps in steps()) {
        let mut rows = before.clone();
        let mut messages = Vec::new();
        let text = |n: &u8| n.to_string();
        let mut order: Vec<u8> = Vec::new();
        for step in &steps {
            let touched = match step {
                Deed::Put(id, _) => vec![*id],
                Deed::Take(id) if rows.contains_key(id) => vec![*id],
                Deed::Move(from, to) if rows.contains_key(from) && !rows.contains_key(to) => vec![*from, *to],
                _ => Vec::new(),
            };
            order.retain(|id| !touched.contains(id));
            order.extend(touched);
            match step {
                Deed::Put(id, note) => {
                    let (id_text, note_text) = (text(id), text(note));
                    let new = [T(&id_text), T(&note_text)];
                    messages.push(match rows.insert(*id, *note) {
                        None => insert(ITEMS, &new),
                        Some(old) => update(ITEMS, &[T(&id_text), T(&text(&old))], &new),
                    });
                }
                Deed::Take(id) => if let Some(old) = rows.remove(id) {
                    messages.push(delete(ITEMS, &[T(&text(id)), T(&text(&old))]));
                },
                Deed::Move(from, to) => if !rows.contains_key(to) && let Some(note) = rows.remove(from) {
                    rows.insert(*to, note);
                    messages.push(update(ITEMS, &[T(&text(from)), T(&text(&note))], &[T(&text(to)), T(&text(&note))]));
                },
            }
        }
        let mut folded = before;
        if let Assembled::Transaction(committed) = run(&messages) {
            let mut seen = Vec::new();
            let number = |row: &change::Row, column| -> u8 {
                std::str::from_utf8(row.get(column).unwrap()).unwrap().parse().unwrap()
            };
            for change in &committed.transaction.changes {
                let row = change.row.after().or(change.row.before()).unwrap();
                seen.push(number(row, 0));
                match &change.row {
                    RowChange::Insert { new, .. } => prop_assert!(folded.insert(number(new, 0), number(new, 1)).is_none()),
                    RowChange::Update { old, new, .. } => {
                        prop_assert_eq!(number(old, 0), number(new, 0));
                        prop_assert_eq!(folded.insert(number(new, 0), number(new, 1)), Some(number(old, 1)));
                    }
                    RowChange::Delete { old } => prop_assert_eq!(folded.remove(&number(old, 0)), Some(number(old, 1))),
                }
            }
            order.retain(|id| seen.contains(id));
            prop_assert_eq!(seen, order);
        }
        prop_assert_eq!(folded, rows);
    }

    /// Whatever the messages hold, there is an answer.
    #[test]
    fn mangled_messages_do_not_panic(at in 0usize..400, byte: u8, cut in 0usize..20) {
        let good = [
            begin(1),
            insert(ITEMS, &[T("1"), T("a")]),
            shadow("1", NATIVE, NATIVE_TAG, T("{}")),
            update(ITEMS, &[T("1"), T("a")], &[T("1"), Toast]),
            insert(ACKNOWLEDGED, &[T("c"), T("x"), T("1")]),
            ddl("2", 7, SNAPSHOT),
            truncate(ITEMS),
            commit(9),
        ];
        let mut assembler = assembler();
        let mut offset = at;
        for message in good {
            let mut bytes = message.to_vec();
            if offset < bytes.len() {
                bytes[offset] = byte;
                bytes.truncate(bytes.len() - cut.min(bytes.len()));
            }
            offset = offset.wrapping_sub(message.len());
            if assembler.message(bytes.into()).is_err() {
                break;
            }
        }
    }
}
