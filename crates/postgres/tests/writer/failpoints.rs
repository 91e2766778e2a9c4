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

const TABLE: &str = "CREATE TABLE log (id int4 PRIMARY KEY, n int4 CHECK (n < 100)); CREATE TABLE noted (id int4); \
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO noted VALUES (NEW.id); RETURN NULL; END $$; \
    CREATE TRIGGER note AFTER INSERT ON log FOR EACH ROW EXECUTE FUNCTION note()";

/// Four transactions of one client: the third is refused, the last can go the short way.
fn history(fixture: &Fixture) -> Vec<ClientTransaction> {
    let insert = |lsn: u32| {
        let n = if lsn == 3 { "4711" } else { "1" };
        let insert = fixture.insert("log", &[&lsn.to_string(), n]);
        tx("author", lsn, [if lsn < 4 { clearing(insert, &["postgres_1@0"]) } else { insert }])
    };
    (1..=4).map(insert).collect()
}

/// What a client does that is told of nothing: it sends everything, in order; one that is refused is skipped.
async fn send(fixture: &Fixture) -> Vec<Result<Applied, String>> {
    let writer = fixture.writer(1);
    let mut outcomes = Vec::new();
    for tx in history(fixture) {
        outcomes.push(writer.apply(&tx).await.map_err(|refused| refused.sqlstate));
    }
    outcomes
}

/// The process that fails; does nothing unless it is told to.
#[tokio::test]
async fn the_process_that_fails() {
    let Ok(url) = env::var(DATABASE) else { return };
    let scenario = fail::FailScenario::setup();
    let fixture = Fixture::at(&url).await;
    let outcomes = send(&fixture).await;
    assert!(outcomes.iter().enumerate().all(|(n, outcome)| outcome.is_ok() == (n != 2)), "{outcomes:?}");
    scenario.teardown();
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_wherever_it_fails() {
    let places = ["begin", "acknowledged", "before_commit", "after_commit", "rejected"];
    let fixture = Fixture::new(TABLE, &["log"]).await;
    let client = fixture.db.client().await;
    for place in places {
        for action in ["1*return(error)", "1*return(disconnect)", "2*off->1*return(abort)", "1*return(abort)"]
        {
            client
                .batch_execute(
                    "DELETE FROM log; DELETE FROM electric.shadow__public__log; DELETE FROM noted;
                     DELETE FROM electric.acknowledged_client_lsns; DELETE FROM electric.rejected_transactions",
                )
                .await
                .expect("a fresh start");
            let child = Command::new(env::current_exe().expect("this program"))
                .args(["--exact", "writer::failpoints::the_process_that_fails"])
                .env(DATABASE, &fixture.db.url)
                .env("FAILPOINTS", format!("writer::{place}={action}"))
                .output()
                .expect("it runs");
            // There is one rejection in each run.
            let dies = action.ends_with("(abort)") && !(place == "rejected" && action.starts_with('2'));
            let output = String::from_utf8_lossy(&child.stdout);
            assert_eq!(child.status.success(), !dies, "{place} {action}: {output}");
            if dies {
                // The client comes back to a new process, with everything that it had.
                send(&fixture).await;
            }
            let log = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM log";
            assert_eq!(text(&client, log).await.as_deref(), Some("1 2 4"), "{place} {action}");
            // The triggers of the users' own ran once for each row.
            let noted = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM noted";
            assert_eq!(text(&client, noted).await.as_deref(), Some("1 2 4"), "{place} {action}");
            let kept = "SELECT count(*) FROM electric.rejected_transactions";
            let kept = text(&client, kept).await.unwrap_or_default();
            // An entry that can't be written is only told of; the next attempt makes it.
            let expected = if place == "rejected" && !dies && !action.starts_with('2') { "0" } else { "1" };
            assert_eq!(kept, expected, "{place} {action}");
        }
    }
}
