//! Native writes beside client writes: the vectors of spec 05 §8 as far as the triggers decide them.

use tokio_postgres::Client;

use super::{installed, rows, run, unguarded};
use testkit::Database;

/// `parent` with the row (`1`, `v0`, 0), whose tags are all `A@1000`: state S0.
async fn s0() -> (Database, Client) {
    let (database, client) = installed().await;
    run(
        &client,
        "CREATE TABLE parent (id text PRIMARY KEY, value text, other int);
         CREATE TABLE child (id text PRIMARY KEY, parent text REFERENCES parent ON DELETE CASCADE, note text);
         CALL electric.electrify('parent'); CALL electric.electrify('child');
         CREATE FUNCTION tag(client text, at timestamptz) RETURNS electric.tag LANGUAGE sql AS 'SELECT ROW($2, $1)::electric.tag';
         CREATE FUNCTION ms(n bigint) RETURNS timestamptz LANGUAGE sql AS 'SELECT to_timestamp($1 / 1000.0)';
         CREATE FUNCTION show(t electric.tag) RETURNS text LANGUAGE sql AS $$
             SELECT coalesce((t).source_id, 'PG') || '@' || CASE
                 WHEN (t).\"timestamp\" = date_trunc('milliseconds', (t).\"timestamp\") IS NOT TRUE THEN 'not exact'
                 WHEN (t).\"timestamp\" > now() + '1 hour' THEN 'f'
                 WHEN (t).\"timestamp\" > '2020-01-01' THEN 'p'
                 ELSE (extract(epoch FROM (t).\"timestamp\") * 1000)::bigint::text END $$",
    )
    .await;
    as_service(
        &client,
        "INSERT INTO parent VALUES ('1', 'v0', 0);
         INSERT INTO electric.shadow__public__parent
             VALUES ('1', ARRAY[tag('A', ms(1000))], tag('A', ms(1000)), NULL, NULL, tag('A', ms(1000)), tag('A', ms(1000)))",
    )
    .await;
    (database, client)
}

/// As the writer does it: in its role, shadows by its own hand.
async fn as_service(client: &Client, sql: &str) {
    run(client, &format!("BEGIN; SET LOCAL electric.session_replication_role = 'replica'; {sql}; COMMIT"))
        .await;
}

/// A client's update of `value` at `at`, merged and written.
async fn client_sets(client: &Client, value: &str, tag: &str) {
    as_service(
        client,
        &format!(
            "UPDATE parent SET value = '{value}' WHERE id = '1';
             UPDATE electric.shadow__public__parent SET _tags = _tags || {tag}, _tag = {tag}, _tag_value = {tag} WHERE id = '1'"
        ),
    )
    .await;
}

const FUTURE: &str = "tag('B', date_trunc('milliseconds', now() + '1 day'))";

/// Row | tags | last tag | tag of value | tag of other | tombstone.
async fn state(client: &Client, id: &str) -> String {
    let shown = rows(
        client,
        &format!(
            "SELECT (SELECT concat_ws(',', p.value, p.other) FROM parent p WHERE p.id = s.id),
                (SELECT string_agg(show(t), ' ' ORDER BY t.ordinality) FROM unnest(s._tags) WITH ORDINALITY t (\"timestamp\", source_id, ordinality)
                    CROSS JOIN LATERAL (SELECT ROW(t.\"timestamp\", t.source_id)::electric.tag) x (t)),
                show(s._tag), show(coalesce(s._tag_value, s._base)), show(coalesce(s._tag_other, s._base)), s._image
             FROM electric.shadow__public__parent s WHERE s.id = '{id}'"
        )
        .replace("show(t), ' ' ORDER BY t.ordinality", "show(x.t), ' ' ORDER BY t.ordinality"),
    )
    .await;
    shown.join(";")
}

#[tokio::test]
async fn vector_20_an_update_marks_what_it_changed() {
    let (_database, client) = s0().await;
    run(&client, "UPDATE parent SET value = 'pg', other = other").await;
    assert_eq!(state(&client, "1").await, "pg,0|PG@p|PG@p|PG@p|A@1000|");
}

#[tokio::test]
async fn vector_21_an_insert_marks_everything() {
    let (_database, client) = s0().await;
    run(&client, "INSERT INTO parent VALUES ('2', 'x', NULL)").await;
    assert_eq!(state(&client, "2").await, "x|PG@p|PG@p|PG@p|PG@p|");
    run(&client, "UPDATE parent SET value = 'pg' WHERE id = '2'").await;
    let newer = "SELECT (_tag_value).\"timestamp\" > (coalesce(_tag_other, _base)).\"timestamp\" AND _tag_value = _tag AND _tags = ARRAY[_tag]
        FROM electric.shadow__public__parent WHERE id = '2'";
    assert_eq!(rows(&client, newer).await, ["t"]);
}

#[tokio::test]
async fn vectors_22_to_25_native_writes_win_over_clocks_ahead() {
    let (_database, client) = s0().await;
    run(&client, "UPDATE parent SET value = 'pg'").await;
    client_sets(&client, "b", FUTURE).await;
    assert_eq!(state(&client, "1").await, "b,0|PG@p B@f|B@f|B@f|A@1000|");
    run(&client, "UPDATE parent SET value = 'pg2'").await;
    assert_eq!(state(&client, "1").await, "pg2,0|PG@f|PG@f|PG@f|A@1000|");
    run(&client, "DELETE FROM parent").await;
    let tombstone = r#"{"id": "1", "other": "0", "value": "pg2"}"#;
    assert_eq!(state(&client, "1").await, format!("||PG@f|PG@f|A@1000|{tombstone}"));
    run(&client, "INSERT INTO parent VALUES ('1', 're', NULL)").await;
    assert_eq!(state(&client, "1").await, "re|PG@f|PG@f|PG@f|PG@f|");
}

#[tokio::test]
async fn vector_26_a_delete_of_a_row_from_the_future() {
    let (_database, client) = s0().await;
    client_sets(&client, "b", FUTURE).await;
    run(&client, "DELETE FROM parent").await;
    assert_eq!(state(&client, "1").await, r#"||PG@f|B@f|A@1000|{"id": "1", "other": "0", "value": "b"}"#);
}

#[tokio::test]
async fn vectors_27_to_30_registers_outlive_the_row() {
    let (_database, client) = s0().await;
    run(&client, "DELETE FROM parent").await;
    assert_eq!(state(&client, "1").await, r#"||PG@p|A@1000|A@1000|{"id": "1", "other": "0", "value": "v0"}"#);
    run(&client, "INSERT INTO parent VALUES ('1', 're', NULL)").await;
    assert_eq!(state(&client, "1").await, "re|PG@p|PG@p|PG@p|PG@p|");
}

#[tokio::test]
async fn vector_31_deleted_and_inserted_in_one_transaction() {
    let (_database, client) = s0().await;
    run(&client, "BEGIN; DELETE FROM parent; INSERT INTO parent VALUES ('1', 'again', NULL); COMMIT").await;
    assert_eq!(state(&client, "1").await, "again|PG@p|PG@p|PG@p|PG@p|");
}

#[tokio::test]
async fn vector_33_rows_older_than_electrification() {
    let (_database, client) = s0().await;
    as_service(&client, "INSERT INTO parent VALUES ('7', 'old', 1), ('8', 'old', 1)").await;
    assert_eq!(state(&client, "7").await, "", "no shadow");
    run(&client, "UPDATE parent SET value = 'new' WHERE id = '7'; DELETE FROM parent WHERE id = '8'").await;
    assert_eq!(state(&client, "7").await, "new,1|PG@p|PG@p|PG@p|PG@0|");
    assert_eq!(state(&client, "8").await, r#"||PG@p|PG@0|PG@0|{"id": "8", "other": "1", "value": "old"}"#);
}

#[tokio::test]
async fn vector_34_the_newest_moment_is_each_rows_own() {
    let (_database, client) = s0().await;
    client_sets(&client, "b", FUTURE).await;
    run(&client, "INSERT INTO parent VALUES ('2', 'x', 1)").await;
    run(&client, "BEGIN; UPDATE parent SET value = 'pg' WHERE id = '1'; UPDATE parent SET value = 'pg' WHERE id = '2'; COMMIT").await;
    assert_eq!(state(&client, "1").await, "pg,0|PG@f|PG@f|PG@f|A@1000|");
    assert_eq!(state(&client, "2").await, "pg,1|PG@p|PG@p|PG@p|PG@p|");
    client_sets(&client, "b", FUTURE).await;
    run(&client, "UPDATE parent SET value = 'both'").await;
    assert_eq!(state(&client, "1").await, "both,0|PG@f|PG@f|PG@f|A@1000|");
    assert_eq!(state(&client, "2").await, "both,1|PG@p|PG@p|PG@p|PG@p|");
}

#[tokio::test]
async fn vector_35_a_key_that_changes() {
    let (_database, client) = s0().await;
    run(&client, "UPDATE parent SET id = '2'").await;
    assert_eq!(state(&client, "1").await, r#"||PG@p|A@1000|A@1000|{"id": "1", "other": "0", "value": "v0"}"#);
    assert_eq!(state(&client, "2").await, "v0,0|PG@p|PG@p|PG@p|PG@p|");
    // Keys that move up one: each but the first is another row's now.
    run(&client, "INSERT INTO parent VALUES ('3', 'three', 3)").await;
    unguarded(&client, "ALTER TABLE child DROP CONSTRAINT child_parent_fkey; ALTER TABLE parent DROP CONSTRAINT parent_pkey, ADD PRIMARY KEY (id) DEFERRABLE").await;
    run(&client, "UPDATE parent SET id = (id::int + 1)::text").await;
    assert_eq!(state(&client, "2").await, r#"||PG@p|PG@p|PG@p|{"id": "2", "other": "0", "value": "v0"}"#);
    assert_eq!(state(&client, "3").await, "v0,0|PG@p|PG@p|PG@p|PG@p|");
    assert_eq!(state(&client, "4").await, "three,3|PG@p|PG@p|PG@p|PG@p|");
}

#[tokio::test]
async fn vector_42_cascades() {
    let (_database, client) = s0().await;
    run(&client, "INSERT INTO child VALUES ('c', '1', 'n'), ('d', '1', NULL); DELETE FROM parent").await;
    let dead = "SELECT id, _tags = '{}', _image FROM electric.shadow__public__child ORDER BY id";
    assert_eq!(
        rows(&client, dead).await,
        [r#"c|t|{"id": "c", "note": "n", "parent": "1"}"#, r#"d|t|{"id": "d", "note": null, "parent": "1"}"#]
    );
}

#[tokio::test]
async fn the_services_own_statements_are_its_own_but_what_they_set_off_is_not() {
    let (_database, client) = s0().await;
    run(&client, "INSERT INTO child VALUES ('c', '1', 'n')").await;
    as_service(&client, "UPDATE parent SET value = 'client'; INSERT INTO parent VALUES ('9', 'x', 1)").await;
    assert_eq!(state(&client, "1").await, "client,0|A@1000|A@1000|A@1000|A@1000|");
    assert_eq!(state(&client, "9").await, "");
    as_service(&client, "DELETE FROM parent WHERE id = '1'").await;
    assert_eq!(state(&client, "1").await, "|A@1000|A@1000|A@1000|A@1000|", "the service's to write");
    assert_eq!(rows(&client, "SELECT _tags = '{}' FROM electric.shadow__public__child").await, ["t"]);
}

#[tokio::test]
async fn the_built_in_replica_role_does_not_hide_writes() {
    let (_database, client) = s0().await;
    run(
        &client,
        "BEGIN; SET LOCAL session_replication_role = replica; UPDATE parent SET value = 'r'; COMMIT",
    )
    .await;
    assert_eq!(state(&client, "1").await, "r,0|PG@p|PG@p|PG@p|A@1000|");
}
