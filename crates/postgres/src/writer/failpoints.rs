//! Named places where tests let things go wrong; nothing at all in a release.

use tokio_postgres::{Client, Error};

/// Does what a test asks for at this place: `abort` ends the process as a power cut would, `late` does so when all that was sent has
/// arrived, `disconnect` has Postgres end the
/// session, anything else has it fail the transaction.
pub async fn strike(client: &Client, place: &str) -> Result<(), Error> {
    match armed(place).as_deref() {
        None => Ok(()),
        Some("abort") => std::process::abort(),
        Some("late") => {
            // Answered after all that was sent before it.
            client.batch_execute("").await?;
            std::process::abort()
        }
        Some("disconnect") => {
            client.batch_execute("SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())").await
        }
        Some(_) => client.batch_execute("DO $$ BEGIN RAISE serialization_failure; END $$").await,
    }
}

fn armed(place: &str) -> Option<String> {
    fail::fail_point!(place, |action| Some(action.unwrap_or_default()));
    let _ = place;
    None
}
