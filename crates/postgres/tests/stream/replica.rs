//! A copy of the synced tables, kept by nothing but the stream, that checks each change against what it has.

use std::{collections::BTreeMap, sync::Arc};

use change::{Change, Lsn, RelationId, Row, RowChange, Tag, Tags};
use postgres::{
    assemble::Committed,
    replication::{Control, Event, Stream},
};
use schema::{Schema, Table};
use tokio::time::timeout;
use tokio_postgres::Client;

use super::{FOREVER, Synced, wal_end};

/// A row's values and tags as text.
pub type Image = (Vec<Option<String>>, String);

/// A stream and the copy it makes.
pub struct Replica {
    pub stream: Stream,
    pub control: Control,
    pub rows: BTreeMap<(RelationId, Vec<String>), Image>,
    pub schema: Arc<Schema>,
    pub position: Lsn,
    pub transactions: Vec<Committed>,
}

impl Replica {
    /// Starts with the stream, on empty tables.
    pub async fn start(synced: &Synced) -> Replica {
        let mut stream = synced.stream().await;
        let started = stream.connect().await.expect("the stream starts");
        Replica {
            control: stream.control(),
            stream,
            rows: BTreeMap::new(),
            schema: Arc::default(),
            position: started.position,
            transactions: Vec::new(),
        }
    }

    /// Follows the stream until everything before `position` is in.
    pub async fn follow(&mut self, position: Lsn) {
        self.control.reach(position);
        let following = async {
            while self.position < position {
                for event in self.stream.next_batch().await.expect("the stream goes on") {
                    self.take(event);
                }
            }
        };
        timeout(FOREVER, following).await.expect("the position is reached");
    }

    /// Follows the stream up to now.
    pub async fn catch_up(&mut self, client: &Client) {
        self.follow(wal_end(client).await).await;
    }

    pub fn take(&mut self, event: Event) {
        let position = match &event {
            Event::Commit(committed) => committed.transaction.lsn,
            Event::Reached(position) => *position,
        };
        assert!(position > self.position, "positions only grow");
        self.position = position;
        if let Event::Commit(committed) = event {
            self.schema = Arc::clone(&committed.schema);
            for change in &committed.transaction.changes {
                self.apply(change);
            }
            self.transactions.push(*committed);
        }
    }

    /// Applies a change, which has to fit what is there.
    fn apply(&mut self, change: &Change) {
        let table = Arc::clone(self.schema.table(change.relation).expect("a synced table"));
        let key = |row: &Row| (change.relation, key(&table, row));
        match &change.row {
            RowChange::Insert { new, tags } => {
                assert_eq!(self.rows.insert(key(new), image(new, tags)), None, "an inserted row is new");
            }
            RowChange::Update { old, new, tags } => {
                assert_eq!(key(old), key(new));
                let before = self.rows.insert(key(new), image(new, tags));
                assert_eq!(before.expect("an updated row is there").0, image(old, tags).0);
            }
            RowChange::Delete { old } => {
                let before = self.rows.remove(&key(old)).expect("a deleted row is there");
                assert_eq!(before.0, image(old, &Tags::new()).0);
            }
        }
    }

    /// Compares the copy of a table with the table.
    pub async fn check(&self, client: &Client, name: &str) {
        let table = self.schema.table_named(name).expect("a synced table");
        let ours: Vec<&Image> =
            self.rows.iter().filter(|((id, _), _)| *id == table.id).map(|(_, row)| row).collect();
        let theirs = read(client, table).await;
        assert_eq!(ours.len(), theirs.len(), "rows of {name}");
        for (ours, theirs) in ours.into_iter().zip(theirs.values()) {
            assert_eq!(ours, theirs);
        }
    }
}

pub fn key(table: &Table, row: &Row) -> Vec<String> {
    let text = |column: &usize| String::from_utf8_lossy(row.get(*column).expect("a key")).into_owned();
    table.primary_key.iter().map(text).collect()
}

pub fn image(row: &Row, tags: &Tags) -> Image {
    let text = |value: Option<&[u8]>| value.map(|value| String::from_utf8_lossy(value).into_owned());
    (row.iter().map(text).collect(), show(tags))
}

pub fn show(tags: &Tags) -> String {
    tags.iter().map(Tag::to_string).collect::<Vec<_>>().join(" ")
}

/// The table as SQL has it, with the tags of the shadow table.
pub async fn read(client: &Client, table: &Table) -> BTreeMap<Vec<String>, Image> {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|c| format!("CASE WHEN m.\"{0}\" IS NOT NULL THEN format('%s', m.\"{0}\") END", c.name))
        .collect();
    let keys: Vec<String> =
        table.primary_key.iter().map(|i| format!("m.\"{0}\" = s.\"{0}\"", table.columns[*i].name)).collect();
    let sql = format!(
        "SELECT coalesce((SELECT string_agg(coalesce(source, 'postgres_1') || '@' || (extract(epoch FROM at) * 1000)::bigint,
             ' ' ORDER BY at) FROM unnest(s._tags) tag (at, source)), 'postgres_1@0'), {}
         FROM public.\"{}\" m LEFT JOIN electric.\"{}\" s ON {}",
        columns.join(", "),
        table.name,
        table.shadow.name,
        keys.join(" AND ")
    );
    let rows = client.query(&sql, &[]).await.expect("the table");
    rows.iter()
        .map(|row| {
            let values: Vec<Option<String>> = (0..table.columns.len()).map(|i| row.get(i + 1)).collect();
            let key = table.primary_key.iter().map(|i| values[*i].clone().expect("a key")).collect();
            (key, (values, row.get(0)))
        })
        .collect()
}
