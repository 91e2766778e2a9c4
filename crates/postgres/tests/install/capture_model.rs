//! Any sequence of changes against a model of what they should come to: what is recorded last is what there is, and what
//! was refused left nothing.

use std::collections::BTreeSet;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tokio_postgres::Client;

use super::{installed, run, value};

/// A statement about the table `t`, of which there are a few names only, so that they meet.
#[derive(Clone, Debug)]
enum Step {
    AddColumn { name: u8, good: bool, not_null: bool },
    AddIndex { name: u8, column: u8 },
    DropIndex { name: u8 },
    AddLabel { name: u8, first: bool },
    Harmless(u8),
    Refused(u8),
    Rows,
}

fn steps() -> impl Strategy<Value = Vec<(Step, Frame)>> {
    let step = prop_oneof![
        4 => (0..8u8, any::<bool>(), any::<bool>()).prop_map(|(name, good, not_null)| Step::AddColumn { name, good, not_null }),
        3 => (0..4u8, 0..8u8).prop_map(|(name, column)| Step::AddIndex { name, column }),
        2 => (0..4u8).prop_map(|name| Step::DropIndex { name }),
        2 => (0..5u8, any::<bool>()).prop_map(|(name, first)| Step::AddLabel { name, first }),
        2 => any::<u8>().prop_map(Step::Harmless),
        4 => any::<u8>().prop_map(Step::Refused),
        1 => Just(Step::Rows),
    ];
    let frame =
        prop_oneof![Just(Frame::Plain), Just(Frame::Block), Just(Frame::Transaction), Just(Frame::Undone)];
    proptest::collection::vec((step, frame), 1..25)
}

/// What a statement is wrapped in.
#[derive(Clone, Copy, Debug)]
enum Frame {
    Plain,
    Block,
    Transaction,
    Undone,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    columns: Vec<String>,
    indexes: BTreeSet<String>,
    labels: Vec<String>,
    /// So many migrations were recorded.
    recorded: usize,
}

const HARMLESS: &[&str] = &[
    "ALTER TABLE t ALTER COLUMN v SET STATISTICS 10",
    "ALTER TABLE t SET (fillfactor = 80)",
    "COMMENT ON TABLE t IS 'x'",
    "ALTER TABLE t DISABLE TRIGGER USER",
    "ALTER TABLE t OWNER TO CURRENT_USER",
    "CREATE TABLE IF NOT EXISTS plain (id int)",
    "ALTER TABLE t ADD COLUMN IF NOT EXISTS v text",
];

const REFUSED: &[&str] = &[
    "ALTER TABLE t DROP COLUMN v",
    "ALTER TABLE t RENAME v TO w",
    "ALTER TABLE t RENAME TO u",
    "ALTER TABLE t ALTER COLUMN v TYPE varchar",
    "ALTER TABLE t ALTER COLUMN v SET DEFAULT ''",
    "ALTER TABLE t ADD CHECK (id > 0), ADD COLUMN x int",
    "DROP TABLE t",
    "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'",
    "DROP TYPE mood CASCADE",
    "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE t RENAME CONSTRAINT t_pkey TO k",
];

impl Model {
    /// The statement, and the model after it; `None` if it is refused.
    fn after(&self, step: &Step) -> (String, Option<Model>) {
        let mut next = self.clone();
        next.recorded += 1;
        let pick = |list: &'static [&str], index: u8| list[usize::from(index) % list.len()].to_owned();
        match step {
            Step::AddColumn { name, good, not_null } => {
                let column = format!("c{name}");
                let sql = format!(
                    "ALTER TABLE t ADD COLUMN {column} {}{}",
                    if *good { "int" } else { "numeric" },
                    if *not_null { " NOT NULL" } else { "" }
                );
                // The table has no rows when this runs.
                let fine = *good && !self.columns.contains(&column);
                next.columns.push(column);
                (sql, fine.then_some(next))
            }
            Step::AddIndex { name, column } => {
                let (index, column) = (format!("i{name}"), format!("c{column}"));
                let fine = self.columns.contains(&column) && next.indexes.insert(index.clone());
                (format!("CREATE INDEX {index} ON t ({column})"), fine.then_some(next))
            }
            Step::DropIndex { name } => {
                let index = format!("i{name}");
                let fine = next.indexes.remove(&index);
                (format!("DROP INDEX {index}"), fine.then_some(next))
            }
            Step::AddLabel { name, first } => {
                let label = format!("l{name}");
                let fine = !self.labels.contains(&label);
                next.labels.insert(if *first { 0 } else { self.labels.len() }, label.clone());
                let place = if *first { format!(" BEFORE '{}'", self.labels[0]) } else { String::new() };
                (format!("ALTER TYPE mood ADD VALUE '{label}'{place}"), fine.then_some(next))
            }
            Step::Harmless(index) => (pick(HARMLESS, *index), Some(self.clone())),
            Step::Refused(index) => (pick(REFUSED, *index), None),
            Step::Rows => ("DELETE FROM t".to_owned(), Some(self.clone())),
        }
    }
}

async fn check(client: &Client, model: &Model, context: &str) {
    let newest = value(
        client,
        "SELECT (SELECT string_agg(c ->> 'name', ',' ORDER BY (c -> 'attnum')::int) FROM jsonb_array_elements(d.snapshot -> 'table' -> 'columns') c),
            (SELECT string_agg(i ->> 'name', ',' ORDER BY i ->> 'name') FROM jsonb_array_elements(d.snapshot -> 'table' -> 'indexes') i),
            (SELECT string_agg(l, ',' ORDER BY place) FROM jsonb_array_elements_text(d.snapshot -> 'enums' -> 0 -> 'labels') WITH ORDINALITY x (l, place)),
            d.snapshot -> 'table' = electric.table_snapshot('t'::regclass) -> 'table', (SELECT verdict FROM electric.inspect('t'::regclass)),
            (SELECT count(*) FROM electric.ddl_commands), (SELECT count(*) FROM electric.migration_versions), (SELECT count(*) FROM electric.captures),
            (SELECT count(*) FROM pg_attribute WHERE attrelid = 'electric.shadow__public__t'::regclass AND attname LIKE '\\_tag\\_%')
         FROM electric.ddl_commands d ORDER BY d.id DESC LIMIT 1",
    )
    .await;
    let Model { columns, indexes, labels, recorded } = model;
    let indexes: Vec<&str> = indexes.iter().map(String::as_str).collect();
    let expected = format!(
        "{}|{}|{}|t|same|{recorded}|{recorded}|0|{}",
        columns.join(","),
        indexes.join(","),
        labels.join(","),
        columns.len() - 1
    );
    assert_eq!(newest, expected, "{context}");
}

const FRESH: &str = "SET electric.bypass_guards = on; DROP TABLE IF EXISTS t; DROP TYPE IF EXISTS mood; RESET electric.bypass_guards;
    TRUNCATE electric.ddl_commands, electric.migration_versions, electric.captures;
    CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE t (id int PRIMARY KEY, v text, m mood); CALL electric.electrify('t')";

async fn play(client: &Client, steps: &[(Step, Frame)]) {
    run(client, "ROLLBACK").await;
    for statement in FRESH.split(';') {
        run(client, statement).await;
    }
    let mut model = Model {
        columns: ["id", "v", "m"].map(str::to_owned).to_vec(),
        labels: vec!["ok".to_owned()],
        recorded: 1,
        ..Model::default()
    };
    let mut context = String::new();
    for (step, frame) in steps {
        let (statement, after) = model.after(step);
        context.push_str(&format!("\n{frame:?}: {statement}"));
        let sql = match frame {
            Frame::Plain => statement,
            Frame::Block => format!("DO $block$ BEGIN EXECUTE $sql${statement}$sql$; END $block$"),
            Frame::Transaction => format!("BEGIN; SELECT 1; {statement}; COMMIT"),
            Frame::Undone => format!("BEGIN; SAVEPOINT s; {statement}; ROLLBACK TO s; COMMIT"),
        };
        let outcome = client.batch_execute(&sql).await;
        assert_eq!(outcome.is_ok(), after.is_some(), "{context}\n{outcome:?}");
        if outcome.is_err() {
            run(client, "ROLLBACK").await;
        } else if !matches!(frame, Frame::Undone) {
            model = after.unwrap_or(model);
        }
        check(client, &model, &context).await;
    }
}

#[test]
fn whatever_is_done_the_record_is_what_there_is() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_database, client) = runtime.block_on(installed());
    let mut runner = TestRunner::new(Config {
        cases: 12,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&steps(), |steps| {
            runtime.block_on(play(&client, &steps));
            Ok(())
        })
        .unwrap();
}
