//! Tables that leave the sync, are suspended, and come back.

use super::*;

const REMOVED: &str = r#"{"removed":{"oid":100,"schema":"public","name":"items"}}"#;
const SUSPENDED: &str = r#"{"suspended":{"oid":100,"schema":"public","name":"items","reason":"bent"}}"#;

/// That of the transactions, in 64 bits.
const XID: u64 = (1 << 32) + 7;

fn committed(assembled: Assembled) -> Committed {
    let Assembled::Transaction(committed) = assembled else { panic!("{assembled:?}") };
    *committed
}

fn ops(committed: &Committed) -> usize {
    committed.migration.as_ref().unwrap().ops.len()
}

/// A row whose old image is not whole.
fn key_only() -> Bytes {
    [&[b'D'][..], &ITEMS.to_be_bytes(), b"K", &tuple(&[T("1"), Null])].concat().into()
}

#[test]
fn nothing_is_said_of_a_table_from_the_transaction_on_that_takes_it_out() {
    let mut assembler = assembler();
    let messages =
        [insert(ITEMS, &[T("1"), T("x")]), ddl("2", XID, REMOVED), insert(ITEMS, &[T("2"), T("x")])];
    let removal = committed(run_in(&mut assembler, &messages));
    assert_eq!((ops(&removal), removal.transaction.changes.len()), (0, 0));
    assert_eq!(removal.schema.tables().len(), 0);
    let later = [
        relation(ITEMS, "public", "items", &["other"]),
        insert(ITEMS, &[T("3")]),
        key_only(),
        shadow("3", NATIVE, NATIVE_TAG, Null),
    ];
    assert_eq!(run_in(&mut assembler, &later), Assembled::Empty(Lsn(500)));

    // Back again, with a row of the same transaction.
    let messages = [
        relation(ITEMS, "public", "items", &["id", "note"]),
        ddl("3", XID, SNAPSHOT),
        insert(ITEMS, &[T("4"), T("x")]),
    ];
    let back = committed(run_in(&mut assembler, &messages));
    assert_eq!((ops(&back), back.transaction.changes.len()), (1, 1));
}

#[test]
fn a_suspended_table_may_look_as_it_pleases() {
    let mut assembler = assembler();
    let suspension = committed(run_in(
        &mut assembler,
        &[insert(ITEMS, &[T("1"), T("x")]), ddl("2", XID, SUSPENDED), insert(ITEMS, &[T("2"), T("x")])],
    ));
    assert_eq!((ops(&suspension), suspension.transaction.changes.len()), (0, 0));
    assert_eq!(suspension.schema.table_named("items").unwrap().held_back.as_deref(), Some("bent"));
    let bent = [
        relation(ITEMS, "public", "things", &["number"]),
        relation(SHADOW, "electric", "shadow__public__items", &["number"]),
        insert(ITEMS, &[T("3")]),
        key_only(),
        insert(SHADOW, &[T("3")]),
    ];
    assert_eq!(run_in(&mut assembler, &bent), Assembled::Empty(Lsn(500)));
    let good = [
        relation(ITEMS, "public", "items", &["id", "note"]),
        relation(SHADOW, "electric", "shadow__public__items", &["id", "_tags", "_tag", "_image"]),
        ddl("3", XID, SNAPSHOT),
        insert(ITEMS, &[T("4"), T("x")]),
    ];
    let good = committed(run_in(&mut assembler, &good));
    assert_eq!((ops(&good), good.transaction.changes.len()), (1, 1));
    assert_eq!(show(&good.transaction.changes[0]), "+4,x [postgres_1@0]");
}

#[test]
fn a_restart_does_not_take_a_suspended_table_for_a_sign_of_later_migrations() {
    let mut history = history();
    for (version, json) in [("2", SUSPENDED), ("3", SNAPSHOT)] {
        let json = json.as_bytes().to_vec();
        history.push(version, Xid(9), &[RecordedSnapshot { recorded_ms: 7, json }]);
    }
    let mut assembler = Assembler::new(History { loaded_at: Lsn(1000), ..history });
    assembler.restart(Xid(9), Xid(6));
    let ddl_relation =
        relation(DDL, "electric", "ddl_commands", &["id", "txid", "version", "recorded_at", "snapshot"]);
    run_in(&mut assembler, &[ddl_relation, ddl("2", 7, SUSPENDED)]);
    run_in(
        &mut assembler,
        &[relation(ITEMS, "public", "items", &["id", "extra"]), insert(ITEMS, &[T("1"), Null])],
    );
    assert_eq!(assembler.schema().version.as_deref(), Some("2"));
}

const WIDER: &str = r#"{"name":"more","attnum":3,"type":"text","type_schema":"pg_catalog","typtype":"b","typmod":-1,"sql_type":"text","not_null":false,"collation":null}"#;

/// [`history`], and a migration of transaction 7 that adds a column.
fn wider() -> History {
    let mut history = history();
    let json = SNAPSHOT.replace("}],\n    \"primary_key\"", &format!("}},{WIDER}],\n    \"primary_key\""));
    let json = json.replace(r#""_tag_note""#, r#""_tag_note","more":"_tag_more""#);
    history.push("2", Xid(7), &[RecordedSnapshot { recorded_ms: 7, json: json.into_bytes() }]);
    History { loaded_at: Lsn(1000), ..history }
}

#[test]
fn a_known_migration_that_comes_again_is_told_with_the_schema_before_it() {
    let mut assembler = Assembler::new(wider());
    assembler.restart(Xid(7), Xid(6));
    let messages = [
        relation(DDL, "electric", "ddl_commands", &["id", "txid", "version", "recorded_at", "snapshot"]),
        relation(ITEMS, "public", "items", &["id", "note", "more"]),
        ddl("2", 7, SNAPSHOT),
        insert(ITEMS, &[T("1"), Null, T("x")]),
    ];
    let again = committed(run_in(&mut assembler, &messages));
    assert_eq!(again.before.version.as_deref(), Some("1"));
    assert_eq!(again.schema.version.as_deref(), Some("2"));
    assert_eq!(show(&again.transaction.changes[0]), "+1,∅,x [postgres_1@0]");
}

#[test]
fn a_stream_goes_on_with_the_schema_of_where_it_was() {
    let at = |version| {
        let history = wider().continued_after(version)?;
        let mut assembler = Assembler::new(history);
        assembler.restart(Xid(7), Xid(0));
        Some(assembler.schema().version.clone())
    };
    assert_eq!(at(None), Some(None));
    assert_eq!(at(Some("1")), Some(Some("1".to_owned())));
    assert_eq!(at(Some("2")), Some(Some("2".to_owned())));
    assert_eq!(at(Some("3")), None, "nobody knows of it");
}
