//! Dates and times as text, in Postgres' ISO style.

use std::fmt::Write;

use super::{DAY, calendar::Civil};

/// As `date_out` does.
pub(in crate::clause) fn print_date(date: i32) -> String {
    match date {
        i32::MIN => "-infinity".to_owned(),
        i32::MAX => "infinity".to_owned(),
        days => {
            let mut text = String::new();
            let bc = push_date(&mut text, days.into());
            text + bc
        }
    }
}

/// As `time_out` does.
pub(in crate::clause) fn print_time(time: i64) -> String {
    let mut text = String::new();
    push_time(&mut text, time.unsigned_abs());
    text
}

/// As `timestamp_out` does, or `timestamptz_out` in UTC.
pub(in crate::clause) fn print_timestamp(timestamp: i64, zoned: bool) -> String {
    match timestamp {
        i64::MIN => "-infinity".to_owned(),
        i64::MAX => "infinity".to_owned(),
        micros => {
            let mut text = String::with_capacity(32);
            let bc = push_date(&mut text, micros.div_euclid(DAY));
            text.push(' ');
            push_time(&mut text, micros.rem_euclid(DAY).unsigned_abs());
            text.push_str(if zoned { "+00" } else { "" });
            text + bc
        }
    }
}

/// Writes a day, and returns what is to follow: the era, if it is not ours.
fn push_date(text: &mut String, days: i64) -> &'static str {
    let Civil { year, month, day } = Civil::from_days(days);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    let _ = write!(text, "{year:04}-{month:02}-{day:02}");
    era
}

/// Writes hours, minutes and seconds, with a fraction if there is one.
pub(super) fn push_time(text: &mut String, micros: u64) {
    let seconds = micros / 1_000_000;
    let _ = write!(text, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if !micros.is_multiple_of(1_000_000) {
        let _ = write!(text, ".{:06}", micros % 1_000_000);
        text.truncate(text.trim_end_matches('0').len());
    }
}
