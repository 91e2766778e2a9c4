//! The slot: what makes Postgres keep the log that has not been read yet (spec 07 §10.1, with §0).

use change::{Lsn, Xid};

use crate::wire::{Wire, WireError};

/// What the names of our slots begin with.
const PREFIX: &str = "electric_replication_out_";

/// The longest name that Postgres takes, in bytes.
const LONGEST_NAME: usize = 63;

/// A slot that is ready to be read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Transactions that committed before this position are not to be had from it.
    pub confirmed: Lsn,
    /// All transactions before this one were over at that position.
    pub settled: Xid,
}

/// The slot can't be had.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The connection failed, or Postgres refused.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Something else has the name.
    #[error(
        "the replication slot {name} exists, but {problem}. Drop it with SELECT pg_drop_replication_slot('{name}')"
    )]
    Unusable {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// The slot's name for a database; with its object id if the plain name belongs to another database of the cluster.
#[must_use]
pub fn slot_name(database: &str, id: Option<u32>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let normal: String = database.to_lowercase().chars().map(plain).collect();
    let suffix = id.map(|id| format!("_{id}")).unwrap_or_default();
    let room = LONGEST_NAME - PREFIX.len() - suffix.len();
    let cut: String = normal.trim_matches('_').chars().take(room).collect();
    format!("{PREFIX}{cut}{suffix}")
}

/// What there is of a database's slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// It is there, and can be read from.
    Found(Slot),
    /// There is none.
    Missing {
        /// What it is to be called.
        name: String,
    },
    /// It is there, but Postgres has invalidated it: the log it stands for is gone.
    Invalidated {
        /// Its name.
        name: String,
    },
}

/// What the catalogue says about a slot.
struct Found {
    confirmed: Lsn,
    catalog_xmin: Option<u32>,
    problem: Option<&'static str>,
    lost: bool,
    elsewhere: bool,
}

async fn look_up(wire: &mut Wire, name: &str) -> Result<Option<Found>, SlotError> {
    // The name has been made of letters, digits and underscores only.
    let rows = wire
        .query(&format!(
            "SELECT plugin, slot_type, temporary, database = current_database(), confirmed_flush_lsn, catalog_xmin, \
                    wal_status = 'lost' OR restart_lsn IS NULL \
             FROM pg_replication_slots WHERE slot_name = '{name}'"
        ))
        .await?;
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let mut row = row.into_iter();
    let mut text = || row.next().flatten();
    let (plugin, slot_type, temporary, here) = (text(), text(), text(), text());
    let problem = match (slot_type.as_deref(), plugin.as_deref(), temporary.as_deref()) {
        (Some("logical"), Some("pgoutput"), Some("f")) => None,
        (Some("logical"), Some("pgoutput"), _) => Some("is a temporary one"),
        (Some("logical"), ..) => Some("has another output plugin than pgoutput"),
        _ => Some("is not a logical one"),
    };
    Ok(Some(Found {
        confirmed: text().and_then(|lsn| lsn.parse().ok()).unwrap_or(Lsn::ZERO),
        catalog_xmin: text().and_then(|xid| xid.parse().ok()),
        problem,
        lost: text().as_deref() == Some("t"),
        elsewhere: here.as_deref() == Some("f"),
    }))
}

/// Looks what there is of the slot of a database, on a replication connection. `id` is the database's object id, `reference` any
/// recent transaction id. Changes nothing.
///
/// # Errors
/// [`SlotError`], also if something else has the name.
pub async fn find(wire: &mut Wire, database: &str, id: u32, reference: Xid) -> Result<SlotState, SlotError> {
    let (mut name, mut found) = (slot_name(database, None), None);
    match look_up(wire, &name).await? {
        Some(slot) if !slot.elsewhere => found = Some(slot),
        taken => {
            let own_name = slot_name(database, Some(id));
            let own = look_up(wire, &own_name).await?;
            if taken.is_some() || own.is_some() {
                (name, found) = (own_name, own);
            }
        }
    }
    match found {
        None => Ok(SlotState::Missing { name }),
        Some(Found { problem: Some(problem), .. }) => Err(SlotError::Unusable { name, problem }),
        Some(slot) if slot.lost => Ok(SlotState::Invalidated { name }),
        Some(slot) => Ok(SlotState::Found(slot.named(name, reference))),
    }
}

/// The slot itself: made if it is missing, made anew if Postgres has invalidated it.
///
/// # Errors
/// [`SlotError`].
pub async fn ensure(wire: &mut Wire, state: SlotState, reference: Xid) -> Result<Slot, SlotError> {
    let name = match state {
        SlotState::Found(slot) => return Ok(slot),
        SlotState::Missing { name } => name,
        SlotState::Invalidated { name } => {
            wire.query(&format!("SELECT pg_drop_replication_slot('{name}')")).await?;
            name
        }
    };
    wire.query(&format!("CREATE_REPLICATION_SLOT \"{name}\" LOGICAL pgoutput NOEXPORT_SNAPSHOT")).await?;
    let made = look_up(wire, &name).await?;
    let made = made.ok_or(WireError::Protocol("the new replication slot is not there"))?;
    tracing::info!(slot = name, position = %made.confirmed, "made the replication slot");
    Ok(made.named(name, reference))
}

impl Found {
    fn named(self, name: String, reference: Xid) -> Slot {
        let settled = self.catalog_xmin.map_or(Xid::default(), |low| Xid::extend(low, reference));
        Slot { name, confirmed: self.confirmed, settled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_database() {
        for (database, name) in [
            ("app", "electric_replication_out_app"),
            ("My-App.2", "electric_replication_out_my_app_2"),
            ("__x__", "electric_replication_out_x"),
            ("é", "electric_replication_out_"),
        ] {
            assert_eq!(slot_name(database, None), name);
        }
        let long = "a".repeat(100);
        assert_eq!(slot_name(&long, None).len(), 63);
        assert!(slot_name(&long, Some(4_294_967_295)).ends_with("a_4294967295"));
        assert_eq!(slot_name(&long, Some(4_294_967_295)).len(), 63);
    }
}
