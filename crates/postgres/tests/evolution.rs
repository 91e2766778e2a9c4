//! The Postgres dialect of migrations, run by a real Postgres as a client runs it.

use std::collections::BTreeMap;

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, TestRunner},
};
use schema::{Dialect, Migration, MigrationOp, Schema, Table};
use testkit::Database;
use tokio_postgres::Client;

use crate::random;

/// Runs a migration's statements in one transaction, one by one.
async fn run(client: &mut Client, migration: &Migration) {
    let transaction = client.transaction().await.unwrap();
    for op in &migration.ops {
        let statements: Vec<&str> = match op {
            MigrationOp::Enum { postgres, .. } => postgres.iter().map(String::as_str).collect(),
            MigrationOp::Table { statements, .. } | MigrationOp::Statements(statements) => {
                statements.iter().filter_map(|statement| statement.sql(Dialect::Postgres)).collect()
            }
        };
        for sql in statements {
            if let Err(error) = transaction.batch_execute(sql).await {
                panic!("{error:?}: {sql}\nin {migration:#?}");
            }
        }
    }
    transaction.commit().await.unwrap();
}

fn live(schema: &Schema) -> impl Iterator<Item = &Table> {
    schema.tables().map(|table| &**table).filter(|table| table.held_back.is_none())
}

/// A row in each table that clients get, each referring to one in the table that its table refers to.
async fn fill(client: &Client, schema: &Schema) {
    for table in live(schema) {
        let insert = format!("INSERT INTO \"{}\" (id) VALUES ('1') ON CONFLICT DO NOTHING", table.name);
        client.batch_execute(&insert).await.unwrap();
    }
    for table in live(schema).filter(|table| !table.foreign_keys.is_empty()) {
        client.batch_execute(&format!("UPDATE \"{}\" SET parent = '1'", table.name)).await.unwrap();
    }
}

/// Columns with their types, tables referred to, indexes beside the key's.
type Shape = (Vec<(String, String)>, Vec<String>, Vec<String>);

async fn shape_in(client: &Client, name: &str) -> Shape {
    let relation = format!("\"{name}\"");
    let columns = "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute \
        WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
    let columns = client.query(columns, &[&relation]).await.unwrap();
    let keys = "SELECT relname::text FROM pg_constraint c JOIN pg_class p ON p.oid = c.confrelid \
        WHERE conrelid = $1::text::regclass AND contype = 'f'";
    let keys = client.query(keys, &[&relation]).await.unwrap();
    let indexes = "SELECT relname::text FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid \
        WHERE indrelid = $1::text::regclass AND NOT indisprimary ORDER BY relname";
    let indexes = client.query(indexes, &[&relation]).await.unwrap();
    (
        columns.iter().map(|row| (row.get(0), row.get(1))).collect(),
        keys.iter().map(|row| row.get(0)).collect(),
        indexes.iter().map(|row| row.get(0)).collect(),
    )
}

/// Without the indexes: clients keep those that were dropped.
fn shape_of(table: &Table) -> (Vec<(String, String)>, Vec<String>) {
    let columns = table.columns.iter().map(|column| (column.name.clone(), column.sql_type.clone()));
    (columns.collect(), table.foreign_keys.iter().map(|fk| fk.referenced_table.clone()).collect())
}

#[tokio::test]
async fn a_client_s_tables_are_those_of_the_schema_whatever_happens() {
    let database = Database::create().await;
    let mut client = database.client().await;
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &[7; 32]),
    );
    for case in 0..60 {
        let actions = random::history().new_tree(&mut runner).unwrap().current();
        client.batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await.unwrap();
        let (mut schema, mut tables) = (Schema::default(), random::Database::new());
        for (n, actions) in actions.iter().enumerate() {
            let (migration, after) = random::step(n, &tables.run(actions), &schema);
            run(&mut client, &migration).await;
            schema = after;
            fill(&client, &schema).await;
        }
        for table in live(&schema) {
            let (columns, keys, indexes) = shape_in(&client, &table.name).await;
            assert_eq!((columns, keys), shape_of(table), "case {case}: {actions:#?}");
            for index in &table.indexes {
                assert!(indexes.contains(&index.name), "case {case}: {}: {actions:#?}", index.name);
            }
        }
        assert_eq!(labels_in(&client).await, labels_of(&schema), "case {case}: {actions:#?}");
    }
}

async fn labels_in(client: &Client) -> BTreeMap<String, Vec<String>> {
    let labels = "SELECT typname::text, array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_enum e \
        JOIN pg_type t ON t.oid = e.enumtypid GROUP BY 1";
    client.query(labels, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Those that clients have been told of.
fn labels_of(schema: &Schema) -> BTreeMap<String, Vec<String>> {
    schema.enum_type("hue").map(|ty| (ty.name.clone(), ty.labels.clone())).into_iter().collect()
}
