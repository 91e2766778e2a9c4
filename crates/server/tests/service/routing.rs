//! Many clients, each with rows of its own: everyone gets what is theirs, all of it, and nothing else.

use std::{collections::BTreeMap, sync::Arc};

use testkit::{
    Satellite,
    satellite::{Op, Received, Row, Select},
    unsigned_token,
};
use tokio_postgres::Client;

use super::support::*;

const SUBSCRIPTION: &str = "00000000-0000-4000-8000-000000000001";
const OWNERS: u64 = 8;
const WRITERS: u64 = 3;
const ROUNDS: u64 = 150;

/// Notes by table and id.
type Rows = BTreeMap<(String, String), String>;

/// Numbers without a pattern (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// One random transaction on the notes, which stand alone, or on the owners and what they have.
fn change(random: &mut Random) -> String {
    let (table, id) = (["notes", "things"][random.below(2) as usize], random.below(60));
    let (owner, note) = (random.below(OWNERS), random.below(1000));
    match random.below(6) {
        0 | 1 => format!(
            "INSERT INTO {table} VALUES ('{id}', 'o{owner}', '{note}')
             ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, note = excluded.note"
        ),
        2 => format!("UPDATE {table} SET owner = 'o{owner}' WHERE id IN ('{id}', '{}')", id + 1),
        3 => format!("UPDATE {table} SET note = '{note}' WHERE id = '{id}'"),
        4 => format!("DELETE FROM {table} WHERE id = '{id}'"),
        _ => format!(
            "UPDATE owners SET note = CASE note WHEN 'shown' THEN 'hidden' ELSE 'shown' END WHERE id = 'o{owner}'"
        ),
    }
}

fn text(row: &Row, column: &str) -> String {
    String::from_utf8(row[column].clone().unwrap_or_default().to_vec()).expect("text")
}

/// What a client stores.
#[derive(Default)]
struct Replica(Rows);

impl Replica {
    /// Whether the last change of all was in it.
    fn apply(&mut self, ops: &[Op]) -> bool {
        let mut is_last = false;
        for op in ops {
            let Some((table, row)) = op.row() else { continue };
            let key = (table.to_owned(), text(row, "id"));
            is_last |= key.1.starts_with("end");
            match op {
                // What leaves before the additional data that it is of was read may not have come.
                Op::Delete { .. } | Op::Gone { .. } => {
                    let was_there = self.0.remove(&key).is_some();
                    assert!(was_there || table == "things", "{key:?} was not there");
                }
                _ => drop(self.0.insert(key, text(row, "note"))),
            }
        }
        is_last
    }

    /// Rows that it may have already.
    fn add(&mut self, ops: &[Op]) {
        for (table, row) in ops.iter().filter_map(Op::row) {
            self.0.entry((table.to_owned(), text(row, "id"))).or_insert_with(|| text(row, "note"));
        }
    }
}

/// Follows a shape until the last change; what the client has then.
async fn follow(port: u16, name: String, shape: Select) -> Rows {
    let mut client = Satellite::open(port, &name, &unsigned_token(&name)).await.expect("to be let in");
    let response = client.request_shapes(SUBSCRIPTION, vec![shape.request("r")]).await.expect("an answer");
    assert_eq!(response.err, None);
    let mut replica = Replica::default();
    let (mut is_last, mut owed) = (false, 0);
    while !is_last || owed != 0 {
        match client.next().await.expect("something to come") {
            Received::Transaction { begin, ops } => {
                is_last |= replica.apply(&ops);
                owed = begin.additional_data_ref;
            }
            Received::Additional { ops, .. } => {
                replica.add(&ops);
                owed = 0;
            }
            Received::Data { shapes, .. } => shapes.iter().for_each(|shape| replica.add(&shape.ops)),
            Received::Gone { .. } => panic!("nobody unsubscribed"),
        }
    }
    replica.0
}

async fn select(postgres: &Client, query: &str) -> Rows {
    let rows = postgres.query(query, &[]).await.expect("rows");
    rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everyone_gets_what_is_theirs() {
    let (database, postgres, running) = start_with_items().await;
    postgres
        .batch_execute(
            "CREATE TABLE notes (id text PRIMARY KEY, owner text, note text);
             CREATE TABLE owners (id text PRIMARY KEY, note text);
             CREATE TABLE things (id text PRIMARY KEY, owner text REFERENCES owners, note text);
             CALL electric.electrify('notes'); CALL electric.electrify('owners'); CALL electric.electrify('things');
             INSERT INTO owners SELECT 'o' || i, 'shown' FROM generate_series(0, 7) i;
             INSERT INTO notes SELECT i, 'o' || i % 8, 'first' FROM generate_series(0, 29) i;
             INSERT INTO things SELECT i, 'o' || i % 8, 'first' FROM generate_series(0, 29) i",
        )
        .await
        .unwrap();
    stream_has_caught_up(running.port).await;
    let mut clients = Vec::new();
    for owner in 0..OWNERS {
        let notes = Select::from("notes").filter(format!("this.owner = 'o{owner}'"));
        let things = Select::from("owners")
            .filter(format!("this.id = 'o{owner}' AND this.note = 'shown'"))
            .with("owner", Select::from("things"));
        for (kind, shape) in [("notes", notes), ("things", things)] {
            clients.push(tokio::spawn(follow(running.port, format!("{kind}-{owner}"), shape)));
        }
    }
    let database = Arc::new(database);
    let writers = (0..WRITERS).map(|writer| {
        let database = database.clone();
        tokio::spawn(async move {
            let postgres = database.client().await;
            let mut random = Random(writer);
            for _ in 0..ROUNDS {
                // Two that wait for each other are Postgres' own business.
                let _ = postgres.batch_execute(&change(&mut random)).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        within(writer).await.unwrap();
    }
    let last = "UPDATE owners SET note = 'shown';
                INSERT INTO notes SELECT 'end' || id, id, '' FROM owners;
                INSERT INTO things SELECT 'end' || id, id, '' FROM owners";
    postgres.batch_execute(&format!("BEGIN; {last}; COMMIT")).await.unwrap();

    for (number, client) in clients.into_iter().enumerate() {
        let (owner, joined) = (format!("'o{}'", number / 2), number % 2 == 1);
        let got = within(client).await.unwrap();
        let query = if joined {
            format!(
                "SELECT 'owners', id, note FROM owners WHERE id = {owner}
                 UNION ALL SELECT 'things', id, note FROM things WHERE owner = {owner}"
            )
        } else {
            format!("SELECT 'notes', id, note FROM notes WHERE owner = {owner}")
        };
        assert_eq!(got, select(&postgres, &query).await, "of {owner}, with includes: {joined}");
    }
}
