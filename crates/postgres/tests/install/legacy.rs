//! Taking over a database that a legacy server used: built here by its documented outline (spec 04 §6, 05 §2).

use postgres::{catalogue, install::install};
use testkit::Database;

use super::{rows, run, value};

const LEGACY: &str = r#"
    CREATE SCHEMA electric;
    CREATE TABLE electric.schema_migrations (version int8 PRIMARY KEY, inserted_at timestamp NOT NULL DEFAULT LOCALTIMESTAMP);
    INSERT INTO electric.schema_migrations (version) VALUES (20230328113927), (20240501000000);
    CREATE FUNCTION electric.current_xact_id() RETURNS xid8 LANGUAGE sql AS 'SELECT pg_current_xact_id()';
    CREATE FUNCTION electric.current_xact_ts() RETURNS int8 LANGUAGE sql AS 'SELECT 1::int8';
    CREATE TABLE electric.migration_versions (txid xid8 NOT NULL DEFAULT electric.current_xact_id(), txts int8 NOT NULL DEFAULT electric.current_xact_ts(),
        version varchar(255) NOT NULL CONSTRAINT migration_unique_version UNIQUE, inserted_at timestamptz NOT NULL DEFAULT transaction_timestamp(),
        priority int2 NOT NULL DEFAULT 0, PRIMARY KEY (txid, txts));
    CREATE TABLE electric.ddl_commands (id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, txid xid8 NOT NULL DEFAULT electric.current_xact_id(),
        txts int8 NOT NULL DEFAULT electric.current_xact_ts(), query text NOT NULL,
        query_hash bytea GENERATED ALWAYS AS (sha256(query::bytea)) STORED, CONSTRAINT ddl_table_unique_migrations UNIQUE (txid, txts, query_hash));
    CREATE TABLE electric.electrified (id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, schema_name varchar(64) NOT NULL, table_name varchar(64) NOT NULL,
        oid oid NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), CONSTRAINT unique_table_name UNIQUE (schema_name, table_name));
    CREATE TABLE electric.transaction_marker (id varchar(64) PRIMARY KEY, content jsonb);
    INSERT INTO electric.transaction_marker VALUES ('magic write', '{}'), ('cluster_id', '"5ba3ab71-8a4d-43a9-9f14-4b1b5a4c5b83"');
    CREATE TABLE electric.acknowledged_client_lsns (client_id text PRIMARY KEY, lsn bytea NOT NULL);
    INSERT INTO electric.acknowledged_client_lsns VALUES ('A', '\x00000001');
    CREATE TABLE electric.client_checkpoints (client_id varchar(64) PRIMARY KEY, pg_wal_pos bigint, sent_rows_graph bytea);
    CREATE TABLE electric.grants (privilege varchar(20) PRIMARY KEY);
    CREATE TYPE electric.unbounded_tag AS ("timestamp" timestamptz, source_id varchar(255));
    CREATE DOMAIN electric.tag AS electric.unbounded_tag CHECK ((VALUE)."timestamp" IS NOT NULL OR VALUE IS NULL);
    CREATE FUNCTION electric.tag_lt(electric.tag, electric.tag) RETURNS bool LANGUAGE sql AS 'SELECT ($1)."timestamp" < ($2)."timestamp"';
    CREATE OPERATOR electric.< (LEFTARG = electric.tag, RIGHTARG = electric.tag, FUNCTION = electric.tag_lt);

    CREATE TABLE public.items (id text PRIMARY KEY, v text, done bool);
    CREATE TABLE public.notes (id int PRIMARY KEY, item text REFERENCES items);
    ALTER TABLE items REPLICA IDENTITY FULL;
    CREATE TABLE electric.shadow__public__items (_tags electric.tag[] DEFAULT '{}', _last_modified bigint, _is_a_delete_operation bool, _tag electric.tag,
        _observed_tags electric.tag[], _modified_columns_bit_mask bool[], _resolved bool, _currently_reordering bool, __reordered_v text, __reordered_done bool,
        id text NOT NULL PRIMARY KEY, _tag_v electric.tag, _tag_done electric.tag);
    ALTER TABLE electric.shadow__public__items REPLICA IDENTITY FULL;
    CREATE TABLE electric.tombstone__public__items (id text PRIMARY KEY, v text, done bool);
    CREATE FUNCTION electric.upsert_generate_shadow_rows___public__items() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''legacy trigger''; END';
    CREATE TRIGGER postgres_write__upsert_generate_shadow_rows BEFORE INSERT OR UPDATE ON items FOR EACH ROW
        EXECUTE FUNCTION electric.upsert_generate_shadow_rows___public__items();
    CREATE TRIGGER satellite_write__upsert_rows BEFORE INSERT ON electric.shadow__public__items FOR EACH ROW
        EXECUTE FUNCTION electric.upsert_generate_shadow_rows___public__items();
    CREATE TRIGGER upsert_acknowledged_client_lsn BEFORE INSERT ON electric.acknowledged_client_lsns FOR EACH ROW
        EXECUTE FUNCTION electric.upsert_generate_shadow_rows___public__items();
    CREATE FUNCTION electric.ddl_end() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
    CREATE EVENT TRIGGER electric_event_trigger_ddl_end ON ddl_command_end EXECUTE FUNCTION electric.ddl_end();
    CREATE PROCEDURE electric.electrify(name1 text, name2 text DEFAULT NULL) LANGUAGE plpgsql AS 'BEGIN END';
    CREATE FUNCTION electric.migration_version(_version text) RETURNS int LANGUAGE sql AS 'SELECT 1';
    INSERT INTO electric.electrified (schema_name, table_name, oid) VALUES ('public', 'items', 'items'::regclass), ('public', 'notes', 'notes'::regclass);
    CREATE PUBLICATION electric_publication FOR TABLE items, notes, electric.shadow__public__items, electric.ddl_commands, electric.electrified, electric.grants;

    INSERT INTO electric.migration_versions (txid, txts, version, inserted_at) VALUES ('700', 1, '20240101120000_001', '2024-01-01'), ('701', 1, '20240102120000_001', '2024-01-02');
    INSERT INTO electric.ddl_commands (txid, txts, query) VALUES
        ('700', 1, E'CREATE TABLE items (\n    id text NOT NULL,\n    CONSTRAINT items_pkey PRIMARY KEY (id)\n);\n\n\n'),
        ('701', 1, E'CREATE TABLE notes (\n    id integer NOT NULL\n);\n');
    ALTER TABLE items DISABLE TRIGGER ALL; ALTER TABLE electric.shadow__public__items DISABLE TRIGGER ALL;
    INSERT INTO items VALUES ('1', 'live', true);
    INSERT INTO electric.shadow__public__items (id, _tags, _tag, _tag_v, _resolved) VALUES
        ('1', ARRAY[ROW('2024-01-01 00:00:01Z', 'A')::electric.tag], ROW('2024-01-01 00:00:01Z', 'A'), ROW('2024-01-01 00:00:01Z', 'A'), true),
        ('2', '{}', ROW('2024-01-01 00:00:02Z', 'A'), ROW('2024-01-01 00:00:01Z', 'A'), true);
    INSERT INTO electric.tombstone__public__items VALUES ('1', 'earlier', false), ('2', 'dead', true);
    ALTER TABLE items ENABLE TRIGGER ALL; ALTER TABLE electric.shadow__public__items ENABLE TRIGGER ALL;
"#;

#[tokio::test]
async fn keeps_what_merging_knows_and_replaces_the_rest() {
    let database = Database::create().await;
    let mut client = database.client().await;
    run(&client, LEGACY).await;
    let installed = install(&mut client).await.unwrap();
    assert!(installed.took_over_legacy);
    assert_eq!(installed.cluster_id, "5ba3ab71-8a4d-43a9-9f14-4b1b5a4c5b83");
    assert!(!install(&mut client).await.unwrap().took_over_legacy);

    run(&client, "SET TimeZone = 'UTC'").await;
    assert_eq!(
        rows(&client, "SELECT id, _tags, _tag, _tag_v, _tag_done, _image FROM electric.shadow__public__items ORDER BY id").await,
        [
            r#"1|{"(\"2024-01-01 00:00:01+00\",A)"}|("2024-01-01 00:00:01+00",A)|("2024-01-01 00:00:01+00",A)||"#,
            r#"2|{}|("2024-01-01 00:00:02+00",A)|("2024-01-01 00:00:01+00",A)||{"v": "dead", "id": "2", "done": "t"}"#
        ]
    );
    let columns = "SELECT string_agg(attname, ',' ORDER BY attname) FROM pg_attribute WHERE attrelid = 'electric.shadow__public__items'::regclass AND attnum > 0 AND NOT attisdropped";
    assert_eq!(value(&client, columns).await, "_base,_image,_tag,_tag_done,_tag_v,_tags,id");
    assert_eq!(
        value(&client, "SELECT lsn FROM electric.acknowledged_client_lsns WHERE client_id = 'A'").await,
        "\\x00000001"
    );
    let legacy = "SELECT (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgname ~ '^(postgres_write|satellite_write|upsert_ack)')
        + (SELECT count(*) FROM pg_event_trigger WHERE evtname NOT LIKE 'electric\\_guard\\_%') + (SELECT count(*) FROM pg_class WHERE relname LIKE 'tombstone%')";
    assert_eq!(value(&client, legacy).await, "0");
    let published =
        "SELECT tablename FROM pg_publication_tables WHERE pubname = 'electric_publication' ORDER BY 1";
    assert_eq!(
        rows(&client, published).await,
        [
            "acknowledged_client_lsns",
            "ddl_commands",
            "items",
            "notes",
            "shadow__public__items",
            "shadow__public__notes"
        ]
    );

    run(&client, "INSERT INTO items VALUES ('2', 'again', false); UPDATE items SET v = 'w' WHERE id = '1'; INSERT INTO notes VALUES (1, '1')").await;
    assert_eq!(
        rows(&client, "SELECT id, (coalesce(_tag_v, _base)).source_id IS NULL, cardinality(_tags), _image FROM electric.shadow__public__items ORDER BY id").await,
        ["1|t|1|", "2|t|1|"]
    );
}

#[tokio::test]
async fn keeps_the_versions_that_clients_have() {
    let database = Database::create().await;
    let mut client = database.client().await;
    run(&client, LEGACY).await;
    install(&mut client).await.unwrap();
    run(&client, "CREATE TABLE later (id int PRIMARY KEY); CALL electric.electrify('later')").await;
    let catalogue = catalogue::load(&client).await.unwrap();
    let steps: Vec<_> = catalogue
        .steps
        .iter()
        .map(|step| {
            (
                step.migration.version.as_str(),
                step.migration.xid.0,
                step.migration.ops.len(),
                step.schema.tables().len(),
            )
        })
        .collect();
    assert_eq!(steps[..2], [("20240101120000_001", 700, 1, 1), ("20240102120000_001", 701, 1, 2)]);
    assert_eq!((steps.len(), steps[2].3), (3, 3));
    assert_eq!(catalogue.steps[0].migration.recorded_ms, 1_704_067_200_000);
}
