//! What clients write that is refused before it comes to Postgres: kept for an operator like what Postgres refuses.

use protocol::{ErrorCode, wire::SatErrorResp};
use server::rejected::{Desk, DeskError, Entry};
use testkit::{Satellite, satellite::Op};

use super::{streaming::subscriber, support::*};

/// A table with columns that not every value fits.
const TABLES: &str = "
    CREATE TABLE things (id uuid PRIMARY KEY, rank int4, label text NOT NULL);
    CALL electric.electrify('things');
    CREATE TABLE leaving (id text PRIMARY KEY, content text);
    CALL electric.electrify('leaving')";

fn id(n: u8) -> String {
    format!("00000000-0000-4000-8000-0000000000{n:02}")
}

async fn desk(url: &str) -> Desk {
    let config = config(url, &[]);
    Desk::open(config.database, config.writer).await.expect("a desk")
}

/// The last word that a client hears.
async fn refusal(client: &mut Satellite) -> SatErrorResp {
    let (error, close) = within(client.closed()).await.expect("an end");
    assert_eq!(close.code, Some(1007));
    let error = error.expect("a reason");
    assert_eq!(error.error_type, ErrorCode::InvalidRequest as i32);
    error
}

/// The entries, once there are so many.
async fn entries(desk: &Desk, count: usize) -> Vec<Entry> {
    within(async {
        loop {
            let entries = desk.list(false).await.expect("a list");
            if entries.len() >= count {
                return entries;
            }
        }
    })
    .await
}
