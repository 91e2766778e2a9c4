//! The vectors played on Postgres and on the pure model side by side: after each transaction the two must agree.

use std::sync::atomic::{AtomicI32, Ordering};

use change::{ClientId, ClientTransaction, Field, Origin, RelationId, Tag, Tags};
use postgres::writer::WriterPool;
use testkit::Database;
use tokio::sync::OnceCell;
use tokio_postgres::Client;

use super::{
    fixture::Fixture,
    model::Model,
    script::{self, COLUMNS, Native, Step, shown, tag_of},
};

const ITEMS: &str = "CREATE TABLE items (id int4 PRIMARY KEY, value text, other int4)";

/// Plays a vector. Each play has a row and clients of its own in a database that all share.
pub fn play(script: &str) {
    static SHARED: OnceCell<Fixture> = OnceCell::const_new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    script::play(script, |steps| {
        runtime.block_on(async {
            let fixture = SHARED.get_or_init(|| Fixture::new(ITEMS, &["items"])).await;
            let replay = Replay::new(fixture).await;
            let mut model = Model::default();
            for step in steps {
                let now = replay.play(step).await;
                model.play(step, now);
                replay.compare(&model, step).await;
            }
            model
        })
    });
}

struct Replay {
    db: Database,
    native: Client,
    writer: std::sync::Arc<WriterPool>,
    table: RelationId,
    id: i32,
}

impl Replay {
    async fn new(fixture: &Fixture) -> Replay {
        static ROWS: AtomicI32 = AtomicI32::new(1);
        Replay {
            db: fixture.db.clone(),
            native: fixture.db.client().await,
            writer: fixture.writer(1),
            table: fixture.table("items").id,
            id: ROWS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Returns when a native transaction began.
    async fn play(&self, step: &Step) -> i64 {
        match step {
            Step::Client(tx) => {
                self.writer.apply(&self.own(tx)).await.expect("applied");
                0
            }
            Step::Native(_, ops) => self.native(ops).await,
            Step::Untracked(values) => {
                let sql = format!("INSERT INTO items VALUES ({}, {})", self.id, literals(values));
                self.native.batch_execute(&sql).await.expect("a row");
                let sql = format!("DELETE FROM electric.shadow__public__items WHERE id = {}", self.id);
                self.native.batch_execute(&sql).await.expect("no shadow");
                0
            }
        }
    }

    /// The transaction on this play's row, by this play's clients.
    fn own(&self, tx: &ClientTransaction) -> ClientTransaction {
        let mut tx = tx.clone();
        tx.client = self.own_client(&tx.client);
        for op in &mut tx.ops {
            op.relation = self.table;
            op.values[0] = Field::Value(self.id.to_string().into());
            op.clear = op.clear.iter().map(|tag| self.own_tag(tag)).collect();
        }
        tx
    }

    fn own_client(&self, client: &ClientId) -> ClientId {
        ClientId::new(&format!("{client}.{}", self.id)).expect("an id")
    }

    fn own_tag(&self, tag: &Tag) -> Tag {
        match &tag.origin {
            Origin::Client(client) => Tag::client(&self.own_client(client), tag.ms),
            Origin::Postgres => tag.clone(),
        }
    }

    async fn native(&self, ops: &[Native]) -> i64 {
        let moment = "SELECT (extract(epoch FROM transaction_timestamp()::timestamptz(3)) * 1000)::bigint";
        self.native.batch_execute("BEGIN").await.expect("a transaction");
        let now: i64 = self.native.query_one(moment, &[]).await.expect("the time").get(0);
        for op in ops {
            let sql = match op {
                Native::Insert(values) => {
                    format!("INSERT INTO items VALUES ({}, {})", self.id, literals(values))
                }
                Native::Update(changes) => {
                    let set = changes.iter().map(|(n, value)| {
                        format!("{} = {}", COLUMNS[*n], literals(std::slice::from_ref(value)))
                    });
                    format!("UPDATE items SET {} WHERE id = {}", set.collect::<Vec<_>>().join(", "), self.id)
                }
                Native::Delete => format!("DELETE FROM items WHERE id = {}", self.id),
            };
            assert_eq!(self.native.execute(&sql, &[]).await.expect("a native write"), 1);
        }
        self.native.batch_execute("COMMIT").await.expect("committed");
        now
    }

    async fn compare(&self, model: &Model, after: &Step) {
        let state = &model.state;
        let row =
            self.native.query_opt("SELECT value, other::text FROM items WHERE id = $1", &[&self.id]).await;
        let stored: Option<Vec<Field>> = row.expect("a query").map(|row| {
            (0..2)
                .map(|n| {
                    row.get::<_, Option<String>>(n).map_or(Field::Null, |text| Field::Value(text.into()))
                })
                .collect()
        });
        let expected = state.is_alive().then(|| &state.values().expect("values")[1..]);
        assert_eq!(shown(stored.as_deref()), shown(expected), "the row after {after:?}");

        let wire = |tag: &str| {
            format!(
                "coalesce(({tag}).source_id, 'postgres_1') || '@' || (extract(epoch FROM ({tag}).timestamp) * 1000)::bigint"
            )
        };
        let sql = format!(
            "SELECT ARRAY(SELECT {} FROM unnest(_tags) t), {}, {}, {}, _image ->> 'value', _image ->> 'other', \
             coalesce(_image = '{{\"\": \"blind\"}}', true), _image ->> 'id' FROM electric.shadow__public__items WHERE id = $1",
            wire("t"),
            wire("_tag"),
            wire("coalesce(_tag_value, _base)"),
            wire("coalesce(_tag_other, _base)")
        );
        let Some(shadow) = self.native.query_opt(&sql, &[&self.id]).await.expect("a query") else {
            let untouched = state.last_tag.is_none();
            assert!(untouched, "there is no shadow after {after:?}");
            return;
        };
        let tag =
            |n: usize| shadow.get::<_, Option<String>>(n).map(|text| text.parse::<Tag>().expect("a tag"));
        let own = |tag: &Option<Tag>| tag.as_ref().map(|tag| self.own_tag(tag));
        let tags: Tags =
            shadow.get::<_, Vec<String>>(0).iter().map(|t| t.parse::<Tag>().expect("a tag")).collect();
        assert_eq!(tags, state.tags.iter().map(|tag| self.own_tag(tag)).collect(), "tags after {after:?}");
        assert_eq!(tag(1), own(&state.last_tag), "last tag after {after:?}");
        let columns = [own(&state.column_tags[1]), own(&state.column_tags[2])];
        assert_eq!([tag(2), tag(3)], columns, "column tags after {after:?}");

        assert_eq!(
            shadow.get::<_, bool>(6),
            state.is_alive(),
            "only dead rows have a tombstone; live ones at most a note"
        );
        if !state.is_alive() {
            let image = [4, 5]
                .map(|n| shadow.get::<_, Option<String>>(n).map_or(Field::Null, |t| Field::Value(t.into())));
            assert_eq!(
                shown(Some(&image)),
                shown(Some(&state.values().expect("values")[1..])),
                "the tombstone"
            );
            assert_eq!(shadow.get::<_, Option<String>>(7), Some(self.id.to_string()), "its key");
        }
        if let Step::Client(tx) = after {
            self.compare_acknowledgement(tx).await;
        }
    }

    /// The position of the newest transaction of the author, and its time.
    async fn compare_acknowledgement(&self, tx: &ClientTransaction) {
        let sql = "SELECT lsn, ts FROM electric.acknowledged_client_lsns WHERE client_id = $1";
        let client = self.own_client(&tx.client);
        let row = self.native.query_one(sql, &[&client.as_str()]).await.expect("an acknowledgement");
        assert!(
            row.get::<_, &[u8]>(0) >= tx.lsn.as_bytes(),
            "{} is acknowledged in {}",
            tag_of(tx),
            self.db.name
        );
        if row.get::<_, &[u8]>(0) == tx.lsn.as_bytes() {
            assert_eq!(row.get::<_, i64>(1), tx.timestamp_ms as i64);
        }
    }
}

fn literals(values: &[Field]) -> String {
    let literal = |field: String| if field == "null" { "NULL".to_owned() } else { format!("'{field}'") };
    shown(Some(values)).unwrap_or_default().into_iter().map(literal).collect::<Vec<_>>().join(", ")
}
