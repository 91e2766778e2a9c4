//! The proleptic Gregorian calendar, and Postgres' bounds. Years are astronomical: 0 is 1 BC.

use super::{DAY, INFINITE, INFINITE_DAYS};

/// Days of 2000-01-01 and of the first day out of reach, by Julian day; that of the first in reach is zero.
const EPOCH_JULIAN: i64 = 2_451_545;
const DATE_END_JULIAN: i64 = 2_147_483_494;
const TIMESTAMP_END_JULIAN: i64 = 109_203_528;

/// A day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
}

impl Civil {
    /// Days since 2000-01-01.
    pub(super) fn to_days(self) -> i64 {
        // Counted in years that begin in March, so that the leap day is a year's last.
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 730_425
    }

    /// The day so many days after 2000-01-01.
    pub(super) fn from_days(days: i64) -> Civil {
        let days = days + 730_425;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Civil { year, month, day: day_of_year - (153 * shifted + 2) / 5 + 1 }
    }

    /// So many months later; a day that the month doesn't have becomes its last.
    pub(super) fn plus_months(self, months: i64) -> Civil {
        let months = self.year * 12 + self.month - 1 + months;
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        Civil { year, month, day: self.day.min(days_of_month(year, month)) }
    }
}

/// How many days a month has.
pub(super) fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A finite date, if Postgres has it.
pub(super) fn date(days: i64) -> Option<i32> {
    let reach = -EPOCH_JULIAN..DATE_END_JULIAN - EPOCH_JULIAN;
    if reach.contains(&days) { i32::try_from(days).ok() } else { None }
}

/// A finite timestamp, if Postgres has it.
pub(super) fn timestamp(days: i64, micros: i64) -> Option<i64> {
    let reach = -EPOCH_JULIAN * DAY..(TIMESTAMP_END_JULIAN - EPOCH_JULIAN) * DAY;
    let timestamp = days.checked_mul(DAY)?.checked_add(micros)?;
    reach.contains(&timestamp).then_some(timestamp)
}

/// The midnight that a date begins with, infinities included.
pub(super) fn midnight(date: i32) -> Option<i64> {
    match INFINITE_DAYS.iter().position(|&infinite| infinite == date) {
        Some(i) => INFINITE.get(i).copied(),
        None => timestamp(date.into(), 0),
    }
}
