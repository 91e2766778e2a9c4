//! Initial data from a real Postgres.

use std::collections::BTreeSet;

use postgres::snapshot::SnapshotSettings;
use protocol::{
    prost::Message as _,
    wire::{SatOpLog, sat_trans_op::Op},
};
use session::{Known, Read, ReadKind, SnapshotFailure};
use shapes::{Plan, RelationDef, SelectDef, Shape, ShapeDef, ShapeLimits};

use super::*;
use crate::instances::tests::support::{Setting, reach, until, within};

/// Reads by so many connections.
fn initial(setting: &Setting, connections: usize, rows: Option<u64>) -> Initial {
    let settings =
        SnapshotSettings { connections, patience: Duration::from_secs(20), ..SnapshotSettings::default() };
    let pool = SnapshotPool::new(setting.config.clone(), settings);
    let limits = InitialLimits { rows, memory: 64 << 20, spool: std::env::temp_dir() };
    Initial::new(pool, setting.stream.clone(), setting.control.clone(), limits)
}

fn select(table: &str) -> SelectDef {
    SelectDef { table: table.to_owned(), ..SelectDef::default() }
}

fn plan(setting: &Setting, user: &str, select: SelectDef) -> Arc<Plan> {
    let definition = ShapeDef { selects: vec![select] };
    let (request, user) = (change::RequestId::new("1"), change::UserId::new(user));
    let schema = setting.stream.schema();
    Shape::new(request, Some(&definition), &schema, &user, &ShapeLimits::default()).unwrap().plan
}

fn rows(plan: &Arc<Plan>) -> Read {
    Read { plan: plan.clone(), kind: ReadKind::Rows }
}

fn request(reads: Vec<Read>) -> Arc<ReadRequest> {
    Arc::new(ReadRequest { reads, known: Known::default() })
}

/// Until it is open.
async fn opened(open: &mut OpenSnapshot) -> (Snapshot, Lsn) {
    match within(open.parts.recv()).await {
        Some(SnapshotPart::Opened { snapshot, lsn }) => (snapshot, lsn),
        other => panic!("{other:?}"),
    }
}

/// All frames, once it is open.
async fn frames(open: &mut OpenSnapshot) -> Result<Vec<(usize, bytes::Bytes)>, SnapshotFailure> {
    if let Some(begin) = open.begin.take() {
        let _ = begin.send(());
    }
    let mut frames = Vec::new();
    loop {
        match within(open.parts.recv()).await {
            Some(SnapshotPart::Frame { read, frame }) => frames.push((read, frame)),
            Some(SnapshotPart::Done) => return Ok(frames),
            Some(SnapshotPart::Failed(why)) => return Err(why),
            other => panic!("{other:?}"),
        }
    }
}

/// What a request yields: of each row the index of its read, `+` or, of a key, `-`, its table, and its key. Each row comes once.
async fn read(setting: &Setting, initial: &Initial, request: &Arc<ReadRequest>) -> BTreeSet<String> {
    let mut open = initial.open(request.clone());
    opened(&mut open).await;
    let frames = frames(&mut open).await.unwrap();
    told(setting, &frames)
}

fn told(setting: &Setting, frames: &[(usize, bytes::Bytes)]) -> BTreeSet<String> {
    let schema = setting.stream.schema();
    let mut told = BTreeSet::new();
    for (read, frame) in frames {
        let log = SatOpLog::decode(&frame[1..]).unwrap();
        assert!((1..=100).contains(&log.ops.len()));
        for op in log.ops {
            let (sign, relation, row) = match op.op.unwrap() {
                Op::Insert(insert) => ('+', insert.relation_id, insert.row_data.unwrap()),
                Op::Gone(gone) => ('-', gone.relation_id, gone.pk_data.unwrap()),
                other => panic!("{other:?}"),
            };
            let table = schema.table(change::RelationId(relation)).unwrap();
            let text = format!("{read}{sign}{}{}", table.name, String::from_utf8_lossy(&row.values[0]));
            assert!(told.insert(text.clone()), "{text} came twice");
        }
    }
    told
}

/// `a1 a3` as a set.
fn set(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

const FEW: &str = "
    INSERT INTO members VALUES (1, 'm'), (2, 'm'), (3, 'm');
    INSERT INTO projects VALUES (1, 1, 'ann'), (2, 2, 'ann'), (3, 1, 'bob'), (4, 3, NULL);
    INSERT INTO issues VALUES (1, 1, 2, 't'), (2, 3, 1, 't'), (3, NULL, NULL, 't');
    INSERT INTO comments VALUES (1, 1, 3, 'b'), (2, 2, 3, 'b')";

#[tokio::test]
async fn those_who_ask_at_once_share_one_read() {
    let setting = Setting::create().await;
    setting.run_through("INSERT INTO noise SELECT i, 'v' || i FROM generate_series(1, 10000) i").await;
    let initial = initial(&setting, 8, None);
    let plan = plan(&setting, "ann", select("noise"));
    let mut all: Vec<OpenSnapshot> = (0..1000).map(|_| initial.open(request(vec![rows(&plan)]))).collect();
    let mut first = None;
    for open in &mut all {
        let opened = opened(open).await;
        assert_eq!(first.get_or_insert_with(|| opened.clone()), &opened);
    }
    // Each gets the very same messages.
    let mut shared: Option<Vec<*const u8>> = None;
    for open in &mut all {
        let frames = frames(open).await.unwrap();
        let places: Vec<*const u8> = frames.iter().map(|(_, frame)| frame.as_ptr()).collect();
        assert_eq!(places.len(), 100);
        assert_eq!(shared.get_or_insert_with(|| places.clone()), &places);
    }
    let mut more = initial.open(request(vec![rows(&plan)]));
    opened(&mut more).await;
    let frames = frames(&mut more).await.unwrap();
    assert_eq!(told(&setting, &frames).len(), 10000);
}

#[tokio::test]
async fn what_has_happened_since_is_not_missing() {
    let setting = Setting::create().await;
    setting.run_through(FEW).await;
    let initial = initial(&setting, 3, None);
    let request = request(vec![rows(&plan(&setting, "ann", select("members")))]);
    let (mut early, mut also) = (initial.open(request.clone()), initial.open(request.clone()));
    let first = opened(&mut early).await;
    assert_eq!(opened(&mut also).await, first);
    setting.run_through("INSERT INTO members VALUES (4, 'new')").await;
    // Others who ask again wait a little for each other.
    let (mut later, mut again) = (initial.open(request.clone()), initial.open(request.clone()));
    let second = opened(&mut later).await;
    assert!(second.1 > first.1);
    assert_eq!(opened(&mut again).await, second);
    let old = set("0+members1 0+members2 0+members3");
    let new = set("0+members1 0+members2 0+members3 0+members4");
    for (open, expected) in [(&mut later, &new), (&mut early, &old), (&mut again, &new), (&mut also, &old)] {
        let frames = frames(open).await.unwrap();
        assert_eq!(&told(&setting, &frames), expected);
    }
    setting.run_through("DELETE FROM members WHERE id = 4").await;
    assert_eq!(read(&setting, &initial, &request).await, old);
}

#[tokio::test]
async fn a_failure_is_told_to_everyone_and_not_kept() {
    let setting = Setting::create().await;
    setting.run_through(FEW).await;
    let initial = initial(&setting, 1, None);
    let request = request(vec![rows(&plan(&setting, "ann", select("noise")))]);
    let (mut one, mut two) = (initial.open(request.clone()), initial.open(request.clone()));
    opened(&mut one).await;
    opened(&mut two).await;
    setting.unguarded("ALTER TABLE noise RENAME TO silence").await;
    assert_eq!(frames(&mut one).await.unwrap_err(), SnapshotFailure::Unavailable);
    assert_eq!(frames(&mut two).await.unwrap_err(), SnapshotFailure::Unavailable);
    setting.unguarded("ALTER TABLE silence RENAME TO noise").await;
    assert!(read(&setting, &initial, &request).await.is_empty());
}

#[tokio::test]
async fn shapes_that_are_too_large_are_refused_before_anything_is_sent() {
    let setting = Setting::create().await;
    setting.run_through(FEW).await;
    let initial = initial(&setting, 1, Some(2));
    let large = |user, table| request(vec![rows(&plan(&setting, user, select(table)))]);
    for request in [large("ann", "members"), large("ann", "projects")] {
        let mut open = initial.open(request);
        let refused = within(open.parts.recv()).await;
        assert!(
            matches!(refused, Some(SnapshotPart::Failed(SnapshotFailure::TooLarge { rows: 2 }))),
            "{refused:?}"
        );
    }
    // Rows of others don't count, nor does what comes with the rows.
    let expected = set("0+projects3 0+projects4 0+members1 0+members3");
    assert_eq!(read(&setting, &initial, &large("bob", "projects")).await, expected);
}

#[tokio::test]
async fn rows_come_once_and_not_if_they_are_known() {
    let setting = Setting::create().await;
    let at = setting.run_through(FEW).await;
    let initial = initial(&setting, 1, None);
    let (members, ann, bob) = (
        plan(&setting, "ann", select("members")),
        plan(&setting, "ann", select("projects")),
        plan(&setting, "bob", select("projects")),
    );
    let one_layer = |plan: &Arc<Plan>| {
        let mut plan = Plan::clone(plan);
        plan.layers.truncate(1);
        Arc::new(plan)
    };
    let (only_ann, only_bob) = (one_layer(&ann), one_layer(&bob));

    // Simple and with joins, each row in the first that has it.
    let reads = vec![rows(&only_ann), rows(&bob), rows(&ann), rows(&members)];
    let expected = set("0+projects1 0+projects2 0+projects4 1+projects3 1+members1 1+members3 2+members2");
    assert_eq!(read(&setting, &initial, &request(reads)).await, expected);

    // Keys, without those that pass the filter of another shape.
    let filter = only_ann.layers[0].filter.clone();
    let known = Known { filters: vec![(setting.relation("projects"), filter)], trackers: Vec::new() };
    let keys = Read { plan: only_bob.clone(), kind: ReadKind::Keys };
    let except = Arc::new(ReadRequest { reads: vec![keys.clone()], known });
    assert_eq!(read(&setting, &initial, &except).await, set("0-projects3"));
    assert_eq!(read(&setting, &initial, &request(vec![keys])).await, set("0-projects3 0-projects4"));

    // Without those that another shape with joins holds.
    let tracker = setting.instances.track(&bob, at);
    reach(&*tracker, at).await;
    let known = Known { filters: Vec::new(), trackers: vec![tracker] };
    let except = Arc::new(ReadRequest { reads: vec![rows(&members), rows(&only_ann)], known });
    assert_eq!(read(&setting, &initial, &except).await, set("0+members2 1+projects1 1+projects2"));
}

#[tokio::test]
async fn a_shape_is_walked_to_its_ends() {
    let setting = Setting::create().await;
    setting.run_through(FEW).await;
    let initial = initial(&setting, 1, None);
    let relation =
        |column: &str, select| RelationDef { foreign_key: vec![column.to_owned()], select: Some(select) };
    let issues = SelectDef { include: vec![relation("issue", select("comments"))], ..select("issues") };
    let projects = SelectDef { include: vec![relation("project", issues)], ..select("projects") };
    let plan = plan(&setting, "bob", projects);
    let expected = set("0+projects3 0+projects4 0+issues2 0+comments2 0+members1 0+members3");
    assert_eq!(read(&setting, &initial, &request(vec![rows(&plan)])).await, expected);
}

const MANY: &str =
    "INSERT INTO noise SELECT i, i || repeat(md5(i::text), 30) FROM generate_series(1, 20000) i";

#[tokio::test]
async fn who_takes_nothing_holds_nobody_up() {
    let setting = Setting::create().await;
    setting.run_through(MANY).await;
    let initial = initial(&setting, 1, None);
    let large = request(vec![rows(&plan(&setting, "ann", select("noise")))]);
    let (mut slow, mut fast) = (initial.open(large.clone()), initial.open(large.clone()));
    opened(&mut slow).await;
    opened(&mut fast).await;
    let _ = slow.begin.take().unwrap().send(());
    let all = told(&setting, &frames(&mut fast).await.unwrap());
    assert_eq!(all.len(), 20000);
    // The only connection is free again.
    let small = request(vec![rows(&plan(&setting, "ann", select("members")))]);
    assert!(read(&setting, &initial, &small).await.is_empty());
    // And what was read is there for those who take their time, and for those who come now.
    assert_eq!(told(&setting, &frames(&mut slow).await.unwrap()), all);
}

#[tokio::test]
async fn what_nobody_reads_any_more_ends() {
    let setting = Setting::create().await;
    setting.run_through(MANY).await;
    let initial = initial(&setting, 1, None);
    let large = request(vec![rows(&plan(&setting, "ann", select("noise")))]);
    let small = request(vec![rows(&plan(&setting, "ann", select("members")))]);
    for has_begun in [false, true] {
        let mut open = initial.open(large.clone());
        opened(&mut open).await;
        if has_begun {
            let _ = open.begin.take().unwrap().send(());
            assert!(matches!(within(open.parts.recv()).await, Some(SnapshotPart::Frame { .. })));
        }
        drop(open);
        assert!(read(&setting, &initial, &small).await.is_empty());
    }
    // Nothing of it is left.
    let is_gone = || initial.0.flights.lock().keys().all(|request| *request != large);
    until(|| std::future::ready(is_gone())).await;
}
