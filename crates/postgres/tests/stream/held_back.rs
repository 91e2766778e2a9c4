//! A table that was changed in a way that clients can't follow, as the stream sees it and as a service does that starts later.

use postgres::catalogue;
use testkit::unguarded;

use super::{Synced, replica::Replica};

#[tokio::test]
async fn an_incompatible_change_holds_its_table_back_in_the_stream_and_at_the_start_alike() {
    let synced = Synced::create().await;
    synced.run("CREATE TABLE t (id int PRIMARY KEY, v text); CALL electric.electrify('t')").await;
    synced.run("CREATE TABLE u (id int PRIMARY KEY); CALL electric.electrify('u')").await;
    let mut replica = Replica::start(&synced).await;
    for change in [
        "ALTER TABLE t ADD COLUMN w text",
        "ALTER TABLE t ALTER COLUMN v TYPE int USING v::int",
        "ALTER TABLE t ADD COLUMN x text",
    ] {
        let capture = "CALL electric.sync_shadow('t'::regclass); CALL electric.capture('t'::regclass)";
        // Where no event trigger is in the way, this can happen.
        unguarded(&synced.app, &format!("BEGIN; {change}; {capture}; COMMIT")).await;
    }
    synced.run("ALTER TABLE u ADD COLUMN note text").await;
    synced.run("INSERT INTO u VALUES (1, 'goes on')").await;
    replica.catch_up(&synced.app).await;

    let loaded = catalogue::load(&synced.app).await.expect("a service starts with that");
    assert_eq!(loaded.schema, *replica.schema, "both make the same of it");
    let table = loaded.schema.table_named("t").expect("it is there");
    let reason = table.held_back.as_deref().expect("it is held back");
    assert!(
        reason.contains("table \"t\"") && reason.contains("the type of column \"v\" was changed"),
        "{reason}"
    );
    assert_eq!(table.columns.len(), 3, "as it was when clients could still follow");
    let other = loaded.schema.table_named("u").expect("it is there");
    assert_eq!((other.held_back.as_deref(), other.columns.len()), (None, 2));
    assert_eq!(replica.rows.len(), 1);
}
