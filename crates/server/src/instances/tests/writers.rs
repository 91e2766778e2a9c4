//! Everything stays exact, whatever is written at the same time.

use std::{future::ready, sync::Arc};

use change::Lsn;
use postgres::connection::{Purpose, connect};
use session::Tracker;
use tokio::task::JoinHandle;

use super::{
    oracle::Oracle,
    support::{Setting, reach, until},
};

/// A small generator of numbers: tests have to be repeatable.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// One that may be missing.
    fn reference(&mut self, bound: u64) -> String {
        if self.below(8) == 0 { "NULL".to_owned() } else { self.below(bound).to_string() }
    }
}

/// A statement that may fail, and then does nothing.
fn statement(numbers: &mut Numbers) -> String {
    let owner = ["'alice'", "'bob'", "NULL", "''"][numbers.below(4) as usize];
    let n = numbers.below(1_000_000);
    match numbers.below(16) {
        0 | 1 => format!("INSERT INTO members VALUES ({}, 'm') ON CONFLICT DO NOTHING", numbers.below(12)),
        2 => format!("DELETE FROM members WHERE id = {}", numbers.below(12)),
        3 | 4 => format!(
            "INSERT INTO projects VALUES ({}, {}, {owner}) ON CONFLICT DO NOTHING",
            numbers.below(8),
            numbers.reference(12)
        ),
        5 | 6 => format!("UPDATE projects SET electric_user_id = {owner} WHERE id = {}", numbers.below(8)),
        7 => format!("UPDATE projects SET lead = {} WHERE id = {}", numbers.reference(12), numbers.below(8)),
        8 if numbers.below(4) == 0 => format!("DELETE FROM projects WHERE id = {}", numbers.below(8)),
        8..=10 => format!(
            "INSERT INTO issues VALUES ({}, {}, {}, '{n}') ON CONFLICT (id) DO UPDATE SET project = excluded.project",
            numbers.below(30),
            numbers.reference(8),
            numbers.reference(12)
        ),
        11 => format!("UPDATE issues SET title = '{n}' WHERE project = {}", numbers.below(8)),
        12 => format!("DELETE FROM issues WHERE id = {}", numbers.below(30)),
        13 => {
            format!("UPDATE comments SET author = {} WHERE id = {}", numbers.reference(12), numbers.below(60))
        }
        _ => format!(
            "INSERT INTO comments VALUES ({}, {}, {}, '{n}') ON CONFLICT (id) DO UPDATE SET issue = excluded.issue",
            numbers.below(60),
            numbers.reference(30),
            numbers.reference(12)
        ),
    }
}

/// Writes so many transactions of several statements.
fn writer(setting: &Setting, seed: u64, commits: usize) -> JoinHandle<()> {
    let config = setting.config.clone();
    tokio::spawn(async move {
        let client = connect(&config, Purpose::Tool).await.unwrap();
        let mut numbers = Numbers(seed);
        let mut done = 0;
        while done < commits {
            let statements: Vec<String> = (0..=numbers.below(4)).map(|_| statement(&mut numbers)).collect();
            let asynchronous = if numbers.below(3) == 0 { "SET LOCAL synchronous_commit = off;" } else { "" };
            let text = format!("BEGIN; {asynchronous} {}; COMMIT", statements.join(";"));
            // A reference to nothing, or a deadlock.
            match client.batch_execute(&text).await {
                Ok(()) => done += 1,
                Err(_) => client.batch_execute("ROLLBACK").await.unwrap(),
            }
        }
    })
}

/// Trackers that begin at different positions, are asked to follow at different paces, some from long ago.
#[tokio::test(flavor = "multi_thread")]
async fn exact_at_every_position_while_others_write() {
    let setting = Setting::create().await;
    let writers: Vec<_> = (1..=3).map(|seed| writer(&setting, seed, 200)).collect();
    let mut followed: Vec<(&str, Lsn, Arc<dyn Tracker>)> = Vec::new();
    for round in 0..10 {
        until(|| ready(setting.stream.size().0 > round * 40)).await;
        let user = ["alice", "bob"][round % 2];
        let from = match round % 3 {
            0 => setting.stream.position(),
            _ => followed.last().map_or(setting.stream.start(), |(_, from, _)| *from),
        };
        followed.push((user, from, setting.track(user, from)));
        for (_, _, tracker) in followed.iter().rev() {
            reach(&**tracker, setting.stream.position()).await;
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let end = setting.caught_up().await;
    let oracle = Oracle::new(&setting);
    for (user, from, tracker) in &followed {
        reach(&**tracker, end).await;
        oracle.check(&setting, user, &**tracker, *from, end);
    }
    // Filled as of a position long ago.
    let oldest = setting.stream.start();
    let fresh = setting.track("carol", oldest);
    reach(&*fresh, end).await;
    oracle.check(&setting, "carol", &*fresh, oldest, end);
    let stats = setting.instances.stats();
    assert!(stats.fills >= 3 && stats.lookups >= 2, "{stats:?}");
}

/// Trackers that begin long ago, while next to nothing of the stream is in memory.
#[tokio::test(flavor = "multi_thread")]
async fn exact_also_where_the_stream_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let setting = Setting::on_disk(folder.path(), 4 << 10).await;
    let mut followed: Vec<(&str, Lsn, Arc<dyn Tracker>)> = Vec::new();
    let begun = setting.stream.position();
    for (round, user) in ["alice", "bob", "carol"].into_iter().enumerate() {
        let writers: Vec<_> = (1..=3).map(|seed| writer(&setting, 10 * round as u64 + seed, 40)).collect();
        followed.push((user, begun, setting.track(user, begun)));
        for (_, _, tracker) in &followed {
            reach(&**tracker, setting.stream.position()).await;
        }
        for writer in writers {
            writer.await.unwrap();
        }
    }
    let end = setting.caught_up().await;
    followed.push(("dave", begun, setting.track("dave", begun)));
    let oracle = Oracle::of(setting.all().await);
    for (user, from, tracker) in &followed {
        reach(&**tracker, end).await;
        oracle.check(&setting, user, &**tracker, *from, end);
    }
    assert!(setting.stream.size().0 < 60, "{:?}", setting.stream.size());
}
