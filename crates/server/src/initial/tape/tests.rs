//! Tapes without Postgres.

use std::{
    future::Future,
    task::{Context, Waker},
    time::Duration,
};

use proptest::prelude::*;

use super::*;

const FOREVER: Duration = Duration::from_secs(60);

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(FOREVER, future).await.expect("it happens in time")
}

/// Whether a future has to wait.
fn waits<F: Future>(future: F) -> bool {
    let mut future = Box::pin(future);
    future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

fn snapshot() -> (Snapshot, Lsn) {
    ("5:5:".parse().unwrap(), Lsn(7))
}

fn tape(memory: usize) -> (Recorder, Player) {
    Tape::blank(&Budget::new(memory), std::env::temp_dir())
}

/// One that its first reader has opened and begun.
async fn begun(memory: usize) -> (Recorder, Player) {
    let (recorder, mut player) = tape(memory);
    let (snapshot, lsn) = snapshot();
    recorder.opened(snapshot.clone(), lsn);
    assert_eq!(player.next().await, Played::Opened(snapshot, lsn));
    player.begin();
    recorder.wanted().await.unwrap();
    (recorder, player)
}

fn join(recorder: &Recorder) -> Option<Player> {
    recorder.tape().join(|_, _| true)
}

fn frame(number: usize, size: usize) -> Frame {
    Frame { read: number, message: vec![number as u8; size].into() }
}

/// The numbers of all frames, to the end.
async fn play(mut player: Player) -> Vec<usize> {
    let mut numbers = Vec::new();
    loop {
        match player.next().await {
            Played::Opened(..) => {}
            Played::Frame(frame) => {
                assert!(frame.message.iter().all(|byte| *byte == frame.read as u8));
                numbers.push(frame.read);
            }
            Played::Done => return numbers,
            Played::Failed(why) => panic!("{why:?}"),
        }
    }
}

fn held(recorder: &Recorder) -> usize {
    recorder.tape().state.lock().held
}

#[tokio::test]
async fn who_joins_late_gets_everything() {
    let (recorder, first) = begun(1 << 20).await;
    recorder.write([frame(0, 10), frame(1, 20)].into_iter()).await.unwrap();
    let second = join(&recorder).unwrap();
    recorder.write([frame(2, 30)].into_iter()).await.unwrap();
    recorder.finish().await.unwrap();
    let third = join(&recorder).unwrap();
    for player in [first, second, third] {
        assert_eq!(within(play(player)).await, [0, 1, 2]);
    }
    // It is complete, so nobody has to be there for others to come.
    assert_eq!(within(play(join(&recorder).unwrap())).await, [0, 1, 2]);
}

#[tokio::test]
async fn the_only_reader_of_what_is_too_large_holds_its_writer_up_and_nobody_can_join() {
    let (recorder, mut player) = begun(64 << 20).await;
    let size = 100_000;
    let fits = MEMORY / (size + Frame::HEAD);
    for number in 0..fits {
        recorder.write([frame(number, size)].into_iter()).await.unwrap();
    }
    drop(join(&recorder).expect("it is all there"));
    {
        let mut write = Box::pin(recorder.write([frame(fits, size)].into_iter()));
        assert!(write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(join(&recorder).is_none());
        for number in 0..=fits {
            assert_eq!(player.next().await, Played::Frame(frame(number, size)));
        }
        within(write).await.unwrap();
    }
    assert_eq!(held(&recorder), 0);
    for number in 0..AHEAD / size {
        recorder.write([frame(number, size)].into_iter()).await.unwrap();
    }
    assert!(waits(recorder.write([frame(9, size)].into_iter())));
    assert!(held(&recorder) <= AHEAD + size);
    drop(player);
    assert!(matches!(recorder.write([].into_iter()).await, Err(Interrupted::Abandoned)));
}

#[tokio::test]
async fn a_slow_reader_holds_nobody_up() {
    for memory in [0, 64 << 20] {
        let (recorder, fast) = begun(memory).await;
        let mut slow = join(&recorder).unwrap();
        let fast = tokio::spawn(play(fast));
        for number in 0..200 {
            within(recorder.write([frame(number, 60_000), frame(number, 0)].into_iter())).await.unwrap();
            assert!(held(&recorder) <= MEMORY + 60_000);
        }
        within(recorder.finish()).await.unwrap();
        assert_eq!(held(&recorder), 0, "all of it is in the file");
        let numbers: Vec<usize> = (0..200).flat_map(|number| [number, number]).collect();
        assert_eq!(within(fast).await.unwrap(), numbers);
        assert!(matches!(slow.next().await, Played::Opened(..)));
        let late = join(&recorder).unwrap();
        assert_eq!(within(play(slow)).await, numbers);
        assert_eq!(within(play(late)).await, numbers);
    }
}

#[tokio::test]
async fn memory_that_others_hold_is_not_to_be_had() {
    let budget = Budget::new(1000);
    let (recorder, _player) = Tape::blank(&budget, std::env::temp_dir());
    recorder.write([frame(0, 900)].into_iter()).await.unwrap();
    assert_eq!(budget.used(), 900 + Frame::HEAD);
    let (other, _reader) = Tape::blank(&budget, std::env::temp_dir());
    other.write([frame(0, 200)].into_iter()).await.unwrap();
    assert!(join(&recorder).is_some() && join(&other).is_none());
    drop((recorder, _player));
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn a_failure_reaches_everyone() {
    let why = SnapshotFailure::TooLarge { rows: 5 };
    let (recorder, mut early) = tape(1000);
    let mut other = join(&recorder).unwrap();
    assert!(waits(early.next()));
    recorder.fail(why);
    assert_eq!((early.next().await, other.next().await), (Played::Failed(why), Played::Failed(why)));
    assert!(join(&recorder).is_none());

    let (recorder, mut player) = begun(1000).await;
    recorder.write([frame(0, 1)].into_iter()).await.unwrap();
    drop(recorder);
    assert_eq!(player.next().await, Played::Failed(SnapshotFailure::Unavailable));
    assert_eq!(player.next().await, Played::Failed(SnapshotFailure::Unavailable));
}

#[tokio::test]
async fn what_is_stale_or_left_is_not_joined() {
    let (recorder, player) = begun(1000).await;
    let (snapshot, lsn) = snapshot();
    assert!(recorder.tape().join(|s, l| (s, l) != (&snapshot, lsn)).is_none());
    assert!(!recorder.tape().was_shared());
    assert!(join(&recorder).is_some() && recorder.tape().was_shared());
    assert!(waits(recorder.tape().abandoned()));
    drop(player);
    within(recorder.tape().abandoned()).await;
    assert!(join(&recorder).is_none());

    // As long as there is no snapshot there is nothing to judge.
    let (recorder, player) = tape(1000);
    assert!(recorder.tape().join(|_, _| false).is_some());
    drop(player);
    assert_eq!(recorder.wanted().await, Err(Abandoned));
}

#[tokio::test]
async fn rows_are_wanted_once_anybody_wants_them() {
    let (recorder, mut first) = tape(1000);
    let second = join(&recorder).unwrap();
    let (snapshot, lsn) = snapshot();
    recorder.opened(snapshot, lsn);
    assert!(matches!(first.next().await, Played::Opened(..)));
    assert!(waits(recorder.wanted()));
    second.begin();
    within(recorder.wanted()).await.unwrap();
}

#[tokio::test]
async fn without_a_place_for_the_file_it_is_interrupted() {
    let (recorder, _first) = Tape::blank(&Budget::new(0), "/nowhere/at/all".into());
    let _second = join(&recorder).unwrap();
    let written = within(recorder.write([frame(0, 1)].into_iter())).await;
    assert!(matches!(&written, Err(Interrupted::File(_))), "{written:?}");
}

/// A reader that comes before some write.
#[derive(Clone, Debug)]
struct Visit {
    before: usize,
    /// It leaves after so many frames.
    leaves_after: Option<usize>,
    /// It takes nothing before everything is written.
    is_slow: bool,
}

fn visits() -> impl Strategy<Value = Vec<Visit>> {
    let visit = (0usize..20, prop::option::of(0usize..30), any::<bool>());
    let visit = visit.prop_map(|(before, leaves_after, is_slow)| Visit { before, leaves_after, is_slow });
    prop::collection::vec(visit, 0..5)
}

async fn pay(mut player: Player, visit: Visit, written: watch::Receiver<bool>) -> Option<Vec<usize>> {
    if visit.is_slow {
        let mut written = written;
        let _ = written.wait_for(|written| *written).await;
    }
    match visit.leaves_after {
        None => Some(play(player).await),
        Some(frames) => {
            for _ in 0..frames {
                if matches!(player.next().await, Played::Done | Played::Failed(_)) {
                    break;
                }
            }
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever else comes and goes, everybody who stays gets all frames in order, and memory is bounded.
    #[test]
    fn everybody_gets_everything(
        writes in prop::collection::vec(prop::collection::vec(prop_oneof![0usize..100, 0usize..400_000], 0..5), 0..20),
        visits in visits(),
        memory in prop_oneof![Just(0usize), 0usize..2_000_000, Just(64usize << 20)],
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async move {
            let (recorder, first) = begun(memory).await;
            let first = tokio::spawn(play(first));
            let written = watch::Sender::new(false);
            let (mut count, mut paid) = (0, Vec::new());
            for (index, sizes) in writes.iter().enumerate() {
                for visit in visits.iter().filter(|visit| visit.before == index) {
                    let player = join(&recorder);
                    paid.extend(player.map(|player| tokio::spawn(pay(player, visit.clone(), written.subscribe()))));
                }
                let frames: Vec<Frame> = sizes.iter().enumerate().map(|(n, size)| frame(count + n, *size)).collect();
                count += frames.len();
                within(recorder.write(frames.into_iter())).await.unwrap();
                prop_assert!(held(&recorder) <= MEMORY);
            }
            within(recorder.finish()).await.unwrap();
            written.send_replace(true);
            let all: Vec<usize> = (0..count).collect();
            prop_assert_eq!(&within(first).await.unwrap(), &all);
            for visit in paid {
                if let Some(numbers) = within(visit).await.unwrap() {
                    prop_assert_eq!(&numbers, &all);
                }
            }
            Ok(())
        })?;
    }
}
