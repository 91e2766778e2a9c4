//! Making the log longer: after a restore it may end before positions that clients hold, and those must not be given out again
//! with another meaning.

use change::Lsn;
use tokio_postgres::Client;

/// Bytes written at a time.
const STEP: i32 = 16 << 20;

/// Writes into the log, without any effect, until its end lies after `position`. Takes as many bytes of log as are missing.
///
/// # Errors
/// If Postgres can't be asked. What was written stays.
pub async fn write_beyond(client: &Client, position: Lsn) -> Result<(), tokio_postgres::Error> {
    loop {
        let sql = "SELECT greatest($1::text::pg_lsn - pg_current_wal_insert_lsn() + 1, 0)::int8";
        let missing: i64 = client.query_one(sql, &[&position.to_string()]).await?.try_get(0)?;
        if missing == 0 {
            return Ok(());
        }
        let step = i32::try_from(missing).unwrap_or(STEP).min(STEP);
        let sql = "SELECT pg_logical_emit_message(false, 'electric.skip', repeat(' ', $1))";
        client.execute(sql, &[&step]).await?;
    }
}
