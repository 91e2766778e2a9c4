//! `AT TIME ZONE`, with the zones of the IANA database that is compiled in: every server decides alike.

use std::sync::LazyLock;

use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase},
};

use super::{DAY, INFINITE, calendar};
use crate::clause::function::Raised;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Abbreviations that mean the same offset at all times, in hours; in Postgres they come before the names of zones, of
/// which some are called alike but have summer time.
const FIXED: [(&str, i64); 34] = [
    ("adt", -3),
    ("akdt", -8),
    ("akst", -9),
    ("ast", -4),
    ("bst", 1),
    ("cdt", -5),
    ("cest", 2),
    ("cet", 1),
    ("cetdst", 2),
    ("cst", -6),
    ("eat", 3),
    ("edt", -4),
    ("eest", 3),
    ("eet", 2),
    ("est", -5),
    ("gmt", 0),
    ("hkt", 8),
    ("hst", -10),
    ("idt", 3),
    ("ist", 2),
    ("jst", 9),
    ("kst", 9),
    ("mdt", -6),
    ("met", 1),
    ("mst", -7),
    ("nzdt", 13),
    ("nzst", 12),
    ("pdt", -7),
    ("pst", -8),
    ("sast", 2),
    ("utc", 0),
    ("wet", 0),
    ("z", 0),
    ("zulu", 0),
];

enum Zone {
    /// Microseconds east of Greenwich.
    Fixed(i64),
    Named(TimeZone),
}

/// Finds a zone. Abbreviations other than those above and POSIX descriptions are not known: they raise, as unknown ones do.
fn zone(name: &str) -> Result<Zone, Raised> {
    let lower = name.to_ascii_lowercase();
    if let Ok(i) = FIXED.binary_search_by_key(&lower.as_str(), |(name, _)| name) {
        return Ok(Zone::Fixed(FIXED[i].1 * 3_600_000_000));
    }
    // A name without a slash could be an abbreviation to Postgres.
    if !name.contains('/') && !WITHOUT_SLASH.contains(&lower.as_str()) {
        return Err(Raised);
    }
    ZONES.get(name).map(Zone::Named).map_err(|_| Raised)
}

/// Names of zones that are no abbreviations.
const WITHOUT_SLASH: [&str; 23] = [
    "cst6cdt",
    "cuba",
    "egypt",
    "eire",
    "est5edt",
    "gb",
    "greenwich",
    "hongkong",
    "iceland",
    "iran",
    "israel",
    "jamaica",
    "japan",
    "kwajalein",
    "libya",
    "mst7mdt",
    "navajo",
    "poland",
    "portugal",
    "pst8pdt",
    "singapore",
    "turkey",
    "universal",
];

/// The Gregorian calendar repeats, weekdays included, after 400 years.
const CYCLE: i64 = 146_097 * DAY;

/// Microseconds from 1970 to 2000.
const UNIX: i64 = 10_957 * DAY;

/// A local time of the zone as an instant. One that the clocks skip is taken as before the change, one that they show
/// twice as after it.
pub(super) fn to_instant(name: &str, local: i64) -> Result<i64, Raised> {
    shift(name, local, -1, |zone, near| {
        let near = Timestamp::from_microsecond(near + UNIX).map_err(|_| Raised)?;
        let civil: DateTime = TimeZone::UTC.to_datetime(near);
        Ok(match zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Gap { before, .. } => before,
            AmbiguousOffset::Fold { after, .. } => after,
        })
    })
}

/// An instant as a local time of the zone.
pub(super) fn to_local(name: &str, instant: i64) -> Result<i64, Raised> {
    shift(name, instant, 1, |zone, near| {
        Ok(zone.to_offset(Timestamp::from_microsecond(near + UNIX).map_err(|_| Raised)?))
    })
}

fn shift(
    name: &str,
    time: i64,
    direction: i64,
    offset: impl Fn(&TimeZone, i64) -> Result<jiff::tz::Offset, Raised>,
) -> Result<i64, Raised> {
    // Postgres does not ask whether there is such a zone, then.
    if INFINITE.contains(&time) {
        return Ok(time);
    }
    let offset = match zone(name)? {
        Zone::Fixed(micros) => micros,
        // Beyond the year 6000 the rules are those of 400 years before.
        Zone::Named(zone) => {
            let cycles = (time / CYCLE - 10).max(0);
            i64::from(offset(&zone, time - cycles * CYCLE)?.seconds()) * 1_000_000
        }
    };
    calendar::timestamp(0, time.checked_add(direction * offset).ok_or(Raised)?).ok_or(Raised)
}
