//! Every case by name, and what must hold in any.

use proptest::prelude::*;

use super::*;
use crate::replication::Slot;

fn identity(database: u32) -> Identity {
    Identity { system: "7".to_owned(), database }
}

fn kept(timeline: u32, position: u64) -> Kept {
    Kept { identity: identity(1), timeline, position: Lsn(position) }
}

fn found(confirmed: u64) -> SlotState {
    let name = "electric_replication_out_x".to_owned();
    SlotState::Found(Slot { name, confirmed: Lsn(confirmed), settled: change::Xid(1) })
}

fn missing() -> SlotState {
    SlotState::Missing { name: "electric_replication_out_x".to_owned() }
}

fn invalidated() -> SlotState {
    SlotState::Invalidated { name: "electric_replication_out_x".to_owned() }
}

/// A server on timeline 3, which left 1 at 100 and 2 at 200.
fn now(wal_end: u64, slot: SlotState) -> Situation {
    let timelines = Timelines::parse(3, "1\t0/64\tx\n2\t0/C8\tx\n");
    Situation { identity: identity(1), timelines, wal_end: Lsn(wal_end), slot }
}

#[test]
fn every_case_has_its_answer() {
    let go_on = |position| Ok(Lsn(position));
    let rewound = |position, timeline, shared: Option<u64>| {
        Err(Gap::Rewound { position: Lsn(position), timeline, present: 3, shared: shared.map(Lsn) })
    };
    let cases = [
        ("nothing kept", None, now(500, found(10)), Err(Gap::NothingKept)),
        ("nothing kept and no slot", None, now(500, missing()), Err(Gap::NothingKept)),
        ("an ordinary restart", Some(kept(3, 300)), now(500, found(300)), go_on(300)),
        ("more in the journal than confirmed", Some(kept(3, 300)), now(500, found(210)), go_on(300)),
        ("an idle database", Some(kept(3, 500)), now(500, found(500)), go_on(500)),
        ("promoted, nothing lost", Some(kept(2, 200)), now(500, found(150)), go_on(200)),
        ("promoted twice, nothing lost", Some(kept(1, 90)), now(500, found(80)), go_on(90)),
        ("promoted without the newest", Some(kept(2, 201)), now(500, found(150)), rewound(201, 2, Some(200))),
        ("two steps back", Some(kept(1, 150)), now(500, found(80)), rewound(150, 1, Some(100))),
        (
            "an older timeline, or another branch",
            Some(kept(4, 90)),
            now(500, found(80)),
            rewound(90, 4, None),
        ),
        (
            "restored",
            Some(kept(3, 600)),
            now(500, found(400)),
            Err(Gap::Restored { position: Lsn(600), wal_end: Lsn(500) }),
        ),
        (
            "restored without its slots",
            Some(kept(3, 600)),
            now(500, missing()),
            Err(Gap::Restored { position: Lsn(600), wal_end: Lsn(500) }),
        ),
        ("promoted without slots", Some(kept(2, 200)), now(500, missing()), Err(Gap::SlotMissing)),
        ("slot dropped", Some(kept(3, 300)), now(500, missing()), Err(Gap::SlotMissing)),
        ("slot invalidated", Some(kept(3, 300)), now(500, invalidated()), Err(Gap::SlotInvalidated)),
        (
            "slot moved on",
            Some(kept(3, 300)),
            now(500, found(301)),
            Err(Gap::SlotAhead { position: Lsn(300), confirmed: Lsn(301) }),
        ),
        (
            "another database",
            Some(Kept { identity: identity(2), ..kept(3, 300) }),
            now(500, found(300)),
            Err(Gap::OtherDatabase { was: identity(2), is: identity(1) }),
        ),
    ];
    for (name, kept, now, expected) in cases {
        assert_eq!(decide(kept.as_ref(), &now), expected, "{name}");
    }
}

#[test]
fn clients_are_disowned_where_the_slot_does_not_vouch_for_them() {
    assert!(!Gap::NothingKept.disowns_clients(&found(1)), "taken over with another data directory");
    assert!(Gap::NothingKept.disowns_clients(&missing()), "it may be a copy of another database");
    assert!(!Gap::SlotAhead { position: Lsn(1), confirmed: Lsn(2) }.disowns_clients(&found(2)));
    assert!(Gap::SlotMissing.disowns_clients(&missing()));
    assert!(Gap::Restored { position: Lsn(2), wal_end: Lsn(1) }.disowns_clients(&found(1)));
}

fn state() -> impl Strategy<Value = SlotState> {
    prop_oneof![
        4 => (0u64..400).prop_map(found),
        1 => Just(missing()),
        1 => Just(invalidated()),
    ]
}

proptest! {
    /// The stream goes on only where everything after the position will come from the slot, and everything up to it is in this
    /// database's past; and if both hold, it does go on.
    #[test]
    fn it_goes_on_if_and_only_if_nothing_is_missing(
        timeline in 1u32..5, position in 0u64..400, wal_end in 0u64..400, slot in state(),
    ) {
        let now = now(wal_end, slot);
        // Which positions of `timeline` mean the same now.
        let left = match timeline { 1 => 100, 2 => 200, 3 => u64::MAX, _ => 0 };
        let in_past = timeline <= 3 && position <= left && position <= wal_end;
        let comes = matches!(&now.slot, SlotState::Found(slot) if slot.confirmed <= Lsn(position));
        match decide(Some(&kept(timeline, position)), &now) {
            Ok(from) => prop_assert!(in_past && comes && from == Lsn(position)),
            Err(gap) => {
                prop_assert!(!(in_past && comes), "{gap}");
                prop_assert!(gap.disowns_clients(&now.slot) || in_past, "positions of another past are not ours");
            }
        }
    }

    /// A history that begins anew shares no position with the one before it, and misses nothing that the slot brings after it.
    #[test]
    fn a_new_history_is_above_the_old_one(slot: u64, handed_out in 0..u64::MAX) {
        let first = first_position(Lsn(slot), Lsn(handed_out));
        prop_assert!(first > Lsn(handed_out) && first >= Lsn(slot));
    }
}
