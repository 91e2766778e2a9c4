//! Synced tables, writers of them, and what comes of it: in Postgres, and in the stream.

use std::sync::Arc;

use change::{ClientOp, ClientTransaction, RowChange};
use postgres::{
    assemble::Committed,
    writer::{Applied, WriterPool},
};
use tokio_postgres::Client;

use super::{
    super::stream::{Synced, replica::Replica},
    fixture::{Fixture, clearing, fresh_client, text, tx},
};

/// Some synced tables, a copy of them that is kept by the stream alone, and three authors in the order of their ids.
pub struct Rig {
    pub fixture: Fixture,
    pub synced: Synced,
    pub replica: Replica,
    pub writer: Arc<WriterPool>,
    pub tables: Vec<String>,
    pub authors: [String; 3],
}

impl Rig {
    /// Makes the tables, and syncs those named, in one transaction.
    pub async fn new(ddl: &str, tables: &[&str]) -> Rig {
        let fixture = Fixture::new("", &[]).await;
        let synced = Synced::on(fixture.db.clone()).await;
        let replica = Replica::start(&synced).await;
        let calls: String = tables.iter().map(|t| format!("CALL electric.electrify('{t}');")).collect();
        synced.run(&format!("BEGIN; {ddl}; {calls} COMMIT")).await;
        let fixture = fixture.reload().await;
        let writer = fixture.writer(2);
        let tables = tables.iter().map(|t| (*t).to_owned()).collect();
        let authors = ["A", "B", "C"].map(|name| format!("{name}-{}", fresh_client()));
        Rig { fixture, synced, replica, writer, tables, authors }
    }

    pub fn native(&self) -> &Client {
        &self.synced.app
    }

    /// The transaction of an author (0, 1, 2) at `second`, its operations with what the author had seen: `("A@1 B@2", op)`.
    pub fn tx(&self, author: usize, second: u32, ops: Vec<(&str, ClientOp)>) -> ClientTransaction {
        let ops = ops.into_iter().map(|(seen, op)| {
            let tags: Vec<String> = seen.split_whitespace().map(|tag| self.tag(tag)).collect();
            clearing(op, &tags.iter().map(String::as_str).collect::<Vec<_>>())
        });
        tx(&self.authors[author], second, ops)
    }

    pub fn tag(&self, short: &str) -> String {
        let (name, second) = short.split_once('@').expect("a tag");
        match ["A", "B", "C"].iter().position(|author| *author == name) {
            Some(author) => format!("{}@{second}000", self.authors[author]),
            None => short.to_owned(),
        }
    }

    pub async fn apply(&self, tx: &ClientTransaction) {
        assert_eq!(self.writer.apply(tx).await, Ok(Applied::Committed));
    }

    /// The rows of a table with their tags: `1 v0 0 {B@2}`, joined by `, `. The moment of a native tag is not shown.
    pub async fn rows(&self, table: &str) -> String {
        let keys = &self.fixture.table(table).primary_key;
        let on: Vec<String> = keys
            .iter()
            .map(|n| format!("t.\"{0}\" = s.\"{0}\"", self.fixture.table(table).columns[*n].name))
            .collect();
        let sql = format!(
            "SELECT string_agg(concat_ws(' ', translate(t::text, '(),', '   '), '{{' || (SELECT string_agg(coalesce(
                 split_part(tag.source, '-', 1) || '@' || extract(epoch FROM tag.at)::bigint, 'PG'), ' ' ORDER BY at)
                 FROM unnest(s._tags) tag (at, source)) || '}}'), ', ' ORDER BY t::text)
             FROM {table} t JOIN electric.shadow__public__{table} s ON {}",
            on.join(" AND ")
        );
        let rows = text(self.native(), &sql).await.unwrap_or_default();
        rows.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// How many rows of a table are dead and have no tags, and how many are dead at all.
    pub async fn dead(&self, table: &str) -> String {
        let sql = format!(
            "SELECT count(*) FILTER (WHERE _tags = '{{}}') || '/' || count(*) FILTER (WHERE _image IS NOT NULL)
             FROM electric.shadow__public__{table}"
        );
        text(self.native(), &sql).await.unwrap_or_default()
    }

    /// What the stream has sent leads to what Postgres has.
    pub async fn converged(&mut self) {
        self.replica.catch_up(&self.synced.app).await;
        for table in &self.tables {
            self.replica.check(&self.synced.app, table).await;
        }
    }

    /// What the stream has sent since the last look, one transaction a line: `B@2 update 1 a 0 {A@1 B@2}; delete 2 b 1`. Native tags
    /// and the moments of native transactions are not shown.
    pub async fn sent(&mut self) -> Vec<String> {
        let seen = self.replica.transactions.len();
        self.converged().await;
        self.replica.transactions[seen..].iter().map(|committed| self.line(committed)).collect()
    }

    /// The rows of which the stream has said so far that their authors did not know how they stood, by their transactions and keys: `B@2 1`.
    pub async fn blind(&mut self) -> Vec<String> {
        self.converged().await;
        let all = self.replica.transactions.iter().map(|committed| &committed.transaction);
        let rows = all.flat_map(|transaction| {
            let blind = transaction.changes.iter().filter(|change| change.blind);
            blind.map(|change| {
                let author = self.authors.iter().position(|author| transaction.origin.as_str() == author);
                let author = author.map_or("PG", |author| ["A", "B", "C"][author]);
                let key = change.row.after().and_then(|row| row.get(0)).map(String::from_utf8_lossy);
                format!("{author}@{} {}", transaction.commit_ms / 1000, key.unwrap_or_default())
            })
        });
        rows.collect()
    }

    fn line(&self, committed: &Committed) -> String {
        let transaction = &committed.transaction;
        let short = |tag: &str| match self.authors.iter().position(|author| tag.starts_with(author.as_str()))
        {
            Some(author) => format!(
                "{}@{}",
                ["A", "B", "C"][author],
                tag.rsplit('@').next().unwrap_or("").trim_end_matches("000")
            ),
            None => "PG".to_owned(),
        };
        let values = |row: &change::Row| {
            let text = |value: Option<&[u8]>| {
                value.map_or("null".into(), |v| String::from_utf8_lossy(v).into_owned())
            };
            row.iter().map(text).collect::<Vec<_>>().join(" ")
        };
        let tags = |tags: &change::Tags| {
            tags.iter().map(|tag| short(&tag.to_string())).collect::<Vec<_>>().join(" ")
        };
        let changes = transaction.changes.iter().map(|change| match &change.row {
            RowChange::Insert { new, tags: set } => format!("insert {} {{{}}}", values(new), tags(set)),
            RowChange::Update { old, new, tags: set } if old == new => {
                format!("touch {} {{{}}}", values(new), tags(set))
            }
            RowChange::Update { new, tags: set, .. } => format!("update {} {{{}}}", values(new), tags(set)),
            RowChange::Delete { old } => format!("delete {}", values(old)),
        });
        let origin = short(&format!("{}@{}", transaction.origin, transaction.commit_ms));
        format!("{origin} {}", changes.collect::<Vec<_>>().join("; ")).trim_end().to_owned()
    }
}
