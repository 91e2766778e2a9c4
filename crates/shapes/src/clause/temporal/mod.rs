//! Dates and times as Postgres has them, in a session whose time zone is UTC: infinities, years BC, microseconds.

pub(super) mod arithmetic;
mod calendar;
mod interval;
mod interval_text;
mod parse;
mod print;
mod zone;

pub use interval::Interval;
pub(super) use parse::{parse_date, parse_time, parse_timestamp, parse_timestamptz};
pub(super) use print::{print_date, print_time, print_timestamp};

use std::cmp::Ordering;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// The infinities of timestamps, and of dates.
const INFINITE: [i64; 2] = [i64::MIN, i64::MAX];
const INFINITE_DAYS: [i32; 2] = [i32::MIN, i32::MAX];

/// The order of a date, taken for its midnight, and a timestamp. Dates reach further than timestamps do.
pub(super) fn order_date_timestamp(date: i32, timestamp: i64) -> Ordering {
    match (date, timestamp) {
        (i32::MIN, i64::MIN) | (i32::MAX, i64::MAX) => Ordering::Equal,
        (i32::MIN, _) | (_, i64::MAX) => Ordering::Less,
        (i32::MAX, _) | (_, i64::MIN) => Ordering::Greater,
        _ => (i128::from(date) * i128::from(DAY)).cmp(&timestamp.into()),
    }
}
