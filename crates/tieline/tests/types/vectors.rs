//! Every vector of the page, both ways.

use std::collections::{BTreeMap, btree_map::Entry};

use bytes::Bytes;
use protocol::{ErrorCode, Message};
use testkit::{
    satellite::{Op, Satellite},
    unsigned_token,
};

use super::{
    page::{Cell, cell, code, table},
    printed, quoted, service,
};
use crate::e2e::service::Service;

/// A subscription.
const ALL: &str = "00000000-0000-4000-8000-00000000a110";

/// A value's way.
struct Vector {
    number: String,
    ty: String,
    postgres: Option<Option<Vec<u8>>>,
    to_client: Option<Option<Vec<u8>>>,
    from_client: Option<Option<Vec<u8>>>,
    result: Option<Option<Vec<u8>>>,
}

fn vectors() -> Vec<Vector> {
    let vector = |line: Vec<String>| {
        let [number, ty, cells @ ..] = line.as_slice() else { panic!("{line:?}") };
        let cells: Vec<Cell> = cells.iter().map(|text| cell(text)).collect();
        let [postgres, to_client, from_client, result] = cells.as_slice() else { panic!("{line:?}") };
        // What stays the same on the way back is the value as the client got it.
        let there = if *to_client == Cell::Same { postgres } else { to_client };
        Vector {
            number: number.clone(),
            ty: code(ty).to_owned(),
            postgres: postgres.value(&Cell::Nothing),
            to_client: to_client.value(postgres),
            from_client: from_client.value(there),
            result: result.value(postgres),
        }
    };
    table("Values from Postgres and back").into_iter().map(vector).collect()
}

/// One table for each type of the vectors: `v0`, `v1`, …
async fn tables(service: &Service, vectors: &[Vector]) -> BTreeMap<String, String> {
    let mut tables = BTreeMap::new();
    for vector in vectors {
        let next = format!("v{}", tables.len());
        if tables.contains_key(&vector.ty) {
            continue;
        }
        service
            .sql(&format!(
                "CREATE TABLE {next} (id int4 PRIMARY KEY, v {}); CALL electric.electrify('{next}')",
                vector.ty
            ))
            .await;
        tables.insert(vector.ty.clone(), next);
    }
    tables
}

fn text(value: &[u8]) -> &str {
    std::str::from_utf8(value).unwrap()
}

/// The values of the rows in some operations, by table and id.
fn values(ops: &[Op]) -> BTreeMap<(String, String), Option<Bytes>> {
    let value = |op: &Op| {
        let (table, row) = op.row()?;
        let id = text(row["id"].as_deref()?).to_owned();
        Some(((table.to_owned(), id), row["v"].clone()))
    };
    ops.iter().filter_map(value).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn values_reach_clients_and_come_back() {
    let service = service().await;
    let vectors = vectors();
    assert!(vectors.len() > 90);
    let tables = tables(&service, &vectors).await;
    let names: Vec<&str> = tables.values().map(String::as_str).collect();
    let mut streamed = Satellite::open(service.port, "streamed", &unsigned_token("1")).await.unwrap();
    streamed.subscribe(ALL, &names).await.unwrap();
    assert!(streamed.data_of(ALL).await.unwrap().is_empty());

    let mut inserts = String::new();
    for (id, vector) in vectors.iter().enumerate() {
        if let Some(postgres) = &vector.postgres {
            let value = postgres.as_deref().map_or("NULL".to_owned(), |value| quoted(text(value)));
            inserts += &format!("INSERT INTO {} VALUES ({id}, {value});", tables[&vector.ty]);
        }
    }
    service.sql(&inserts).await;
    let (_, ops) = streamed.next_transaction().await.unwrap();
    let by_stream = values(&ops);
    let mut late = Satellite::open(service.port, "late", &unsigned_token("1")).await.unwrap();
    late.subscribe(ALL, &names).await.unwrap();
    let by_snapshot = values(&late.data_of(ALL).await.unwrap());
    for (id, vector) in vectors.iter().enumerate() {
        let Some(postgres) = &vector.postgres else { continue };
        let (number, name) = (&vector.number, &tables[&vector.ty]);
        let found = printed(&service, &format!("SELECT v FROM {name} WHERE id = {id}")).await;
        assert_eq!(found.as_deref(), postgres.as_deref().map(text), "{number} {} in Postgres", vector.ty);
        let expected = vector.to_client.as_ref().unwrap().as_deref();
        let key = (name.clone(), id.to_string());
        assert_eq!(by_stream[&key].as_deref(), expected, "{number} {} by the stream", vector.ty);
        assert_eq!(by_snapshot[&key].as_deref(), expected, "{number} {} by a snapshot", vector.ty);
    }

    for (relation, name) in names.iter().enumerate() {
        streamed.announce(u32::try_from(relation).unwrap(), name, &["id", "v"]).await.unwrap();
    }
    let mut writes = Vec::new();
    for (id, vector) in vectors.iter().enumerate() {
        let Some(value) = &vector.from_client else { continue };
        let relation = names.iter().position(|name| *name == tables[&vector.ty]).unwrap();
        let key = (1000 + id).to_string();
        let row = [Some(key.as_bytes()), value.as_deref()];
        writes.push(Satellite::insert(u32::try_from(relation).unwrap(), &row, &[]));
    }
    streamed.write(writes).await.unwrap();
    streamed.next_transaction().await.unwrap();
    for (id, vector) in vectors.iter().enumerate() {
        let Some(expected) = vector.result.as_ref().filter(|_| vector.from_client.is_some()) else {
            continue;
        };
        let query = format!("SELECT v FROM {} WHERE id = {}", tables[&vector.ty], 1000 + id);
        let found = printed(&service, &query).await;
        assert_eq!(
            found.as_deref(),
            expected.as_deref().map(text),
            "{} {} from the client",
            vector.number,
            vector.ty
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_postgres_would_refuse_is_refused_to_its_author_alone() {
    let service = service().await;
    let lines = table("Values that are refused");
    assert!(lines.len() > 50);
    let mut relations: BTreeMap<String, String> = BTreeMap::new();
    for line in &lines {
        let (ty, name) = (code(&line[1]).to_owned(), format!("r{}", relations.len()));
        if let Entry::Vacant(vacant) = relations.entry(ty) {
            let columns = format!("id int4 PRIMARY KEY, v {}", vacant.key());
            service.sql(&format!("CREATE TABLE {name} ({columns}); CALL electric.electrify('{name}')")).await;
            vacant.insert(name);
        }
    }
    for (n, line) in lines.iter().enumerate() {
        let [number, ty, value] = line.as_slice() else { panic!("{line:?}") };
        let Cell::Bytes(value) = cell(value) else { panic!("{line:?}") };
        let name = &relations[code(ty)];
        let mut client =
            Satellite::open(service.port, &format!("client-{n}"), &unsigned_token("1")).await.unwrap();
        client.announce(0, name, &["id", "v"]).await.unwrap();
        let good = Satellite::insert(0, &[Some(b"1"), None], &[]);
        client.write(vec![good, Satellite::insert(0, &[Some(b"2"), Some(&value)], &[])]).await.unwrap();
        let (errors, closed) = client.closed().await.unwrap();
        assert_eq!((errors.len(), closed.code), (1, Some(1007)), "{number} {ty} {value:?}: {errors:?}");
        let Message::Error(error) = &errors[0] else { panic!("{errors:?}") };
        assert_eq!(error.error_type(), ErrorCode::InvalidRequest, "{number} {ty}");
        let written = printed(&service, &format!("SELECT count(*) FROM {name}")).await;
        assert_eq!(written.as_deref(), Some("0"), "{number} {ty} {value:?}");
    }
}
