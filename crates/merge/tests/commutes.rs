//! Transactions with distinct tags may arrive in any order that keeps causes before effects.

use bytes::Bytes;
use change::{ClientId, ClientOp, ClientOpKind, Field, RelationId, Tag};
use merge::{RowState, fold};
use proptest::prelude::*;

const COLUMNS: usize = 4;
const CLIENTS: usize = 4;

/// What a client does next.
#[derive(Clone, Debug)]
enum Act {
    /// Receives all that another client knows.
    Hear { from: usize },
    /// Makes a transaction, by a clock that may be off.
    Write { ms: i64, ops: Vec<(ClientOpKind, [bool; COLUMNS])> },
}

/// A transaction and the earlier ones its author knew: indexes, closed under their own causes.
struct Event {
    tag: Tag,
    ops: Vec<ClientOp>,
    causes: Vec<usize>,
}

fn act() -> impl Strategy<Value = (usize, Act)> {
    let kind = prop_oneof![
        2 => Just(ClientOpKind::Insert),
        4 => Just(ClientOpKind::Update),
        3 => Just(ClientOpKind::Delete),
        1 => Just(ClientOpKind::Compensation),
    ];
    let ops = prop::collection::vec((kind, any::<[bool; COLUMNS]>()), 1..4);
    let act = prop_oneof![
        (0..CLIENTS).prop_map(|from| Act::Hear { from }),
        (1..6i64, ops).prop_map(|(ms, ops)| Act::Write { ms, ops }),
    ];
    (0..CLIENTS, act)
}

/// What a client that knows these events sees.
fn view(events: &[Event], known: &[usize]) -> RowState {
    let mut state = start();
    for event in known.iter().map(|n| &events[*n]) {
        fold(&event.ops, &event.tag, &mut state);
    }
    state
}

/// A live row that everybody knows.
fn start() -> RowState {
    let mut row = RowState::unknown(COLUMNS);
    let values = vec![Field::Value(Bytes::from_static(b"start")); COLUMNS];
    let insert = ClientOp {
        relation: RelationId(1),
        kind: ClientOpKind::Insert,
        values,
        written: (0..COLUMNS).map(|column| column > 0).collect(),
        clear: [].into_iter().collect(),
    };
    fold([&insert], &Tag::postgres(0), &mut row);
    row
}

/// Lets the clients act and records what they send, as the real client would: clear tags are what it has seen.
fn record(acts: Vec<(usize, Act)>) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let mut known: Vec<Vec<usize>> = vec![Vec::new(); CLIENTS];
    for (client, act) in acts {
        match act {
            Act::Hear { from } => {
                let mut all = [known[client].clone(), known[from].clone()].concat();
                all.sort_unstable();
                all.dedup();
                known[client] = all;
            }
            Act::Write { ms, ops } => {
                let id = ClientId::new(&format!("client-{client}")).expect("an id");
                let tag = Tag::client(&id, ms);
                if events.iter().any(|event| event.tag == tag) {
                    continue;
                }
                let clear = view(&events, &known[client]).tags;
                let number = events.len();
                let op = |(n, (kind, mask)): (usize, (ClientOpKind, [bool; COLUMNS]))| ClientOp {
                    relation: RelationId(1),
                    kind,
                    values: (0..COLUMNS).map(|c| Field::Value(format!("{number}.{n}.{c}").into())).collect(),
                    written: (0..COLUMNS)
                        .map(|column| {
                            let counts = match kind {
                                ClientOpKind::Insert => true,
                                ClientOpKind::Update => mask[column],
                                ClientOpKind::Delete | ClientOpKind::Compensation => false,
                            };
                            column > 0 && counts
                        })
                        .collect(),
                    clear: clear.clone(),
                };
                let ops = ops.into_iter().enumerate().map(op).collect();
                events.push(Event { tag, ops, causes: known[client].clone() });
                known[client].push(number);
            }
        }
    }
    events
}

/// An order that keeps causes before effects; `choices` pick among what may come next.
fn arrival(events: &[Event], choices: &[prop::sample::Index]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    while order.len() < events.len() {
        let ready =
            |n: &usize| !order.contains(n) && events[*n].causes.iter().all(|cause| order.contains(cause));
        let ready: Vec<usize> = (0..events.len()).filter(ready).collect();
        order.push(*choices[order.len()].get(&ready));
    }
    order
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_arrival_does_not_matter(
        acts in prop::collection::vec(act(), 1..24),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 24),
    ) {
        let events = record(acts);
        let everything: Vec<usize> = (0..events.len()).collect();
        let expected = view(&events, &everything);
        let arrived = view(&events, &arrival(&events, &choices));
        prop_assert_eq!(&arrived.tags, &expected.tags);
        prop_assert_eq!(&arrived.column_tags, &expected.column_tags);
        prop_assert!(arrived.image == expected.image, "values differ");
    }

    #[test]
    fn a_transaction_applied_twice_in_a_row_changes_nothing_more(acts in prop::collection::vec(act(), 1..12)) {
        for event in record(acts) {
            let mut once = start();
            fold(&event.ops, &event.tag, &mut once);
            let mut twice = once.clone();
            fold(&event.ops, &event.tag, &mut twice);
            prop_assert_eq!(twice, once);
        }
    }
}
