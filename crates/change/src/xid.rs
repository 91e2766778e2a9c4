//! Transaction ids and the snapshots that say which of them are visible.

use std::{fmt, str::FromStr};

/// A 64-bit transaction id: the epoch in the upper half, Postgres' 32-bit id in the lower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xid(pub u64);

impl Xid {
    /// Completes the 32-bit id of the replication stream: the 64-bit id with those low bits that is nearest to
    /// `reference`, any id known to be less than 2³¹ transactions away.
    #[must_use]
    pub fn extend(low: u32, reference: Xid) -> Xid {
        let distance = low.wrapping_sub(reference.0 as u32) as i32;
        Xid(reference.0.wrapping_add_signed(i64::from(distance)))
    }
}

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What `pg_current_snapshot()` says: which transactions a query sees (spec 06 §5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// All transactions before this one have finished.
    pub xmin: Xid,
    /// The first id not yet assigned.
    pub xmax: Xid,
    /// Those between the two that were still running; sorted.
    pub in_progress: Vec<Xid>,
}

/// The text is not of the form `xmin:xmax:xip,xip,…`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a snapshot of the form xmin:xmax:xip,…")]
pub struct MalformedSnapshot;

impl Snapshot {
    /// Whether the snapshot sees the effects of `xid`, provided that it committed.
    #[must_use]
    pub fn sees(&self, xid: Xid) -> bool {
        xid < self.xmax && (xid < self.xmin || self.in_progress.binary_search(&xid).is_err())
    }
}

impl FromStr for Snapshot {
    type Err = MalformedSnapshot;

    fn from_str(text: &str) -> Result<Snapshot, MalformedSnapshot> {
        let number = |text: &str| text.parse().map(Xid).map_err(|_| MalformedSnapshot);
        let mut parts = text.splitn(3, ':');
        let mut next = || parts.next().ok_or(MalformedSnapshot);
        let (xmin, xmax) = (number(next()?)?, number(next()?)?);
        let mut in_progress =
            next()?.split(',').filter(|p| !p.is_empty()).map(number).collect::<Result<Vec<_>, _>>()?;
        in_progress.sort_unstable();
        Ok(Snapshot { xmin, xmax, in_progress })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn extends_across_the_wrap_around(reference: u64, distance in -0x7FFF_FFFFi64..0x7FFF_FFFF) {
            let reference = reference.clamp(1 << 33, u64::MAX - (1 << 33));
            let xid = reference.wrapping_add_signed(distance);
            prop_assert_eq!(Xid::extend(xid as u32, Xid(reference)), Xid(xid));
        }
    }

    #[test]
    fn a_snapshot_sees_what_had_finished() {
        let snapshot: Snapshot = "745:750:748,746".parse().unwrap();
        let seen: Vec<u64> = (740..755).filter(|x| snapshot.sees(Xid(*x))).collect();
        assert_eq!(seen, [740, 741, 742, 743, 744, 745, 747, 749]);
        assert!("745:745:".parse::<Snapshot>().unwrap().sees(Xid(744)));
        for bad in ["", "1", "1:2", "a:2:", "1:2:x"] {
            assert_eq!(bad.parse::<Snapshot>(), Err(MalformedSnapshot), "{bad:?}");
        }
    }
}
