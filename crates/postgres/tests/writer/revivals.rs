//! Rows that are needed and were deleted, rows that are deleted and are needed (spec 05 §7.5): by what Postgres has afterwards,
//! and by what the stream says.

use change::{ClientOp, ClientOpKind};
use postgres::writer::Applied;

use super::{
    fixture::{clearing, fresh_client, text, tx, until},
    rig::Rig,
};

const FAMILY: &str = "\
    CREATE TABLE child (id int4 PRIMARY KEY, parent int4, note text); \
    CREATE TABLE parent (id int4 PRIMARY KEY, value text, other int4 NOT NULL); \
    ALTER TABLE child ADD CONSTRAINT child_of FOREIGN KEY (parent) REFERENCES parent";

/// One parent, of author A at 1.
async fn family(action: &str) -> Rig {
    let family = Rig::new(&format!("{FAMILY} {action}"), &["parent", "child"]).await;
    let parent = family.fixture.insert("parent", &["1", "v0", "0"]);
    family.apply(&family.tx(0, 1, vec![("", parent)])).await;
    family
}

impl Rig {
    fn child(&self, id: &str) -> (&'static str, ClientOp) {
        ("", self.fixture.insert("child", &[id, "1", "n"]))
    }

    fn compensation(&self) -> (&'static str, ClientOp) {
        ("B@2 A@1", self.fixture.op(ClientOpKind::Compensation, "parent", &["1"]))
    }

    fn delete_parent(&self) -> (&'static str, ClientOp) {
        ("A@3 A@1", self.fixture.delete("parent", "1"))
    }
}

#[tokio::test]
async fn vectors_36_37_and_39_a_child_of_a_natively_deleted_parent_revives_it() {
    // With a compensation before and after, and without.
    for order in ["compensation child", "child compensation", "child"] {
        let mut family = family("").await;
        family.native().batch_execute("DELETE FROM parent").await.expect("deleted");
        let ops =
            order.split(' ').map(|op| if op == "child" { family.child("1") } else { family.compensation() });
        family.apply(&family.tx(1, 2, ops.collect())).await;
        assert_eq!(family.rows("parent").await, "1 v0 0 {B@2}", "{order}");
        assert_eq!(family.rows("child").await, "1 1 n {B@2}", "{order}");
        let columns = "SELECT split_part((coalesce(_tag_value, _base)).source_id, '-', 1) FROM electric.shadow__public__parent";
        assert_eq!(text(family.native(), columns).await.as_deref(), Some("A"), "no column is written");
        family.converged().await;
    }
}

#[tokio::test]
async fn the_stream_says_which_rows_their_authors_wrote_without_knowing_how_they_stood() {
    let ddl = "CREATE TABLE items (id int4 PRIMARY KEY, value text, other text)";
    let mut rig = Rig::new(ddl, &["items"]).await;
    let insert = |rig: &Rig, key| rig.fixture.insert("items", &[key, "v", "o"]);
    let update = |rig: &Rig, key| rig.fixture.op(ClientOpKind::Update, "items", &[key, "u", "-"]);
    for (key, second) in [("1", 2), ("2", 3), ("3", 4), ("4", 5)] {
        rig.apply(&rig.tx(0, second, vec![("", insert(&rig, key))])).await;
    }
    rig.native().batch_execute("DELETE FROM items WHERE id IN (1, 2)").await.expect("deleted");
    // One that was deleted; one that was, and is replaced; one that nobody had.
    let ops = vec![("B@6 A@2", update(&rig, "1")), ("B@6 A@3", insert(&rig, "2")), ("", insert(&rig, "5"))];
    rig.apply(&rig.tx(1, 6, ops)).await;
    // The clock of this one is behind: what is there wins over what it makes.
    rig.apply(&rig.tx(2, 1, vec![("", insert(&rig, "4"))])).await;
    // One that another has written to.
    rig.apply(&rig.tx(1, 8, vec![("B@8 A@4", update(&rig, "3"))])).await;
    rig.apply(&rig.tx(2, 9, vec![("C@9 A@4", update(&rig, "3"))])).await;
    assert_eq!(rig.blind().await, ["B@6 1", "B@6 2", "C@1 4", "C@9 3"]);
    // Whoever has seen it all knows; and what is written later takes the note away.
    rig.apply(&rig.tx(1, 10, vec![("B@10 B@6", update(&rig, "1"))])).await;
    rig.apply(&rig.tx(1, 11, vec![("B@11 B@6", update(&rig, "2"))])).await;
    rig.native().batch_execute("UPDATE items SET other = 'n' WHERE id IN (3, 4)").await.expect("written");
    assert_eq!(rig.blind().await.len(), 4);
    assert_eq!(rig.dead("items").await, "0/0", "no image is left");
}

#[tokio::test]
async fn vector_38_a_touched_parent_outlives_a_delete_that_has_not_seen_the_touch() {
    let mut family = family("").await;
    family.apply(&family.tx(1, 2, vec![family.compensation(), family.child("1")])).await;
    family.apply(&family.tx(0, 3, vec![family.delete_parent()])).await;
    assert_eq!(family.rows("parent").await, "1 v0 0 {B@2}");
    assert_eq!(family.rows("child").await, "1 1 n {B@2}");
    family.converged().await;
}

#[tokio::test]
async fn vectors_39_and_40_a_child_and_a_delete_of_its_parent_in_both_orders() {
    for action in ["", "ON DELETE RESTRICT", "DEFERRABLE INITIALLY DEFERRED"] {
        for child_first in [true, false] {
            let mut family = family(action).await;
            let child = family.tx(1, 2, vec![family.child("1")]);
            let delete = family.tx(0, 3, vec![family.delete_parent()]);
            for tx in if child_first { [&child, &delete] } else { [&delete, &child] } {
                family.apply(tx).await;
            }
            // The last one to come is who keeps it.
            let tag = if child_first { "A@3" } else { "B@2" };
            assert_eq!(family.rows("parent").await, format!("1 v0 0 {{{tag}}}"), "{action}");
            assert_eq!(family.rows("child").await, "1 1 n {B@2}", "{action}");
            family.converged().await;
            // Whoever has seen all of it can take it all away.
            let seen = format!("C@9 {tag}");
            let both = vec![
                (seen.as_str(), family.fixture.delete("parent", "1")),
                ("C@9 B@2", family.fixture.delete("child", "1")),
            ];
            family.apply(&family.tx(2, 9, both)).await;
            assert_eq!(family.rows("parent").await, "");
            family.converged().await;
        }
    }
}

#[tokio::test]
async fn vector_41_a_cascade_takes_the_children_and_their_tags() {
    for child_first in [true, false] {
        let mut family = family("ON DELETE CASCADE").await;
        let child = family.tx(1, 2, vec![family.child("1")]);
        let delete = family.tx(0, 3, vec![family.delete_parent()]);
        for tx in if child_first { [&child, &delete] } else { [&delete, &child] } {
            family.apply(tx).await;
        }
        // A child that comes to a dead parent revives it, whatever a delete would do.
        let (parents, children) = if child_first { ("", "") } else { ("1 v0 0 {B@2}", "1 1 n {B@2}") };
        assert_eq!(family.rows("parent").await, parents);
        assert_eq!(family.rows("child").await, children);
        if child_first {
            assert_eq!(
                (family.dead("parent").await, family.dead("child").await),
                ("1/1".into(), "1/1".into())
            );
            // A child made again has nothing of the old one's tags: a delete that has seen it takes it.
            let again = vec![("", family.fixture.insert("child", &["1", "null", "n"]))];
            family.apply(&family.tx(2, 4, again)).await;
            family.apply(&family.tx(2, 5, vec![("C@5 C@4", family.fixture.delete("child", "1"))])).await;
            assert_eq!(family.rows("child").await, "");
        }
        family.converged().await;
    }
}

#[tokio::test]
async fn vector_42_a_native_delete_cascades() {
    let mut family = family("ON DELETE CASCADE").await;
    family.apply(&family.tx(1, 2, vec![family.child("1")])).await;
    family.native().batch_execute("DELETE FROM parent").await.expect("deleted");
    assert_eq!((family.dead("parent").await, family.dead("child").await), ("1/1".into(), "1/1".into()));
    family.converged().await;
}

#[tokio::test]
async fn vector_43_a_parent_made_touched_and_used_at_once() {
    let mut family = family("").await;
    let fixture = &family.fixture;
    let ops = vec![
        ("", fixture.insert("parent", &["2", "v", "5"])),
        ("", fixture.op(ClientOpKind::Compensation, "parent", &["2", "null", "null"])),
        ("", fixture.insert("child", &["1", "2", "n"])),
    ];
    family.apply(&family.tx(1, 2, ops)).await;
    assert_eq!(family.rows("parent").await, "1 v0 0 {A@1}, 2 v 5 {B@2}");
    family.converged().await;
}

#[tokio::test]
async fn vector_44_a_parent_that_never_was() {
    let mut family = family("").await;
    for ops in [
        vec![("", family.fixture.insert("child", &["1", "7", "n"]))],
        // A column must not be null, and nobody knows its value.
        vec![
            ("", family.fixture.op(ClientOpKind::Compensation, "parent", &["7"])),
            ("", family.fixture.insert("child", &["1", "7", "n"])),
        ],
    ] {
        let code = if ops.len() == 1 { "23503" } else { "23502" };
        let refused = family.writer.apply(&family.tx(1, 2, ops)).await.expect_err("refused");
        assert_eq!(refused.sqlstate, code, "{}", refused.message);
    }
    assert_eq!(family.rows("child").await, "");
    family.converged().await;
}

#[tokio::test]
async fn set_null_is_left_to_postgres() {
    let mut family = family("ON DELETE SET NULL").await;
    family.apply(&family.tx(1, 2, vec![family.child("1")])).await;
    family.apply(&family.tx(0, 3, vec![family.delete_parent()])).await;
    assert_eq!(
        (family.rows("parent").await, family.rows("child").await),
        (String::new(), "1 n {PG}".to_owned())
    );
    family.converged().await;
}

#[tokio::test]
async fn a_native_delete_that_commits_while_the_child_waits() {
    let mut family = family("").await;
    let observer = family.fixture.db.client().await;
    family.native().batch_execute("BEGIN; DELETE FROM parent").await.expect("deleted");
    let child = family.tx(1, 2, vec![family.child("1")]);
    let waiting = tokio::spawn({
        let writer = family.writer.clone();
        async move { writer.apply(&child).await }
    });
    let waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() \
        AND application_name LIKE '%writer%' AND wait_event_type = 'Lock'";
    until(&observer, waits).await;
    family.native().batch_execute("COMMIT").await.expect("committed");
    assert_eq!(waiting.await.expect("no panic"), Ok(Applied::Committed));
    assert_eq!(family.rows("parent").await, "1 v0 0 {B@2}");
    family.converged().await;
}

const GENERATIONS: &str = "\
    CREATE TABLE house (a int4, b text, name text, PRIMARY KEY (b, a)); \
    CREATE TABLE room (id int4 PRIMARY KEY, a int4, b text, CONSTRAINT in_house FOREIGN KEY (b, a) REFERENCES house (b, a)); \
    CREATE TABLE owner (id int4 PRIMARY KEY, mail text UNIQUE); \
    CREATE TABLE thing (id int4 PRIMARY KEY, room int4 REFERENCES room DEFERRABLE INITIALLY DEFERRED, mail text REFERENCES owner (mail), \
        inside int4 REFERENCES thing)";

#[tokio::test]
async fn all_that_a_row_needs_comes_back_generation_by_generation() {
    let mut family = Rig::new(GENERATIONS, &["house", "room", "owner", "thing"]).await;
    let fixture = family.fixture.clone();
    let ops = vec![
        ("", fixture.insert("house", &["1", "x", "home"])),
        ("", fixture.insert("room", &["1", "1", "x"])),
        ("", fixture.insert("owner", &["1", "a@b"])),
        ("", fixture.insert("thing", &["1", "1", "a@b", "null"])),
        ("", fixture.insert("thing", &["2", "1", "null", "1"])),
    ];
    family.apply(&family.tx(0, 1, ops)).await;
    family
        .native()
        .batch_execute(
            "BEGIN; DELETE FROM thing; DELETE FROM room; DELETE FROM house; DELETE FROM owner; COMMIT",
        )
        .await
        .expect("all gone");
    // Another thing inside the second: that is in the first, that is in a room, that is in a house, and has an owner.
    family.apply(&family.tx(1, 2, vec![("", fixture.insert("thing", &["3", "null", "null", "2"]))])).await;
    assert_eq!(family.rows("thing").await, "1 1 a@b {B@2}, 2 1 1 {B@2}, 3 2 {B@2}");
    assert_eq!(family.rows("house").await, "1 x home {B@2}");
    assert_eq!(family.rows("room").await, "1 1 x {B@2}");
    assert_eq!(family.rows("owner").await, "1 a@b {B@2}");
    family.converged().await;

    // A delete of everything old by one who has not heard of the third: nothing that it needs goes, the rest does.
    let seen = "C@5 A@1 B@2";
    let mut ops: Vec<_> = [
        ("house", vec!["1", "x"]),
        ("room", vec!["1"]),
        ("owner", vec!["1"]),
        ("thing", vec!["1"]),
        ("thing", vec!["2"]),
    ]
    .into_iter()
    .map(|(table, key)| (seen, fixture.op(ClientOpKind::Delete, table, &key)))
    .collect();
    ops.push(("", fixture.insert("owner", &["2", "c@d"])));
    family.apply(&family.tx(2, 5, ops)).await;
    assert_eq!(family.rows("thing").await, "1 1 a@b {C@5}, 2 1 1 {C@5}, 3 2 {B@2}");
    assert_eq!(family.rows("house").await, "1 x home {C@5}");
    assert_eq!(family.rows("owner").await, "1 a@b {C@5}, 2 c@d {C@5}");
    family.converged().await;
}

#[tokio::test]
async fn rows_that_refer_to_each_other_come_back_together() {
    let ddl =
        "CREATE TABLE node (id int4 PRIMARY KEY, next int4 REFERENCES node DEFERRABLE INITIALLY DEFERRED)";
    let mut family = Rig::new(ddl, &["node"]).await;
    let fixture = family.fixture.clone();
    let ring = |n: u32| {
        let next = (n % 3 + 1).to_string();
        ("", fixture.insert("node", &[&n.to_string(), &next]))
    };
    family.apply(&family.tx(0, 1, (1..=3).map(ring).collect())).await;
    family.native().batch_execute("DELETE FROM node").await.expect("the ring is gone");
    family.apply(&family.tx(1, 2, vec![("", fixture.insert("node", &["9", "2"]))])).await;
    assert_eq!(family.rows("node").await, "1 2 {B@2}, 2 3 {B@2}, 3 1 {B@2}, 9 2 {B@2}");
    family.converged().await;
    // The ring goes as a whole, but for what the ninth needs: all of it.
    let deletes = ["1", "2", "3"].map(|id| ("C@5 B@2", fixture.delete("node", id)));
    family.apply(&family.tx(2, 5, deletes.into())).await;
    assert_eq!(family.rows("node").await, "1 2 {C@5}, 2 3 {C@5}, 3 1 {C@5}, 9 2 {B@2}");
    family.converged().await;
}

#[tokio::test]
async fn a_cascade_that_would_take_what_is_needed_takes_nothing() {
    let ddl = "CREATE TABLE a (id int4 PRIMARY KEY, v text); \
        CREATE TABLE b (id int4 PRIMARY KEY, a int4 REFERENCES a ON DELETE CASCADE); \
        CREATE TABLE c (id int4 PRIMARY KEY, b int4 REFERENCES b)";
    let mut family = Rig::new(ddl, &["a", "b", "c"]).await;
    let fixture = family.fixture.clone();
    let ops = vec![
        ("", fixture.insert("a", &["1", "x"])),
        ("", fixture.insert("b", &["1", "1"])),
        ("", fixture.insert("a", &["2", "y"])),
        ("", fixture.insert("b", &["2", "2"])),
    ];
    family.apply(&family.tx(0, 1, ops)).await;
    family.apply(&family.tx(1, 2, vec![("", fixture.insert("c", &["1", "1"]))])).await;
    let deletes = vec![("A@3 A@1", fixture.delete("a", "1")), ("A@3 A@1", fixture.delete("a", "2"))];
    family.apply(&family.tx(0, 3, deletes)).await;
    assert_eq!(family.rows("a").await, "1 x {A@3}", "the second goes with all that is its");
    assert_eq!(family.rows("b").await, "1 1 {A@1}");
    assert_eq!(family.rows("c").await, "1 1 {B@2}");
    family.converged().await;
}

#[tokio::test]
async fn tables_that_are_not_synced() {
    let ddl = "CREATE TABLE plain (id int4 PRIMARY KEY); INSERT INTO plain VALUES (1); \
        CREATE TABLE parent (id int4 PRIMARY KEY, v text); CREATE TABLE child (id int4 PRIMARY KEY, plain int4)";
    let mut family = Rig::new(ddl, &["parent", "child"]).await;
    testkit::unguarded(
        family.native(),
        "ALTER TABLE child ADD CONSTRAINT plainly FOREIGN KEY (plain) REFERENCES plain; \
         CREATE TABLE audit (parent int4 REFERENCES parent)",
    )
    .await;
    let fixture = family.fixture.clone();
    family.apply(&family.tx(0, 1, vec![("", fixture.insert("child", &["1", "1"]))])).await;
    family.native().batch_execute("DELETE FROM child; DELETE FROM plain").await.expect("gone");
    // What a table that is not synced had is not remembered.
    let child = vec![("", fixture.insert("child", &["2", "1"]))];
    let refused = family.writer.apply(&family.tx(1, 2, child)).await.expect_err("refused");
    assert!(refused.message.contains("plainly") && refused.message.contains("child"), "{}", refused.message);
    // But its rows count as any others.
    family.apply(&family.tx(0, 2, vec![("", fixture.insert("parent", &["1", "x"]))])).await;
    family.native().batch_execute("INSERT INTO audit VALUES (1)").await.expect("a row");
    family.apply(&family.tx(0, 3, vec![("A@3 A@2", fixture.delete("parent", "1"))])).await;
    assert_eq!(family.rows("parent").await, "1 x {A@3}");
    family.converged().await;
}

/// Whatever comes first, no client is refused for a row that somebody else has removed, and nothing dangles.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn families_in_a_storm() {
    let mut family = family("").await;
    let fixture = family.fixture.clone();
    let parents = ["2", "3"].map(|id| ("", fixture.insert("parent", &[id, "v0", "0"])));
    family.apply(&family.tx(0, 2, parents.into())).await;
    let clients = (0..4u64).map(|number| {
        let (fixture, writer) = (fixture.clone(), fixture.writer(1));
        tokio::spawn(async move {
            let author = fresh_client();
            let mut random = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(number + 1);
            let mut below = |bound: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % bound
            };
            let mut seen: Vec<String> = vec![];
            for lsn in 1..=25 {
                let ops: Vec<ClientOp> = (0..=below(3))
                    .map(|_| {
                        let (parent, child) = ((1 + below(3)).to_string(), below(6).to_string());
                        match below(5) {
                            0 | 1 => fixture.insert("child", &[&child, &parent, &author]),
                            2 => fixture.delete("child", &child),
                            3 => fixture.delete("parent", &parent),
                            _ => fixture.insert("parent", &[&parent, &author, "1"]),
                        }
                    })
                    .collect();
                seen.push(format!("{author}@{lsn}000"));
                let tags: Vec<&str> = seen.iter().map(String::as_str).collect();
                let tx = tx(&author, lsn, ops.into_iter().map(|op| clearing(op, &tags)));
                assert_eq!(writer.apply(&tx).await, Ok(Applied::Committed));
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    // Postgres' own sessions may well be refused.
    let own = [
        "DELETE FROM parent",
        "DELETE FROM child",
        "DELETE FROM parent WHERE id = 2",
        "UPDATE child SET parent = 3",
    ];
    for sql in own.iter().cycle().take_while(|_| clients.iter().any(|client| !client.is_finished())) {
        let _ = family.native().batch_execute(sql).await;
    }
    for client in clients {
        client.await.expect("all are applied");
    }
    family.converged().await;
    for table in ["parent", "child"] {
        let torn = format!(
            "SELECT count(*) FROM {table} t FULL JOIN electric.shadow__public__{table} s USING (id)
             WHERE (t.* IS NOT NULL OR t.tableoid IS NOT NULL) <> (cardinality(coalesce(s._tags, '{{}}')) > 0)"
        );
        assert_eq!(text(family.native(), &torn).await.as_deref(), Some("0"), "{table}");
    }
}
