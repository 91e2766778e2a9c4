//! What the last transactions did to a shape, and by that what was in it before them.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
    time::{Duration, Instant},
};

use change::{Lsn, RelationId};
use session::{Image, Lost, Moves};
use shapes::{Key, Moved};

/// For so long a look back is still answered after the position has been given up: whoever was told just before that it is
/// reached may be about to ask.
const GRACE: Duration = Duration::from_secs(5);

/// The moves of the transactions after some position, those that did something.
pub(super) struct History {
    /// Bytes of moves that may be held; the newest are, however many they are.
    budget: usize,
    /// Of everything strictly after this, the moves are known.
    floor: Lsn,
    entries: VecDeque<Entered>,
    /// Bytes of all entries, and of those at or before the floor.
    weight: usize,
    condemned_weight: usize,
    /// When the floor was raised, and where to: what is at or before it may go after [`GRACE`].
    condemned: VecDeque<(Instant, Lsn)>,
    /// By row: where its membership changed, in order, and what it was before.
    turns: HashMap<RelationId, HashMap<Key, VecDeque<Turn>>>,
}

struct Entered {
    at: Lsn,
    moves: Arc<Moves>,
    weight: usize,
}

#[derive(Clone, Copy)]
struct Turn {
    at: Lsn,
    was: bool,
}

impl History {
    /// Begins at a position.
    pub(super) fn new(floor: Lsn, budget: usize) -> History {
        History {
            budget,
            floor,
            entries: VecDeque::new(),
            weight: 0,
            condemned_weight: 0,
            condemned: VecDeque::new(),
            turns: HashMap::new(),
        }
    }

    /// Positions before this are not answered for any more.
    pub(super) fn floor(&self) -> Lsn {
        self.floor
    }

    /// Bytes that may be held.
    pub(super) fn budget(&self) -> usize {
        self.budget
    }

    /// Bytes held.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// Whether the moves after `wanted`, which nobody has asked for yet, take half of the budget.
    pub(super) fn is_far_ahead(&self, wanted: Lsn) -> bool {
        let ahead = self.entries.iter().rev().take_while(|entry| entry.at > wanted);
        ahead.map(|entry| entry.weight).sum::<usize>() > self.budget / 2
    }

    /// Enters the moves of the next transaction.
    pub(super) fn enter(&mut self, at: Lsn, moves: Moves) {
        for row in turning(&moves) {
            let turns = self.turns.entry(row.relation).or_default();
            turns.entry(row.key.clone()).or_default().push_back(Turn { at, was: row.was });
        }
        let weight = weight(&moves);
        self.weight += weight;
        self.entries.push_back(Entered { at, moves: Arc::new(moves), weight });
    }

    /// Gives up what lies at or before `start`, and the oldest of what is over the budget and before `wanted`, which is asked for
    /// next.
    pub(super) fn trim(&mut self, start: Lsn, wanted: Lsn, now: Instant) {
        let first = self.entries.partition_point(|entry| entry.at <= self.floor);
        let mut live = self.weight - self.condemned_weight;
        let mut raised = None;
        for (at, entry) in self.entries.iter().enumerate().skip(first) {
            let is_newest = at + 1 == self.entries.len();
            if entry.at > start && (live <= self.budget || is_newest || entry.at >= wanted) {
                break;
            }
            live -= entry.weight;
            raised = Some(entry.at);
        }
        if let Some(floor) = raised {
            self.floor = floor;
            self.condemned_weight = self.weight - live;
            self.condemned.push_back((now, floor));
        }
        while let Some((since, up_to)) = self.condemned.front().copied()
            && now.saturating_duration_since(since) >= GRACE
        {
            self.condemned.pop_front();
            self.forget(up_to);
        }
    }

    fn forget(&mut self, up_to: Lsn) {
        while let Some(entry) = self.entries.pop_front_if(|entry| entry.at <= up_to) {
            self.weight -= entry.weight;
            self.condemned_weight = self.condemned_weight.saturating_sub(entry.weight);
            for row in turning(&entry.moves) {
                self.forget_turn(row, entry.at);
            }
        }
    }

    fn forget_turn(&mut self, row: &Moved, at: Lsn) {
        let Entry::Occupied(mut rows) = self.turns.entry(row.relation) else { return };
        let Some(turns) = rows.get_mut().get_mut(&row.key) else { return };
        turns.pop_front_if(|turn| turn.at <= at);
        if turns.is_empty() {
            rows.get_mut().remove(&row.key);
            if rows.get().is_empty() {
                rows.remove();
            }
        }
    }

    /// The moves of the transaction at a position; `None` if it did nothing.
    pub(super) fn moves(&self, at: Lsn) -> Result<Option<Arc<Moves>>, Lost> {
        if at <= self.floor {
            return Err(Lost);
        }
        let found = self.entries.binary_search_by_key(&at, |entry| entry.at);
        Ok(found.ok().and_then(|found| self.entries.get(found)).map(|entry| entry.moves.clone()))
    }

    /// Whether a row was in the shape after everything up to a position; `None` if that has not changed since.
    pub(super) fn was(&self, relation: RelationId, key: &Key, at: Lsn) -> Option<bool> {
        let turns = self.turns.get(&relation)?.get(key)?;
        turns.get(turns.partition_point(|turn| turn.at <= at)).map(|turn| turn.was)
    }

    /// The rows whose membership has changed since a position, and what it was then.
    pub(super) fn changed_since(&self, at: Lsn) -> HashMap<(RelationId, &Key), bool> {
        let first = self.entries.partition_point(|entry| entry.at <= at);
        let mut changed = HashMap::new();
        for row in self.entries.range(first..).flat_map(|entry| turning(&entry.moves)) {
            changed.entry((row.relation, &row.key)).or_insert(row.was);
        }
        changed
    }
}

/// The rows that came or went.
fn turning(moves: &Moves) -> impl Iterator<Item = &Moved> {
    moves.delta.rows.iter().filter(|row| row.was != row.now)
}

/// Roughly what moves occupy, in bytes, with the turns that are noted of them.
fn weight(moves: &Moves) -> usize {
    let turn = |row: &Moved| 4 * size_of::<Turn>() + size_of::<VecDeque<Turn>>() + row.key.as_bytes().len();
    let rows = moves.delta.rows.iter().map(|row| size_of::<Moved>() + row.key.as_bytes().len());
    let images = moves
        .brought
        .iter()
        .chain(&moves.additional)
        .map(|image| size_of::<Image>() + image.key.as_bytes().len() + image.row.weight());
    size_of::<Entered>()
        + size_of::<Moves>()
        + rows.sum::<usize>()
        + turning(moves).map(turn).sum::<usize>()
        + images.sum::<usize>()
}
