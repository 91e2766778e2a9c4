//! What falls out of the retained history.

use session::Lost;

use super::{
    oracle::check,
    support::{Setting, WIDE, reach, try_reach},
};
use crate::instances::Settings;

#[tokio::test(flavor = "multi_thread")]
async fn is_lost_when_the_window_has_gone_on() {
    let window = journal::Limits { memory: 16 << 10, ..WIDE };
    let setting = Setting::with(window, Settings::default()).await;
    let from = setting.stream.position();
    let tracker = setting.track("bob", from);
    reach(&*tracker, from).await;
    for i in 0..20 {
        setting.run(&format!("INSERT INTO noise VALUES ({i}, repeat('x', 1000))")).await;
    }
    setting.run("INSERT INTO projects VALUES (1, NULL, 'bob')").await;
    let end = setting.caught_up().await;
    assert!(setting.stream.start() > from);
    assert_eq!(try_reach(&*tracker, end).await, Err(Lost));
    // What it knows, it knows still.
    assert_eq!(try_reach(&*tracker, from).await, Ok(()));
    let again = setting.track("bob", end);
    reach(&*again, end).await;
    assert_eq!(again.members(end).len(), 1);
    drop(tracker);
    drop(again);
    assert_eq!((setting.instances.stats().instances, setting.instances.stats().kept), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn can_not_be_filled_as_of_what_is_forgotten() {
    let window = journal::Limits { memory: 16 << 10, ..WIDE };
    let setting = Setting::with(window, Settings::default()).await;
    let from = setting.stream.position();
    for i in 0..20 {
        setting.run(&format!("INSERT INTO noise VALUES ({i}, repeat('x', 1000))")).await;
    }
    let end = setting.caught_up().await;
    let tracker = setting.track("bob", from);
    assert_eq!(try_reach(&*tracker, end).await, Err(Lost));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_moves_go_when_they_become_too_many() {
    let settings = Settings { moves: 4 << 10, ..Settings::default() };
    let setting = Setting::with(WIDE, settings).await;
    let from = setting.stream.position();
    let tracker = setting.track("bob", from);
    reach(&*tracker, from).await;
    for i in 0..60 {
        let at = setting.run_through(&format!("INSERT INTO projects VALUES ({i}, NULL, 'bob')")).await;
        reach(&*tracker, at).await;
    }
    let end = setting.stream.position();
    reach(&*tracker, end).await;
    assert_eq!(try_reach(&*tracker, from).await, Err(Lost));
    let (deliveries, _) = setting.stream.read_after(from, usize::MAX).unwrap();
    let known = |at| tracker.moves(at).is_ok();
    let positions: Vec<_> = deliveries.iter().map(|delivery| delivery.transaction.lsn).collect();
    let first = positions.iter().position(|at| known(*at)).unwrap();
    assert!(first > 20 && first < 59 && positions[first..].iter().all(|at| known(*at)), "{first}");
    check(&setting, "bob", &*tracker, positions[first - 1], end);
    // Who needs the older ones gets an instance of its own.
    let older = setting.track("bob", from);
    reach(&*older, positions[3]).await;
    check(&setting, "bob", &*older, from, positions[3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_from_far_back_finds_the_moves_that_it_asks_for_next() {
    // A transaction takes about as much.
    let settings = Settings { moves: 64 << 10, ..Settings::default() };
    let setting = Setting::with(WIDE, settings).await;
    let from = setting.stream.position();
    for i in 0..40 {
        let rows = format!("SELECT {i} * 1000 + n, NULL, 'bob' FROM generate_series(1, 300) n");
        setting.run(&format!("INSERT INTO projects {rows}")).await;
    }
    setting.caught_up().await;
    let tracker = setting.track("bob", from);
    let mut seen = 0;
    for delivery in setting.all().await {
        let at = delivery.transaction.lsn;
        if at > from {
            reach(&*tracker, at).await;
            let moves = tracker.moves(at).expect("they are there");
            assert_eq!(moves.map(|moves| moves.delta.rows.len()), Some(300));
            seen += 1;
        }
    }
    assert_eq!((seen, setting.instances.stats().fills), (40, 1));
}
