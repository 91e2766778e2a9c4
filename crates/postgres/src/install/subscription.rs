//! The subscription through which legacy servers wrote, and which Postgres would try to serve for ever (spec 07 §7).

use tokio_postgres::Client;

/// What legacy called it.
const NAME: &str = "postgres_1";

/// What became of a left-over subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOverSubscription {
    /// There was none.
    Absent,
    /// It is gone.
    Dropped,
    /// The role may not drop it.
    NotPermitted {
        /// The statements for somebody who may.
        sql: String,
    },
}

/// Disables, detaches and drops a left-over subscription in this database.
///
/// # Errors
/// When Postgres can't be asked; a missing right is no error.
pub async fn drop_legacy_subscription(
    client: &Client,
) -> Result<LeftOverSubscription, tokio_postgres::Error> {
    let found = client
        .query_one(
            "SELECT EXISTS (
                SELECT FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
                WHERE s.subname = $1 AND d.datname = current_database()
            )",
            &[&NAME],
        )
        .await?;
    if !found.try_get::<_, bool>(0)? {
        return Ok(LeftOverSubscription::Absent);
    }
    let sql = format!(
        "ALTER SUBSCRIPTION {NAME} DISABLE; ALTER SUBSCRIPTION {NAME} SET (slot_name = NONE); DROP SUBSCRIPTION {NAME};"
    );
    match client.batch_execute(&sql).await {
        Ok(()) => Ok(LeftOverSubscription::Dropped),
        Err(error) if error.as_db_error().is_some() => Ok(LeftOverSubscription::NotPermitted { sql }),
        Err(error) => Err(error),
    }
}
