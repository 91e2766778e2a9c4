//! The triggers on every kind of value, writer and statement.

use super::{installed, rows, run, value};

#[tokio::test]
async fn changes_are_what_prints_differently() {
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE TYPE mood AS ENUM ('a', 'b');
         CREATE TABLE t (id int PRIMARY KEY, a bool, b bytea, c date, d float4, e float8, f int2, g int8, h jsonb, i text, j time, k timestamp,
            l timestamptz, m uuid, n varchar, o mood, p text COLLATE any_case);
         CALL electric.electrify('t');
         INSERT INTO t VALUES (1, false, '\\x00', '2020-01-01', 0, 'NaN', 1, 1, '{\"a\": 1, \"b\": 2}', 'x', '00:00', '2020-01-01', '2020-01-01',
            '00000000-0000-0000-0000-000000000000', 'v', 'a', 'case');
         UPDATE electric.shadow__public__t s SET (_tag_a, _tag_b, _tag_c, _tag_d, _tag_e, _tag_f, _tag_g, _tag_h, _tag_i, _tag_j, _tag_k, _tag_l,
            _tag_m, _tag_n, _tag_o, _tag_p) = (SELECT t, t, t, t, t, t, t, t, t, t, t, t, t, t, t, t
            FROM (SELECT ROW('1980-01-01'::timestamptz, 'C')::electric.tag AS t) x)",
    )
    .await;
    let marked = "SELECT string_agg(right(k, 1), '' ORDER BY k) FROM electric.shadow__public__t s, jsonb_each(to_jsonb(s)) j (k, v)
        WHERE k ~ '^_tag_' AND v ->> 'source_id' IS NULL";
    run(&client, "UPDATE t SET a = a, b = b, e = 'NaN', h = '{\"b\": 2, \"a\": 1}', i = i || '', l = '2020-01-01 01:00+01', m = m, o = 'a', c = c").await;
    assert_eq!(value(&client, marked).await, "", "the same values again");
    run(&client, "UPDATE t SET d = '-0'").await;
    assert_eq!(value(&client, marked).await, "d");
    run(&client, "UPDATE t SET h = '{\"a\": 1.0, \"b\": 2}', p = 'CASE'").await;
    assert_eq!(value(&client, marked).await, "dhp", "equal, but printed differently");
    run(&client, "UPDATE t SET a = NULL, b = NULL, c = NULL, e = NULL, f = 2, g = 2, i = 'y', j = '01:00', k = NULL, l = NULL, m = NULL, n = NULL, o = 'b'").await;
    assert_eq!(value(&client, marked).await, "abcdefghijklmnop");
}

#[tokio::test]
async fn tombstones_print_as_replication_does_whatever_the_session_says() {
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE TABLE t (id int PRIMARY KEY, a bool, b bytea, c date, e float8, h jsonb, j time, l timestamptz, n text);
         CALL electric.electrify('t');
         SET bytea_output = escape; SET DateStyle = 'German'; SET TimeZone = 'America/New_York'; SET extra_float_digits = -5; SET IntervalStyle = sql_standard;
         INSERT INTO t VALUES (1, true, '\\x0a41', '2020-01-31', 0.1::float8 + 0.2, '{\"a\": 1.0}', '01:02:03.5', '2020-01-31 12:00:00.25+00', 'é\"\\');
         DELETE FROM t",
    )
    .await;
    assert_eq!(
        value(&client, "SELECT _image FROM electric.shadow__public__t").await,
        r#"{"a": "t", "b": "\\x0a41", "c": "2020-01-31", "e": "0.30000000000000004", "h": "{\"a\": 1.0}", "j": "01:02:03.5", "l": "2020-01-31 12:00:00.25+00", "n": "é\"\\", "id": "1"}"#
    );
}

#[tokio::test]
async fn values_held_as_texts_count_as_changed_when_they_print_differently() {
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE EXTENSION citext; CREATE DOMAIN amount AS numeric(6,2);
         CREATE TABLE t (id int PRIMARY KEY, a numeric, b json, c char(3), d varchar(3), e interval, f timetz, g citext, h inet, i cidr, j amount);
         CALL electric.electrify('t');
         INSERT INTO t VALUES (1, 1.0, '{\"a\": 1}', 'x', 'x', '1 mon', '10:00+01', 'Aa', '1.2.3.4', '10/8', 1);
         UPDATE electric.shadow__public__t s SET (_tag_a, _tag_b, _tag_c, _tag_d, _tag_e, _tag_f, _tag_g, _tag_h, _tag_i, _tag_j) =
            (SELECT t, t, t, t, t, t, t, t, t, t FROM (SELECT ROW('1980-01-01'::timestamptz, 'C')::electric.tag AS t) x)",
    )
    .await;
    let marked = "SELECT string_agg(right(k, 1), '' ORDER BY k) FROM electric.shadow__public__t s, jsonb_each(to_jsonb(s)) j (k, v)
        WHERE k ~ '^_tag_' AND v ->> 'source_id' IS NULL";
    run(&client, "UPDATE t SET a = 1.0, b = '{\"a\": 1}', c = 'x ', d = d, e = '1 month', f = '10:00+01', g = 'Aa', h = '1.2.3.4/32', i = i, j = 1.00").await;
    assert_eq!(value(&client, marked).await, "", "the same texts again");
    run(&client, "UPDATE t SET a = 1.00, b = '{\"a\":1}', e = '30 days', f = '09:00+00', g = 'AA'").await;
    assert_eq!(value(&client, marked).await, "abefg", "equal, but printed differently");
    run(&client, "UPDATE t SET c = 'y', d = 'x ', h = '1.2.3.4/24', i = NULL, j = 1.01").await;
    assert_eq!(value(&client, marked).await, "abcdefghij");
    run(&client, "SET IntervalStyle = sql_standard; DELETE FROM t").await;
    assert_eq!(
        value(&client, "SELECT _image FROM electric.shadow__public__t").await,
        r#"{"a": "1.00", "b": "{\"a\":1}", "c": "y  ", "d": "x ", "e": "30 days", "f": "09:00:00+00", "g": "AA", "h": "1.2.3.4/24", "i": null, "j": "1.01", "id": "1"}"#
    );
}

#[tokio::test]
async fn roles_without_rights_and_odd_search_paths_write_like_all_others() {
    let (database, client) = installed().await;
    let role = format!("app_{}", database.name);
    run(
        &client,
        &format!(
            "CREATE TABLE t (id int PRIMARY KEY, v text); CALL electric.electrify('t'); CREATE ROLE {role}; GRANT ALL ON t TO {role};
             CREATE SCHEMA evil; GRANT ALL ON SCHEMA evil TO {role}; SET ROLE {role}; SET search_path = evil, public;
             CREATE FUNCTION evil.greatest_trap(text, text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE ''hijacked''; END';
             CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.greatest_trap);
             INSERT INTO t VALUES (1, 'a'), (2, 'b'); UPDATE t SET v = 'c'; DELETE FROM t WHERE id = 1; TRUNCATE t"
        ),
    )
    .await;
    run(&client, "RESET ROLE").await;
    assert_eq!(
        rows(&client, "SELECT id, _tags = '{}' FROM electric.shadow__public__t ORDER BY id").await,
        ["1|t", "2|t"]
    );
}

#[tokio::test]
async fn every_kind_of_statement() {
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE TABLE t (id int PRIMARY KEY, v text); CALL electric.electrify('t');
         INSERT INTO t SELECT i, 'x' FROM generate_series(1, 5) i;
         INSERT INTO t VALUES (5, 'up'), (6, 'new') ON CONFLICT (id) DO UPDATE SET v = excluded.v;
         INSERT INTO t VALUES (6, 'ignored') ON CONFLICT DO NOTHING;
         WITH gone AS (DELETE FROM t WHERE id = 1 RETURNING *) INSERT INTO t SELECT 7, v FROM gone;
         UPDATE t SET v = 'none' WHERE false; DELETE FROM t WHERE false;
         MERGE INTO t USING (VALUES (2, 'm'), (8, 'm')) s (id, v) ON t.id = s.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v)",
    )
    .await;
    let agree = "SELECT count(*) FROM t FULL JOIN (SELECT * FROM electric.shadow__public__t WHERE _tags <> '{}') s USING (id) WHERE t.id IS NULL OR s.id IS NULL";
    assert_eq!(value(&client, agree).await, "0");
    let dead = "SELECT string_agg(id::text, ',' ORDER BY id) FROM electric.shadow__public__t WHERE _tags = '{}' AND _image IS NOT NULL";
    assert_eq!(value(&client, dead).await, "1,2");
}

#[tokio::test]
async fn plans_kept_from_one_size_serve_the_other() {
    let (_database, client) = installed().await;
    run(&client, "CREATE TABLE t (id int PRIMARY KEY, v text); CALL electric.electrify('t'); SET statement_timeout = '60s'").await;
    // A plan of nested loops made for the first statements would take 400 million steps for the last ones.
    run(&client, "INSERT INTO t VALUES (0, 'x'); UPDATE t SET v = 'y'; DELETE FROM t; INSERT INTO t SELECT i, 'x' FROM generate_series(1, 20000) i; UPDATE t SET v = 'z'; UPDATE t SET id = -id; DELETE FROM t").await;
    assert_eq!(
        value(&client, "SELECT count(*), bool_and(_tags = '{}') FROM electric.shadow__public__t").await,
        "40001|t"
    );
}

#[tokio::test]
async fn big_loads_mark_new_rows_and_rows_that_come_back() {
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE TABLE t (id int PRIMARY KEY, v text); CALL electric.electrify('t');
         INSERT INTO t SELECT i, 'first' FROM generate_series(1, 3000) i",
    )
    .await;
    let fresh = "SELECT count(*), bool_and(_tags = ARRAY[_tag] AND _base = _tag AND _tag_v IS NULL AND _image IS NULL) FROM electric.shadow__public__t";
    assert_eq!(value(&client, fresh).await, "3000|t");
    run(
        &client,
        "DELETE FROM t WHERE id = 2900;
         UPDATE electric.shadow__public__t SET _tag_v = ROW('1980-01-01'::timestamptz, 'C')::electric.tag WHERE id = 2900;
         INSERT INTO t SELECT i, 'second' FROM generate_series(2900, 6000) i WHERE i = 2900 OR i > 3000",
    )
    .await;
    assert_eq!(value(&client, fresh).await, "6000|t", "the row that comes back has forgotten its past");
    // A load that fails leaves no mark.
    let refused =
        client.batch_execute("INSERT INTO t SELECT i, 'third' FROM generate_series(6000, 9000) i").await;
    assert!(refused.is_err());
    assert_eq!(value(&client, fresh).await, "6000|t");
}
