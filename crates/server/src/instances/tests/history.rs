//! Looking back, against the simplest way to do it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use change::{Lsn, RelationId};
use proptest::prelude::*;
use session::{Lost, Moves};
use shapes::{Delta, Key, Moved};

use super::support::key;
use crate::instances::history::History;

/// Nothing is asked for next.
const NOBODY: Lsn = Lsn(u64::MAX);

type Members = BTreeSet<(RelationId, Key)>;

/// A transaction that turns or touches these rows.
fn moves(members: &mut Members, rows: &BTreeMap<(u32, u8), bool>) -> Moves {
    let moved = rows.iter().map(|((relation, row), turns)| {
        let member = (RelationId(*relation), key(row));
        let was = members.contains(&member);
        let now = was != *turns;
        if now {
            members.insert(member.clone());
        } else {
            members.remove(&member);
        }
        Moved { relation: member.0, key: member.1, was, now }
    });
    Moves { delta: Delta { rows: moved.collect(), has_additional: false }, ..Moves::default() }
}

/// The membership at a position, as it is looked back to from the newest one.
fn look_back(history: &History, newest: &Members, at: Lsn) -> Members {
    let changed = history.changed_since(at);
    let stayed = newest.iter().filter(|(relation, key)| !changed.contains_key(&(*relation, key)));
    let left =
        changed.iter().filter(|(_, was)| **was).map(|((relation, key), _)| (*relation, (*key).clone()));
    left.chain(stayed.cloned()).collect()
}

fn steps() -> impl Strategy<Value = Vec<BTreeMap<(u32, u8), bool>>> {
    let rows = prop::collection::btree_map((1u32..3, 0u8..6), any::<bool>(), 0..5);
    prop::collection::vec(rows, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn tells_what_was(steps in steps(), budget in 0usize..12_000, patience in 0u64..12) {
        let began = Instant::now();
        let mut history = History::new(Lsn(0), budget);
        let mut all = vec![Members::new()];
        for (at, rows) in steps.iter().enumerate() {
            let mut members = all.last().cloned().unwrap_or_default();
            history.enter(Lsn(at as u64 + 1), moves(&mut members, rows));
            all.push(members);
            // Seconds go by, and the window begins somewhere.
            let now = began + Duration::from_secs(at as u64 * patience);
            history.trim(Lsn((at as u64).saturating_sub(25)), NOBODY, now);
        }
        let newest = all.last().cloned().unwrap_or_default();
        let floor = history.floor();
        prop_assert!(floor.0 < steps.len() as u64, "the newest stay");
        for (at, members) in all.iter().enumerate() {
            let position = Lsn(at as u64);
            let found = history.moves(position);
            prop_assert_eq!(found.is_err(), position <= floor);
            if let Ok(Some(found)) = found {
                prop_assert_eq!(found.delta.rows.len(), steps[at - 1].len());
            }
            if position < floor {
                continue;
            }
            prop_assert_eq!(&look_back(&history, &newest, position), members);
            for relation in [1, 2] {
                for row in 0..6 {
                    let member = (RelationId(relation), key(row));
                    let was = history.was(member.0, &member.1, position);
                    prop_assert_eq!(was.unwrap_or(newest.contains(&member)), members.contains(&member));
                }
            }
        }
    }
}

#[test]
fn forgets_only_after_a_while_what_it_does_not_promise_any_more() {
    let now = Instant::now();
    let mut history = History::new(Lsn(0), usize::MAX);
    let mut members = Members::new();
    for at in 1..=3 {
        history.enter(Lsn(at), moves(&mut members, &BTreeMap::from([((1, 1), true)])));
    }
    let full = history.weight();
    history.trim(Lsn(2), NOBODY, now);
    assert_eq!((history.floor(), history.weight()), (Lsn(2), full));
    assert_eq!(history.moves(Lsn(2)).map(|_| ()), Err(Lost));
    assert_eq!(history.was(RelationId(1), &key(1), Lsn(1)), Some(true), "somebody may be about to ask");
    history.trim(Lsn(2), NOBODY, now + Duration::from_secs(60));
    assert_eq!(history.weight(), full / 3);
    assert_eq!(history.was(RelationId(1), &key(1), Lsn(2)), Some(false));
    history.trim(Lsn(9), NOBODY, now + Duration::from_secs(61));
    history.trim(Lsn(9), NOBODY, now + Duration::from_secs(99));
    assert_eq!((history.weight(), history.was(RelationId(1), &key(1), Lsn(2))), (0, None));
}
