//! The table of supported types, and that the others are refused.

use std::io::{Cursor, Read as _};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use protocol::{
    prost::Message as _,
    wire::{SatOpMigrate, sat_op_migrate::AffectedEntity},
};
use serde_json::Value;

use super::{
    page::{bytes, code, table},
    service,
};
use crate::e2e::{http, service::Service};

/// A file of the only migration, for clients of a dialect.
async fn migration(service: &Service, dialect: &str, file: &str) -> String {
    let answer = http::get(service.port, &format!("/api/migrations?dialect={dialect}")).await;
    let mut zip = zip::ZipArchive::new(Cursor::new(&answer.body)).unwrap();
    let name = zip
        .file_names()
        .find_map(|name| name.ok().filter(|name| name.ends_with(file)).map(std::borrow::Cow::into_owned));
    let mut text = String::new();
    zip.by_name(&name.unwrap()).unwrap().read_to_string(&mut text).unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_have_the_types_that_the_page_says() {
    let service = service().await;
    let lines: Vec<Vec<String>> =
        table("What is supported").into_iter().filter(|line| line[0].starts_with('`')).collect();
    assert!(lines.len() > 20);
    let columns: Vec<String> =
        lines.iter().enumerate().map(|(n, line)| format!("c{n} {}", code(&line[0]))).collect();
    service
        .sql(&format!(
            "CREATE TABLE t (id int4 PRIMARY KEY, {}); CALL electric.electrify('t')",
            columns.join(", ")
        ))
        .await;
    let sqlite = migration(&service, "sqlite", "migration.sql").await;
    let postgres = migration(&service, "postgresql", "migration.sql").await;
    let metadata: Value =
        serde_json::from_str(&migration(&service, "sqlite", "metadata.json").await).unwrap();
    let op = BASE64_STANDARD.decode(metadata["ops"][0].as_str().unwrap()).unwrap();
    let Some(AffectedEntity::Table(described)) = SatOpMigrate::decode(op.as_slice()).unwrap().affected_entity
    else {
        panic!("no table")
    };
    for (n, line) in lines.iter().enumerate() {
        let column = described.columns.iter().find(|column| column.name == format!("c{n}")).unwrap();
        assert_eq!(column.pg_type.as_ref().unwrap().name, code(&line[1]), "{line:?}");
        assert_eq!(column.sqlite_type, code(&line[2]), "{line:?}");
        assert!(sqlite.contains(&format!("\"c{n}\" {},\n", code(&line[2]))), "{line:?}\n{sqlite}");
        assert!(postgres.contains(&format!("    c{n} {},\n", code(&line[3]))), "{line:?}\n{postgres}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_of_the_types_that_the_page_says() {
    let service = service().await;
    for (n, line) in
        table("What is supported").iter().enumerate().filter(|(_, line)| line[0].starts_with('`'))
    {
        let (ty, name) = (code(&line[0]), format!("k{n}"));
        // json has no operators for an index.
        if ty == "json" {
            continue;
        }
        service.sql(&format!("CREATE TABLE {name} (id {ty} PRIMARY KEY)")).await;
        let call = format!("CALL electric.electrify('{name}')");
        let electrified = service.postgres.batch_execute(&call).await;
        assert_eq!(electrified.is_ok(), line[4] != "no", "{ty}: {electrified:?}");
        if let Err(error) = electrified {
            let error = error.as_db_error().unwrap();
            assert!(error.message().contains(&format!("\n\n    id {ty} (in a key, ")), "{error:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_have_the_types_of_keys() {
    let service = service().await;
    service
        .sql(
            "CREATE TABLE prices (id int4 PRIMARY KEY, price numeric UNIQUE, small int8);
             CREATE TABLE offers (id int4 PRIMARY KEY, price int8 REFERENCES prices (price));
             CALL electric.electrify('prices')",
        )
        .await;
    let error = service.postgres.batch_execute("CALL electric.electrify('offers')").await.unwrap_err();
    assert!(error.as_db_error().unwrap().message().contains("    price bigint (in a key, "), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_types_are_refused_with_the_reason() {
    let service = service().await;
    service
        .sql("CREATE TYPE pair AS (a int, b int); CREATE DOMAIN shade AS color; CREATE DOMAIN tags AS text[]")
        .await;
    for (n, (ty, hint)) in [
        ("integer[]", "jsonb"),
        ("text[]", "jsonb"),
        ("tags", "jsonb"),
        ("pair", "composite"),
        ("shade", "enumeration"),
        ("money", "numeric"),
        ("xml", "text"),
        ("int4range", "text"),
        ("point", "text"),
        ("bit(3)", "text"),
        ("macaddr", "text"),
        ("tsvector", "text"),
        ("oid", "text"),
        ("name", "text"),
        ("\"char\"", "text"),
        ("regclass", "text"),
    ]
    .into_iter()
    .enumerate()
    {
        service.sql(&format!("CREATE TABLE x{n} (id int4 PRIMARY KEY, v {ty})")).await;
        let error =
            service.postgres.batch_execute(&format!("CALL electric.electrify('x{n}')")).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code().code(), "P0001");
        let begins = format!(
            "Cannot electrify x{n} because some of its columns have types not supported by Electric:\n\n    v {ty}\n\n"
        );
        assert!(error.message().starts_with(&begins), "{error:?}");
        assert!(error.hint().unwrap().contains(hint), "{error:?}");
    }
}

#[test]
fn masks_have_the_first_column_in_the_highest_bit() {
    for line in table("NULLs") {
        let columns: usize = line[0].parse().unwrap();
        let nulls: Vec<usize> = line[1].split(',').filter_map(|n| n.trim().parse().ok()).collect();
        let values: Vec<Option<&[u8]>> =
            (0..columns).map(|n| if nulls.contains(&n) { None } else { Some(b"".as_slice()) }).collect();
        let row = testkit::satellite::wire_row(&values);
        assert_eq!(row.nulls_bitmask, bytes(code(&line[2])), "{line:?}");
    }
}
