//! Whether a stream can be continued: from what is kept of it, and from what Postgres says of itself now.

use std::fmt;

use change::Lsn;

use super::{slot::SlotState, timeline::Timelines};

/// Which database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Identifies the cluster; changes with none of its restarts and failovers.
    pub system: String,
    /// The object id of the database.
    pub database: u32,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.system, self.database)
    }
}

/// What is kept of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Of which database.
    pub identity: Identity,
    /// On which timeline it was read last.
    pub timeline: u32,
    /// Everything that committed at or before this position is there, and clients may have been told of it.
    pub position: Lsn,
}

/// What Postgres says of itself before a stream is begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Which database this is.
    pub identity: Identity,
    /// Where it came from.
    pub timelines: Timelines,
    /// The end of what is flushed of the log.
    pub wal_end: Lsn,
    /// The slot.
    pub slot: SlotState,
}

/// Why a stream can't be continued. Each says what happened, in words for whoever runs the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Nothing is kept of it.
    NothingKept,
    /// Another database answers.
    OtherDatabase {
        /// The one that was followed.
        was: Identity,
        /// The one that answers.
        is: Identity,
    },
    /// The database went back in time, or on from an earlier moment than what was read.
    Rewound {
        /// What was read last.
        position: Lsn,
        /// The timeline of that.
        timeline: u32,
        /// The present timeline.
        present: u32,
        /// Up to where the two are the same; `None` if the present one does not come from the other.
        shared: Option<Lsn>,
    },
    /// The log ends before what was read of it.
    Restored {
        /// What was read last.
        position: Lsn,
        /// Where the log ends.
        wal_end: Lsn,
    },
    /// The journal ends after a migration that the database does not have.
    UnknownMigration {
        /// Its version.
        version: String,
    },
    /// The slot is gone, and with it what has not been read.
    SlotMissing,
    /// Postgres has invalidated the slot.
    SlotInvalidated,
    /// Somebody has moved the slot on.
    SlotAhead {
        /// What was read last.
        position: Lsn,
        /// Where the slot stands.
        confirmed: Lsn,
    },
    /// Changes were made while the publication did not exist; Postgres can't decode those.
    Unpublished,
}

impl Gap {
    /// Whether positions that clients hold may be positions of another history, which nothing but what is stored about the clients
    /// in Postgres tells from ours: that has to be forgotten. As long as the slot was there all the while, positions at or
    /// after it are positions of this history, whoever handed them out.
    #[must_use]
    pub fn disowns_clients(&self, slot: &SlotState) -> bool {
        let same_history = matches!(self, Gap::NothingKept | Gap::SlotAhead { .. } | Gap::Unpublished);
        !same_history || !matches!(slot, SlotState::Found(_))
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gap::NothingKept => f.write_str("there is no journal of this database yet"),
            Gap::OtherDatabase { was, is } => write!(
                f,
                "another database answers under the same address: {is} instead of {was} (system identifier and object id)"
            ),
            Gap::Rewound { position, timeline, present, shared: Some(shared) } => write!(
                f,
                "the database went on from an earlier moment than what clients have seen: they were sent transactions up to {position} on \
                 timeline {timeline}, and timeline {present} has only those up to {shared} of them (a standby was promoted that had \
                 not received everything, or a backup was restored)"
            ),
            Gap::Rewound { position, timeline, present, shared: None } => write!(
                f,
                "the database is on timeline {present}, which does not come from timeline {timeline}, that clients were sent transactions \
                 of up to {position} (an older backup was restored, or another standby was promoted)"
            ),
            Gap::Restored { position, wal_end } => write!(
                f,
                "the log of the database ends at {wal_end}, before the last transaction that clients were sent, at {position}: it was \
                 restored from a backup, or lost its newest transactions in a crash"
            ),
            Gap::UnknownMigration { version } => write!(
                f,
                "clients were sent migration {version}, which the database does not have: it was restored from a backup, or somebody has \
                 deleted the migration's record"
            ),
            Gap::SlotMissing => f.write_str(
                "the replication slot is gone (somebody has dropped it, or a standby was promoted, which does not have the slots of its \
                 primary), and with it the log of what has not been read",
            ),
            Gap::SlotInvalidated => f.write_str(
                "Postgres has invalidated the replication slot: it needed more log than max_slot_wal_keep_size allows",
            ),
            Gap::SlotAhead { position, confirmed } => write!(
                f,
                "the replication slot stands at {confirmed}, after the end of the journal at {position}: another instance has followed the \
                 database since, somebody has moved the slot, or the end of the journal is lost"
            ),
            Gap::Unpublished => f.write_str(
                "changes were made while the publication electric_publication did not exist (somebody had dropped it), and Postgres \
                 can't decode those",
            ),
        }
    }
}

/// Decides: `Ok` with the position after which the stream goes on exactly, without a gap and without a repetition; or why it has
/// to begin anew, see [`first_position`].
///
/// # Errors
/// [`Gap`].
pub fn decide(kept: Option<&Kept>, now: &Situation) -> Result<Lsn, Gap> {
    let Some(Kept { identity, timeline, position }) = kept else {
        return Err(Gap::NothingKept);
    };
    if *identity != now.identity {
        return Err(Gap::OtherDatabase { was: identity.clone(), is: now.identity.clone() });
    }
    let (position, timeline) = (*position, *timeline);
    let shared = now.timelines.shared_with(timeline);
    if shared.is_none_or(|shared| shared < position) {
        return Err(Gap::Rewound { position, timeline, present: now.timelines.present, shared });
    }
    if now.wal_end < position {
        return Err(Gap::Restored { position, wal_end: now.wal_end });
    }
    match &now.slot {
        SlotState::Missing { .. } => Err(Gap::SlotMissing),
        SlotState::Invalidated { .. } => Err(Gap::SlotInvalidated),
        SlotState::Found(slot) if slot.confirmed > position => {
            Err(Gap::SlotAhead { position, confirmed: slot.confirmed })
        }
        SlotState::Found(_) => Ok(position),
    }
}

/// Where a new history begins: where the slot stands, but after every position of the old one, so that no client with one of those
/// is taken for ours.
#[must_use]
pub fn first_position(slot: Lsn, handed_out: Lsn) -> Lsn {
    slot.max(Lsn(handed_out.0.saturating_add(1)))
}

#[cfg(test)]
mod tests;
