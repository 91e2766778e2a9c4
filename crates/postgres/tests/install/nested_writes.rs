//! Statements inside statements: what counts is whether the row is there in the end.

use super::{installed, rows, run, value};

const AGREE: &str = "SELECT count(*) FROM t FULL JOIN (SELECT * FROM electric.shadow__public__t WHERE _tags <> '{}') s USING (id) WHERE t.id IS NULL OR s.id IS NULL";

#[tokio::test]
async fn a_row_trigger_that_deletes_what_was_updated() {
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE TABLE t (id int PRIMARY KEY, v text); CALL electric.electrify('t');
         CREATE FUNCTION sweep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.v = 'gone' THEN DELETE FROM t WHERE id = NEW.id; END IF; RETURN NULL; END $$;
         CREATE TRIGGER a_sweep AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION sweep();
         INSERT INTO t VALUES (1, 'x'), (2, 'x'), (3, 'gone'); UPDATE t SET v = 'gone' WHERE id = 1",
    )
    .await;
    assert_eq!(value(&client, AGREE).await, "0");
    let dead = "SELECT id, _image ->> 'v' FROM electric.shadow__public__t WHERE _tags = '{}' ORDER BY id";
    assert_eq!(rows(&client, dead).await, ["1|gone", "3|gone"]);
}

#[tokio::test]
async fn a_row_trigger_that_brings_deleted_rows_back() {
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE TABLE t (id int PRIMARY KEY, v text); CALL electric.electrify('t');
         CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF OLD.v = 'keep' THEN INSERT INTO t VALUES (OLD.id, 'kept'); END IF; RETURN NULL; END $$;
         CREATE TRIGGER keep AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION keep();
         INSERT INTO t VALUES (1, 'x'), (2, 'keep'); DELETE FROM t",
    )
    .await;
    assert_eq!(value(&client, AGREE).await, "0");
    assert_eq!(rows(&client, "SELECT * FROM t").await, ["2|kept"]);
}

#[tokio::test]
async fn several_foreign_key_actions_on_one_row() {
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE TABLE p (id int PRIMARY KEY);
         CREATE TABLE t (id int PRIMARY KEY, a int REFERENCES p ON DELETE SET NULL ON UPDATE CASCADE, b int REFERENCES p ON DELETE SET NULL,
            c int REFERENCES p ON DELETE CASCADE, v text);
         CALL electric.electrify('p'); CALL electric.electrify('t');
         INSERT INTO p SELECT generate_series(1, 6);
         INSERT INTO t VALUES (1, 1, 2, NULL, 'both'), (2, 1, NULL, 3, 'dies'), (3, 3, 4, 2, 'dies'), (4, 4, 4, 4, 'stays'), (5, 5, NULL, NULL, 'moves');
         UPDATE electric.shadow__public__t s SET (_tag_a, _tag_b, _tag_c, _tag_v) = (SELECT t, t, t, t
            FROM (SELECT ROW('1980-01-01'::timestamptz, 'C')::electric.tag AS t) x);
         DELETE FROM p WHERE id IN (1, 2, 3); UPDATE p SET id = 50 WHERE id = 5",
    )
    .await;
    assert_eq!(
        rows(&client, "SELECT * FROM t ORDER BY id").await,
        ["1||||both", "4|4|4|4|stays", "5|50|||moves"]
    );
    assert_eq!(value(&client, AGREE).await, "0");
    let marked = "SELECT id, (_tag_a).source_id IS NULL, (_tag_b).source_id IS NULL, (_tag_c).source_id IS NULL, (_tag_v).source_id IS NULL
        FROM electric.shadow__public__t WHERE _tags <> '{}' ORDER BY id";
    assert_eq!(rows(&client, marked).await, ["1|t|t|f|f", "4|f|f|f|f", "5|t|f|f|f"]);
    let images = "SELECT id, _image ->> 'v' FROM electric.shadow__public__t WHERE _tags = '{}' ORDER BY id";
    assert_eq!(rows(&client, images).await, ["2|dies", "3|dies"]);
}

#[tokio::test]
async fn keys_that_are_exchanged_under_a_deferred_constraint() {
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE TABLE t (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text); CALL electric.electrify('t');
         INSERT INTO t VALUES (1, 'a'), (2, 'b');
         BEGIN; UPDATE t SET id = 2 WHERE v = 'a'; UPDATE t SET id = 1 WHERE v = 'b'; COMMIT;
         BEGIN; INSERT INTO t VALUES (1, 'c'), (3, 'd'), (3, 'e'); DELETE FROM t WHERE v IN ('b', 'd'); COMMIT",
    )
    .await;
    assert_eq!(rows(&client, "SELECT * FROM t ORDER BY id").await, ["1|c", "2|a", "3|e"]);
    assert_eq!(value(&client, AGREE).await, "0");
}

#[tokio::test]
async fn tables_in_an_inheritance_tree_track_their_own_rows() {
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE TABLE whole (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
         CREATE TABLE t PARTITION OF whole FOR VALUES FROM (0) TO (100); CREATE TABLE rest PARTITION OF whole DEFAULT;
         CALL electric.electrify('t');
         INSERT INTO whole VALUES (1, 'a'), (2, 'b'), (200, 'c'); UPDATE whole SET v = 'd'; DELETE FROM whole WHERE id = 2",
    )
    .await;
    assert_eq!(value(&client, AGREE).await, "0");
    assert_eq!(
        rows(&client, "SELECT id, _image ->> 'v' FROM electric.shadow__public__t ORDER BY id").await,
        ["1|", "2|d"]
    );
    run(&client, "UPDATE whole SET id = 300 WHERE id = 1; INSERT INTO t VALUES (5, 'e'); TRUNCATE whole")
        .await;
    assert_eq!(value(&client, AGREE).await, "0");
    assert_eq!(
        value(&client, "SELECT count(*) FROM electric.shadow__public__t WHERE _image IS NOT NULL").await,
        "3"
    );

    run(
        &client,
        "CREATE TABLE parent (id int PRIMARY KEY, v text); CREATE TABLE heir (PRIMARY KEY (id)) INHERITS (parent); CALL electric.electrify('parent');
         INSERT INTO heir VALUES (1, 'h'); INSERT INTO parent VALUES (2, 'p'); UPDATE parent SET v = 'q'; DELETE FROM parent",
    )
    .await;
    assert_eq!(rows(&client, "SELECT id FROM electric.shadow__public__parent").await, ["2"]);
}
