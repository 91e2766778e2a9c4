//! A database with synced tables, a writer, and client transactions to give it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use bytes::Bytes;
use change::{ClientId, ClientLsn, ClientOp, ClientOpKind, ClientTransaction, Field, Tags};
use postgres::{catalogue, connection::ConnectConfig, install::install, writer::WriterPool};
use schema::{Schema, Table};
use testkit::Database;
use tokio_postgres::Client;

/// A database whose tables are synced.
#[derive(Clone)]
pub struct Fixture {
    pub db: Database,
    pub schema: Arc<Schema>,
}

impl Fixture {
    /// Makes the tables and electrifies those named.
    pub async fn new(ddl: &str, tables: &[&str]) -> Fixture {
        Fixture::on(Database::create().await, ddl, tables).await
    }

    /// The same in a database that is there.
    pub async fn on(db: Database, ddl: &str, tables: &[&str]) -> Fixture {
        let mut client = db.client().await;
        install(&mut client).await.expect("schema electric");
        client.batch_execute(ddl).await.expect("the tables");
        for table in tables {
            client.batch_execute(&format!("CALL electric.electrify('{table}')")).await.expect("electrified");
        }
        let catalogue = catalogue::load(&client).await.expect("the catalogue");
        Fixture { db, schema: Arc::new(catalogue.schema) }
    }

    /// A database that another process has made.
    pub async fn at(url: &str) -> Fixture {
        let db = Database { name: String::new(), url: url.to_owned() };
        let catalogue = catalogue::load(&db.client().await).await.expect("the catalogue");
        Fixture { db, schema: Arc::new(catalogue.schema) }
    }

    /// The same database, after something was done to its schema.
    pub async fn reload(&self) -> Fixture {
        let catalogue = catalogue::load(&self.db.client().await).await.expect("the catalogue");
        Fixture { db: self.db.clone(), schema: Arc::new(catalogue.schema) }
    }

    /// A writer with so many connections.
    pub fn writer(&self, size: usize) -> Arc<WriterPool> {
        let (config, _) = ConnectConfig::parse(&self.db.url, Some(false), None).expect("a connection string");
        let schema = self.schema.clone();
        Arc::new(WriterPool::new(config, move || schema.clone(), size))
    }

    pub fn table(&self, name: &str) -> &Table {
        self.schema.table_named(name).expect("a synced table")
    }

    pub fn insert(&self, table: &str, values: &[&str]) -> ClientOp {
        self.op(ClientOpKind::Insert, table, values)
    }

    pub fn delete(&self, table: &str, key: &str) -> ClientOp {
        self.op(ClientOpKind::Delete, table, &[key])
    }

    /// An operation whose first columns are given; `null` is NULL, `-` is absent. What is given counts as written, but for
    /// the key.
    pub fn op(&self, kind: ClientOpKind, table: &str, values: &[&str]) -> ClientOp {
        let table = self.table(table);
        let field = |n: usize| match values.get(n) {
            None | Some(&"-") => Field::Absent,
            Some(&"null") => Field::Null,
            Some(text) => Field::Value(Bytes::copy_from_slice(text.as_bytes())),
        };
        let writes = matches!(kind, ClientOpKind::Insert | ClientOpKind::Update);
        let values: Vec<Field> = (0..table.columns.len()).map(field).collect();
        let written = (0..values.len())
            .map(|n| writes && values[n] != Field::Absent && !table.primary_key.contains(&n))
            .collect();
        ClientOp { relation: table.id, kind, values, written, clear: Tags::new() }
    }
}

/// The `lsn`-th transaction of a client, at that many milliseconds after the epoch times 1000.
pub fn tx(client: &str, lsn: u32, ops: impl IntoIterator<Item = ClientOp>) -> ClientTransaction {
    ClientTransaction {
        client: ClientId::new(client).expect("an id"),
        lsn: ClientLsn::new(Bytes::copy_from_slice(&lsn.to_be_bytes())).expect("a position"),
        timestamp_ms: u64::from(lsn) * 1000,
        ops: ops.into_iter().collect(),
    }
}

/// With clear tags.
pub fn clearing(mut op: ClientOp, tags: &[&str]) -> ClientOp {
    op.clear = tags.iter().map(|text| text.parse().expect("a tag")).collect();
    op
}

/// A client id of its own for each call.
pub fn fresh_client() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    format!("client-{}", COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// One value as text.
pub async fn text(client: &Client, query: &str) -> Option<String> {
    let rows = client.query(&format!("SELECT ({query})::text"), &[]).await.expect("a query");
    rows.first().and_then(|row| row.get(0))
}

/// Waits until `query` says true.
pub async fn until(client: &Client, query: &str) {
    while text(client, query).await.as_deref() != Some("true") {
        tokio::task::yield_now().await;
    }
}
