//! Vectors of spec 05 §8 as the stream tells them: one net change for each row, and an echo for each client transaction.

use change::ClientOpKind;
use postgres::writer::Applied;

use super::{fixture::text, rig::Rig};

const ITEMS: &str = "CREATE TABLE items (id int4 PRIMARY KEY, value text, other int4)";

/// Row 1 is `v0 0`, of author A at 1; that has been sent.
async fn rig() -> Rig {
    let mut rig = Rig::new(ITEMS, &["items"]).await;
    rig.apply(&rig.tx(0, 1, vec![("", rig.fixture.insert("items", &["1", "v0", "0"]))])).await;
    assert_eq!(rig.sent().await.last().map(String::as_str), Some("A@1 insert 1 v0 0 {A@1}"));
    rig
}

impl Rig {
    /// The update of row 1 by an author who had seen A's first version.
    fn update(&self, author: usize, second: u32, values: &[&str]) -> change::ClientTransaction {
        let seen = format!("{}@{second} A@1", ["A", "B", "C"][author]);
        let update = self.fixture.op(ClientOpKind::Update, "items", values);
        self.tx(author, second, vec![(seen.as_str(), update)])
    }

    fn deletion(&self, author: usize, second: u32) -> change::ClientTransaction {
        let seen = format!("{}@{second} A@1", ["A", "B", "C"][author]);
        self.tx(author, second, vec![(seen.as_str(), self.fixture.delete("items", "1"))])
    }

    async fn native_sql(&self, sql: &str) {
        self.synced.run(sql).await;
    }
}

#[tokio::test]
async fn vectors_01_to_06_meetings_of_clients() {
    let mut rig = rig().await;
    // 1: A's older value loses, but A hears of it, by its own moment.
    rig.apply(&rig.update(1, 3, &["1", "b", "-"])).await;
    rig.apply(&rig.update(0, 2, &["1", "a", "-"])).await;
    assert_eq!(rig.sent().await, ["B@3 update 1 b 0 {B@3}", "A@2 touch 1 b 0 {A@2 B@3}"]);
    // 4, from there: a newer delete goes first, an older update brings the row back.
    let seen_all = rig.tx(2, 9, vec![("A@2 B@3", rig.fixture.delete("items", "1"))]);
    rig.apply(&seen_all).await;
    rig.apply(&rig.update(1, 4, &["1", "-", "5"])).await;
    assert_eq!(rig.sent().await, ["C@9 delete 1 b 0", "B@4 insert 1 b 5 {B@4}"]);
    // 5: a delete that has not seen the update is a touch.
    rig.apply(&rig.deletion(0, 5)).await;
    assert_eq!(rig.sent().await, ["A@5 touch 1 b 5 {B@4}"]);
    // 6: of two deletes the second is empty, and echoed all the same.
    rig.apply(&rig.tx(1, 6, vec![("B@4", rig.fixture.delete("items", "1"))])).await;
    rig.apply(&rig.tx(2, 10, vec![("B@4", rig.fixture.delete("items", "1"))])).await;
    assert_eq!(rig.sent().await, ["B@6 delete 1 b 5", "C@10"]);
}

#[tokio::test]
async fn vectors_11_12_13_17_and_18_one_net_change_for_each_row() {
    let mut rig = rig().await;
    let f = rig.fixture.clone();
    let op = |kind, values: &[&str]| f.op(kind, "items", values);
    // 12 and 11 and 13 at once: changed, removed and made again; made and changed; made and removed.
    let seen = "A@2 A@1";
    let ops = vec![
        (seen, op(ClientOpKind::Update, &["1", "a", "-"])),
        (seen, f.delete("items", "1")),
        (seen, f.insert("items", &["1", "n", "null"])),
        ("", f.insert("items", &["2", "a1", "null"])),
        ("", op(ClientOpKind::Update, &["2", "-", "999"])),
        ("", f.insert("items", &["3", "x", "null"])),
        ("", f.delete("items", "3")),
    ];
    let tx = rig.tx(0, 2, ops);
    rig.apply(&tx).await;
    let sent = rig.sent().await;
    assert_eq!(sent.len(), 1);
    let mut changes: Vec<&str> = sent[0].trim_start_matches("A@2 ").split("; ").collect();
    changes.sort_unstable();
    assert_eq!(changes, ["insert 2 a1 999 {A@2}", "update 1 n null {A@2}"]);
    // 17 and 18: sent again, also after another has removed what it made.
    assert_eq!(rig.writer.apply(&tx).await, Ok(Applied::Duplicate));
    rig.apply(&rig.tx(1, 3, vec![("B@3 A@2", f.delete("items", "2"))])).await;
    assert_eq!(rig.writer.apply(&tx).await, Ok(Applied::Duplicate));
    assert_eq!(rig.sent().await, ["B@3 delete 2 a1 999"]);
    // Every step of a long way in one transaction of Postgres' own.
    rig.native_sql(
        "BEGIN; INSERT INTO items VALUES (4); UPDATE items SET value = 'w' WHERE id = 4; UPDATE items SET id = 5 WHERE id = 4;
         DELETE FROM items WHERE id = 1; INSERT INTO items VALUES (6); DELETE FROM items WHERE id = 6; COMMIT",
    )
    .await;
    let sent = rig.sent().await;
    let mut changes: Vec<&str> = sent[0].trim_start_matches("PG ").split("; ").collect();
    changes.sort_unstable();
    assert_eq!(changes, ["delete 1 n null", "insert 5 w null {PG}"]);
}

#[tokio::test]
async fn vectors_20_to_30_meetings_with_postgres() {
    let mut rig = rig().await;
    rig.native_sql("UPDATE items SET value = 'pg'").await;
    // 20: the native column stays, the other one merges.
    rig.apply(&rig.update(1, 2, &["1", "b", "9"])).await;
    // 28, from there: a delete that has not seen the native tag.
    rig.apply(&rig.tx(0, 3, vec![("A@3 A@1 B@2", rig.fixture.delete("items", "1"))])).await;
    assert_eq!(
        rig.sent().await,
        ["PG update 1 pg 0 {PG}", "B@2 update 1 pg 9 {B@2 PG}", "A@3 touch 1 pg 9 {PG}"]
    );
    // 27: what Postgres deletes comes back with what it was.
    rig.native_sql("DELETE FROM items").await;
    rig.apply(&rig.tx(2, 4, vec![("", rig.fixture.op(ClientOpKind::Update, "items", &["1", "-", "7"]))]))
        .await;
    assert_eq!(rig.sent().await, ["PG delete 1 pg 9", "C@4 insert 1 pg 7 {C@4}"]);
    // 31: removed and made again in one transaction is one change.
    rig.native_sql("BEGIN; DELETE FROM items; INSERT INTO items VALUES (1, 'again'); COMMIT").await;
    // 29 and 30: neither changes what was made again.
    rig.apply(&rig.update(0, 4, &["1", "a", "4"])).await;
    rig.apply(&rig.tx(1, 5, vec![("A@4", rig.fixture.delete("items", "1"))])).await;
    assert_eq!(
        rig.sent().await,
        ["PG update 1 again null {PG}", "A@4 touch 1 again null {A@4 PG}", "B@5 touch 1 again null {PG}"]
    );
}

/// 22 to 26 and 34: a client's clock is years ahead, others' are years behind.
#[tokio::test]
async fn vectors_22_to_26_and_34_clocks_that_are_wrong() {
    const AHEAD: u32 = 4_000_000;
    let mut rig = rig().await;
    rig.apply(&rig.tx(0, 2, vec![("", rig.fixture.insert("items", &["2", "w0", "0"]))])).await;
    rig.native_sql("UPDATE items SET other = other").await;
    let mut ahead = rig.update(1, AHEAD, &["1", "b", "-"]);
    ahead.timestamp_ms = 4_102_444_800_000;
    ahead.ops[0].clear = ["postgres_1@0".parse().expect("a tag")].into_iter().collect();
    rig.apply(&ahead).await;
    assert_eq!(rig.rows("items").await, "1 b 0 {PG B@4102444800}, 2 w0 0 {PG}");
    // 34: one native transaction on both rows: each takes what its own row needs; the transaction is as late as the latest.
    rig.native_sql("UPDATE items SET value = 'pg'").await;
    assert_eq!(rig.rows("items").await, "1 pg 0 {PG}, 2 pg 0 {PG}");
    rig.converged().await;
    let last = &rig.replica.transactions.last().expect("a transaction").transaction;
    assert_eq!(last.commit_ms, 4_102_444_800_000);
    let moments = "SELECT string_agg(((_tags[1]).timestamp > now() + '1 day')::text, ' ' ORDER BY id) FROM electric.shadow__public__items";
    assert_eq!(text(rig.native(), moments).await.as_deref(), Some("true false"));
    // 26: to delete a row from the future is no error; and a clock that is decades behind loses to nobody who had seen it.
    rig.native_sql("DELETE FROM items WHERE id = 1").await;
    rig.apply(&rig.tx(2, 1, vec![("", rig.fixture.op(ClientOpKind::Update, "items", &["2", "late", "3"]))]))
        .await;
    assert_eq!(rig.rows("items").await, "2 pg 0 {C@1 PG}");
    rig.converged().await;
}

#[tokio::test]
async fn vector_33_rows_from_before() {
    let before = format!("{ITEMS}; INSERT INTO items VALUES (1, 'old', 1), (2, 'old', 2)");
    let rig = Rig::new(&before, &["items"]).await;
    let update = rig.fixture.op(ClientOpKind::Update, "items", &["1", "b", "-"]);
    rig.apply(&rig.tx(1, 2, vec![("B@2 postgres_1@0", update)])).await;
    assert_eq!(rig.rows("items").await, "1 b 1 {B@2}");
    rig.apply(&rig.tx(0, 3, vec![("A@3 B@2", rig.fixture.delete("items", "1"))])).await;
    rig.apply(&rig.tx(0, 4, vec![("A@4", rig.fixture.delete("items", "2"))])).await;
    assert_eq!(rig.rows("items").await, "2 old 2 {PG}", "a delete that has not seen the row leaves it");
}

#[tokio::test]
async fn vector_35_keys_that_change_and_tables_that_are_emptied() {
    let mut rig = rig().await;
    rig.native_sql("UPDATE items SET id = 2, value = 'moved'").await;
    assert_eq!(rig.sent().await, ["PG delete 1 v0 0; insert 2 moved 0 {PG}"]);
    assert_eq!(rig.dead("items").await, "1/1");
    // Whoever writes the row under its old key has it back, beside the new one.
    rig.apply(&rig.update(1, 2, &["1", "b", "-"])).await;
    assert_eq!(rig.sent().await, ["B@2 insert 1 b 0 {B@2}"]);
    // Rows that change places are two updates.
    rig.native_sql("UPDATE items SET id = -id; UPDATE items SET id = 3 + id").await;
    rig.sent().await;
    assert_eq!(rig.rows("items").await, "1 moved 0 {PG}, 2 b 0 {PG}");
    rig.native_sql("TRUNCATE items").await;
    assert_eq!(rig.sent().await, ["PG delete 1 moved 0; delete 2 b 0"]);
    assert_eq!(rig.rows("items").await, "");
    // An offline update brings its row back from what it was then; its own value is older than the move.
    rig.apply(&rig.tx(2, 3, vec![("", rig.fixture.op(ClientOpKind::Update, "items", &["2", "-", "5"]))]))
        .await;
    assert_eq!(rig.sent().await, ["C@3 insert 2 b 0 {C@3}"]);
}
