//! What is kept of refused transactions, and what an operator can do about them.

use bytes::Bytes;
use change::{Change, ClientOp, ClientOpKind, Field, RowChange};
use postgres::{
    connection::ConnectConfig,
    replication::Event,
    writer::{
        Applied, Limits,
        rejected::{Desk, DeskError, MAX_BYTES, MAX_OF_CLIENT},
    },
};

use super::{
    super::stream::{Synced, replica::Replica},
    fixture::{Fixture, clearing, fresh_client, text, tx},
};

const TABLE: &str =
    "CREATE TABLE t (id int PRIMARY KEY, v text, n int CONSTRAINT few CHECK (n < 100), m text)";

async fn desk(fixture: &Fixture) -> Desk {
    let (config, _) = ConnectConfig::parse(&fixture.db.url, Some(false), None).expect("a connection string");
    Desk::open(config, Limits::default()).await.expect("a desk")
}

const DROP: &str = "ALTER TABLE t DROP CONSTRAINT few";
const PUT_BACK: &str = "ALTER TABLE t ADD CONSTRAINT few CHECK (n < 100) NOT VALID";

#[tokio::test]
async fn one_entry_however_often_it_is_sent_until_it_gets_through() {
    let fixture = Fixture::new(TABLE, &["t"]).await;
    let (writer, client) = (fixture.writer(2), fixture.db.client().await);
    let (poor, other) = (fresh_client(), fresh_client());
    let mut bad = fixture.insert("t", &["1", "it's \"x\" \u{1F600}", "4711", "null"]);
    bad.clear = [format!("{poor}@7").parse().expect("a tag")].into_iter().collect();
    let bad = tx(&poor, 5, [bad, fixture.delete("t", "9")]);
    for n in 1..=3 {
        let refused = writer.apply(&bad).await.expect_err("refused");
        assert_eq!(
            (refused.about.table.as_deref(), refused.about.constraint.as_deref()),
            (Some("t"), Some("few"))
        );
        // Nobody else notices.
        let good = tx(&other, n, [fixture.insert("t", &[&(n + 10).to_string()])]);
        assert_eq!(writer.apply(&good).await, Ok(Applied::Committed));
    }
    let mut desk = desk(&fixture).await;
    let [entry] = &desk.list(false).await.expect("a list")[..] else { panic!("one entry") };
    assert_eq!(
        (entry.client.as_str(), entry.lsn, entry.timestamp_ms, entry.tries),
        (poor.as_str(), 5, 5000, 3)
    );
    assert_eq!((entry.sqlstate.as_str(), entry.state.as_str(), entry.complete), ("23514", "waiting", true));
    let shown = desk.show(entry.id).await.expect("the entry");
    let operations: serde_json::Value =
        serde_json::from_str(&shown.operations.expect("its operations")).expect("JSON");
    assert_eq!(
        operations,
        serde_json::json!([
            { "op": "insert", "table": "t", "row": { "id": "1", "v": "it's \"x\" \u{1F600}", "n": "4711", "m": null },
              "wrote": ["v", "n", "m"], "saw": [format!("{poor}@7")] },
            { "op": "delete", "table": "t", "row": { "id": "9" }, "wrote": [], "saw": [] },
        ])
    );
    assert!(
        matches!(desk.retry(entry.id).await, Err(DeskError::Refused(refused)) if refused.sqlstate == "23514")
    );
    assert_eq!(desk.show(entry.id).await.expect("the entry").tries, 4);

    testkit::unguarded(&client, DROP).await;
    // By a service that has been started anew meanwhile, too.
    assert_eq!(fixture.writer(1).apply(&bad).await, Ok(Applied::Committed));
    assert_eq!(desk.list(false).await.expect("a list"), []);
    let [entry] = &desk.list(true).await.expect("a list")[..] else { panic!("one entry") };
    assert_eq!(entry.state, "applied");
    assert!(entry.settled_at.is_some());
    for error in [desk.retry(entry.id).await, desk.discard(entry.id).await] {
        assert!(matches!(error, Err(DeskError::Settled(how)) if how == "applied"));
    }
    assert!(matches!(desk.show(4711).await, Err(DeskError::Unknown(4711))));
}

#[tokio::test]
async fn a_retry_is_what_the_client_would_have_got() {
    let fixture = Fixture::new(TABLE, &["t"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    writer.apply(&tx(&author, 1, [fixture.insert("t", &["1", "a", "1", "x"])])).await.expect("applied");
    let seen = format!("{author}@1000");
    let update = clearing(fixture.op(ClientOpKind::Update, "t", &["1", "-", "4711", "null"]), &[&seen]);
    let bad = tx(&author, 2, [update]);
    writer.apply(&bad).await.expect_err("refused");
    testkit::unguarded(&client, DROP).await;
    let mut desk = desk(&fixture).await;
    let id = desk.list(false).await.expect("a list")[0].id;
    assert_eq!(desk.retry(id).await.expect("applied").state, "retried");
    assert_eq!(text(&client, "SELECT t FROM t").await.as_deref(), Some("(1,a,4711,)"));
    let tags = "SELECT _tags = ARRAY[_tag] AND _tag = _tag_n AND _tag_n = _tag_m AND _base IS NULL AND _tag_v <> _tag \
        AND (_tag).timestamp = 'epoch'::timestamptz + '2 s' FROM electric.shadow__public__t";
    assert_eq!(text(&client, tags).await.as_deref(), Some("true"));
    // The client sends it again all the same, and goes on.
    assert_eq!(writer.apply(&bad).await, Ok(Applied::Duplicate));
    assert_eq!(writer.apply(&tx(&author, 3, [])).await, Ok(Applied::Committed));
}

#[tokio::test]
async fn a_discarded_transaction_is_skipped_and_its_author_hears_how_things_are() {
    let fixture = Fixture::new("", &[]).await;
    let synced = Synced::on(fixture.db.clone()).await;
    let mut replica = Replica::start(&synced).await;
    synced.run(&format!("{TABLE}; CALL electric.electrify('t')")).await;
    let fixture = fixture.reload().await;
    let writer = fixture.writer(1);
    let author = fresh_client();
    let ops = [fixture.insert("t", &["1", "a", "1", "x"]), fixture.insert("t", &["2", "b", "1", "x"])];
    writer.apply(&tx(&author, 1, ops)).await.expect("applied");
    synced.run("INSERT INTO t VALUES (5, 'gone'); DELETE FROM t WHERE id = 5").await;
    let seen = format!("{author}@1000");
    let bad = [
        clearing(fixture.op(ClientOpKind::Update, "t", &["1", "-", "4711", "-"]), &[&seen]),
        clearing(fixture.delete("t", "2"), &[&seen]),
        fixture.insert("t", &["3", "never", "7", "null"]),
        fixture.op(ClientOpKind::Update, "t", &["5", "back", "1", "-"]),
    ];
    writer.apply(&tx(&author, 2, bad)).await.expect_err("refused");
    replica.catch_up(&synced.app).await;
    let mut desk = desk(&fixture).await;
    let id = desk.list(false).await.expect("a list")[0].id;
    let position = super::super::stream::wal_end(&synced.app).await;
    assert_eq!(desk.discard(id).await.expect("skipped").state, "discarded");
    assert!(matches!(desk.retry(id).await, Err(DeskError::Settled(_))));

    // The author's own echo: what lives as it is, what does not as deleted.
    let committed = loop {
        replica.control.reach(super::super::stream::wal_end(&synced.app).await);
        let events = replica.stream.next_batch().await.expect("the stream goes on");
        let found = events.into_iter().find_map(|event| match event {
            Event::Commit(committed) if committed.transaction.lsn > position => Some(committed),
            _ => None,
        });
        if let Some(found) = found {
            break found;
        }
    };
    let transaction = &committed.transaction;
    assert_eq!((transaction.origin.to_string(), transaction.commit_ms), (author.clone(), 2000));
    let value = |field: Option<&[u8]>| String::from_utf8_lossy(field.unwrap_or(b"null")).into_owned();
    let told = |change: &Change| match &change.row {
        RowChange::Insert { .. } => "insert".to_owned(),
        RowChange::Update { old, new, tags } => {
            assert!(old == new && tags.iter().any(|tag| tag.to_string() == format!("{author}@2000")));
            format!("kept {}", new.iter().map(value).collect::<Vec<_>>().join(" "))
        }
        RowChange::Delete { old } => format!("gone {}", old.iter().map(value).collect::<Vec<_>>().join(" ")),
    };
    let mut told: Vec<String> = transaction.changes.iter().map(told).collect();
    told.sort();
    assert_eq!(told, ["gone 3 never 7 null", "gone 5 gone null null", "kept 1 a 1 x", "kept 2 b 1 x"]);

    // It goes on from there, also with rows that were in it.
    assert_eq!(writer.apply(&tx(&author, 2, [])).await, Ok(Applied::Duplicate));
    let own = format!("{author}@2000");
    let next = [
        clearing(fixture.delete("t", "1"), &[&own]),
        clearing(fixture.op(ClientOpKind::Update, "t", &["3", "after all", "-", "-"]), &[&own]),
    ];
    assert_eq!(writer.apply(&tx(&author, 3, next)).await, Ok(Applied::Committed));
    let all = "SELECT string_agg(t::text, ' ' ORDER BY id) FROM t";
    assert_eq!(text(&synced.app, all).await.as_deref(), Some("(2,b,1,x) (3,\"after all\",7,)"));
}

#[tokio::test]
async fn a_transaction_with_values_that_are_none_can_be_discarded() {
    let fixture = Fixture::new(TABLE, &["t"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    for (n, op) in [
        fixture.insert("t", &["1", "a", "no number", "x"]),
        fixture.insert("t", &["no number", "a", "1", "x"]),
        fixture.insert("t", &["2", "nul \0", "1", "x"]),
    ]
    .into_iter()
    .enumerate()
    {
        let author = fresh_client();
        writer.apply(&tx(&author, 1, [op.clone()])).await.expect_err("refused");
        let mut desk = desk(&fixture).await;
        let id = desk.list(false).await.expect("a list")[0].id;
        assert!(matches!(desk.retry(id).await, Err(DeskError::Refused(_))), "{n}");
        assert_eq!(desk.discard(id).await.expect("skipped").state, "discarded", "{n}");
        assert_eq!(writer.apply(&tx(&author, 1, [op])).await, Ok(Applied::Duplicate));
    }
    assert_eq!(text(&client, "SELECT count(*) FROM t").await.as_deref(), Some("0"));
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    let fixture = Fixture::new(TABLE, &["t"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    for lsn in 1..=u32::try_from(MAX_OF_CLIENT).expect("few") + 5 {
        writer
            .apply(&tx(&author, lsn, [fixture.insert("t", &["1", "a", "4711"])]))
            .await
            .expect_err("refused");
    }
    let kept = "SELECT count(*) || ' ' || min(ts) FROM electric.rejected_transactions";
    assert_eq!(text(&client, kept).await, Some(format!("{MAX_OF_CLIENT} 6000")));

    let large = "x".repeat(MAX_BYTES / 3);
    let ops: Vec<ClientOp> = (0..5).map(|n| fixture.insert("t", &[&n.to_string(), &large, "4711"])).collect();
    let author = fresh_client();
    writer.apply(&tx(&author, 1, ops)).await.expect_err("refused");
    let mut desk = desk(&fixture).await;
    let entry = desk.list(false).await.expect("a list").remove(0);
    assert_eq!((entry.complete, entry.operation_count), (false, 5));
    let stored = format!(
        "SELECT jsonb_array_length(operations) FROM electric.rejected_transactions WHERE id = {}",
        entry.id
    );
    assert_eq!(text(&client, &stored).await.as_deref(), Some("2"));
    assert!(matches!(desk.retry(entry.id).await, Err(DeskError::Cut)));

    // Whoever has got past it in another way is left alone.
    client
        .batch_execute(&format!(
            "INSERT INTO electric.acknowledged_client_lsns VALUES ('{author}', '\\x0002', 0)"
        ))
        .await
        .expect("moved by hand");
    for error in [desk.retry(entry.id).await, desk.discard(entry.id).await] {
        assert!(matches!(error, Err(DeskError::Passed)));
    }
    assert!(desk.list(false).await.expect("a list").iter().all(|other| other.id != entry.id));
}

/// Tables that were changed since are not written by guess.
#[tokio::test]
async fn a_retry_that_does_not_fit_the_tables_any_more_does_nothing() {
    let fixture = Fixture::new(TABLE, &["t"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let mut op = fixture.insert("t", &["1", "a", "4711"]);
    op.values[3] = Field::Value(Bytes::from_static(b"m"));
    writer.apply(&tx(&fresh_client(), 1, [op])).await.expect_err("refused");
    testkit::unguarded(&client, DROP).await;
    client
        .batch_execute(
            "UPDATE electric.rejected_transactions SET operations = jsonb_set(operations, '{0,row,other}', '\"x\"')",
        )
        .await
        .expect("another column");
    let mut desk = desk(&fixture).await;
    let id = desk.list(false).await.expect("a list")[0].id;
    assert!(matches!(desk.retry(id).await, Err(DeskError::Changed)));
    assert_eq!(text(&client, "SELECT count(*) FROM t").await.as_deref(), Some("0"));
    testkit::unguarded(&client, PUT_BACK).await;
}
