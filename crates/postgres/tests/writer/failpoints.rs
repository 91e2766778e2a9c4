//! Things go wrong at each step of a transaction: nothing is lost, nothing is doubled.
//!
//! Failpoints are the process's own, so each case runs in a process of its own: this test program once more, told by its
//! environment what to do.

use std::{env, process::Command};

use change::ClientTransaction;
use postgres::writer::Applied;

use super::fixture::{Fixture, clearing, text, tx};

/// The database to work on, for the process that is made to fail.
const DATABASE: &str = "TIELINE_TEST_DATABASE";

/// How it sends: [`ALONE`] or [`TOGETHER`].
const MANNER: &str = "TIELINE_TEST_MANNER";

/// One transaction after the other.
const ALONE: &str = "alone";

/// All that are left, as a run.
const TOGETHER: &str = "together";

const TABLE: &str = "CREATE TABLE log (id int4 PRIMARY KEY, n int4 CHECK (n < 100)); CREATE TABLE noted (id int4); \
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO noted VALUES (NEW.id); RETURN NEW; END $$";

/// Afterwards, it takes several statements to make a row; before, one will do.
const TRIGGERS: [&str; 2] = ["AFTER", "BEFORE"];

/// Seven transactions of one client: the third is refused, those after it can go the short way.
fn history(fixture: &Fixture) -> Vec<ClientTransaction> {
    let insert = |lsn: u32| {
        let n = if lsn == 3 { "4711" } else { "1" };
        let insert = fixture.insert("log", &[&lsn.to_string(), n]);
        tx("author", lsn, [if lsn < 4 { clearing(insert, &["postgres_1@0"]) } else { insert }])
    };
    (1..=7).map(insert).collect()
}

/// What a client does that is told of nothing: it sends everything, in order; one that is refused is skipped.
async fn send(fixture: &Fixture, manner: &str) -> Vec<Result<Applied, String>> {
    let writer = fixture.writer(1);
    let mut outcomes = Vec::new();
    let history = history(fixture);
    while let Some(tx) = history.get(outcomes.len()) {
        let run: Vec<&ClientTransaction> = match manner {
            TOGETHER => history.iter().skip(outcomes.len()).collect(),
            _ => vec![tx],
        };
        match writer.apply_run(&run).await {
            Ok(applied) => outcomes.extend(applied.into_iter().map(Ok)),
            Err(refused) => outcomes.push(Err(refused.sqlstate)),
        }
    }
    outcomes
}

/// The process that fails; does nothing unless it is told to.
#[tokio::test]
async fn the_process_that_fails() {
    let Ok(url) = env::var(DATABASE) else { return };
    let scenario = fail::FailScenario::setup();
    let fixture = Fixture::at(&url).await;
    let outcomes = send(&fixture, &env::var(MANNER).unwrap_or_default()).await;
    assert!(outcomes.iter().enumerate().all(|(n, outcome)| outcome.is_ok() == (n != 2)), "{outcomes:?}");
    scenario.teardown();
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_wherever_it_fails() {
    let places = ["begin", "acknowledged", "before_commit", "after_commit", "rejected"];
    let actions = ["1*return(error)", "1*return(disconnect)", "2*off->1*return(abort)", "1*return(abort)"];
    Trial::new(ALONE, TRIGGERS[0]).await.of(&places, &actions).await;
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_wherever_a_run_fails() {
    let trial = Trial::new(TOGETHER, TRIGGERS[1]).await;
    // There are one or two flushes, and six or more of the others: three are sent ahead in the end.
    trial.of(&["flush"], &["1*return(error)", "1*return(disconnect)", "1*return(abort)"]).await;
    let actions = ["4*off->1*return(error)", "4*off->1*return(disconnect)", "4*off->1*return(late)"];
    trial.of(&["begin", "before_commit", "after_commit"], &actions).await;
    Trial::new(TOGETHER, TRIGGERS[0]).await.of(&["begin", "after_commit"], &actions).await;
}

struct Trial {
    fixture: Fixture,
    manner: &'static str,
}

impl Trial {
    async fn new(manner: &'static str, trigger: &str) -> Trial {
        let trigger =
            format!("CREATE TRIGGER note {trigger} INSERT ON log FOR EACH ROW EXECUTE FUNCTION note()");
        Trial { fixture: Fixture::new(&format!("{TABLE}; {trigger}"), &["log"]).await, manner }
    }

    async fn of(&self, places: &[&str], actions: &[&str]) {
        for place in places {
            for action in actions {
                self.one(place, action).await;
            }
        }
    }

    async fn one(&self, place: &str, action: &str) {
        let client = self.fixture.db.client().await;
        client
            .batch_execute(
                "DELETE FROM log; DELETE FROM electric.shadow__public__log; DELETE FROM noted;
                 DELETE FROM electric.acknowledged_client_lsns; DELETE FROM electric.rejected_transactions",
            )
            .await
            .expect("a fresh start");
        let child = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "writer::failpoints::the_process_that_fails"])
            .env(DATABASE, &self.fixture.db.url)
            .env(MANNER, self.manner)
            .env("FAILPOINTS", format!("writer::{place}={action}"))
            .output()
            .expect("it runs");
        let aborts = action.ends_with("(abort)") || action.ends_with("(late)");
        // There is one rejection in each run.
        let dies = aborts && !(place == "rejected" && action.starts_with('2'));
        let output = String::from_utf8_lossy(&child.stdout);
        assert_eq!(child.status.success(), !dies, "{place} {action}: {output}");
        if dies {
            // The client comes back to a new process, with everything that it had.
            send(&self.fixture, self.manner).await;
        }
        let log = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM log";
        assert_eq!(text(&client, log).await.as_deref(), Some("1 2 4 5 6 7"), "{place} {action}");
        // The triggers of the users' own ran once for each row.
        let noted = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM noted";
        assert_eq!(text(&client, noted).await.as_deref(), Some("1 2 4 5 6 7"), "{place} {action}");
        let kept = "SELECT count(*) FROM electric.rejected_transactions";
        let kept = text(&client, kept).await.unwrap_or_default();
        // An entry that can't be written is only told of; the next attempt makes it.
        let expected = if place == "rejected" && !dies && !action.starts_with('2') { "0" } else { "1" };
        assert_eq!(kept, expected, "{place} {action}");
    }
}
