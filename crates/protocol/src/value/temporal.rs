//! `date`, `time`, `timetz`, `timestamp`, `timestamptz` (spec 03 §3.6, §3.7).
//!
//! Two grammars meet here: the strict ISO forms that clients make, and whatever Postgres itself prints, which clients
//! send back with every update of the row: infinities, years before 1 (`… BC`) and after 9999, `24:00:00`.

use super::{Refusal, inspect};

/// Last years that Postgres' types reach.
const LAST_DATE_YEAR: u32 = 5_874_897;
const LAST_TIMESTAMP_YEAR: u32 = 294_276;
/// First day that both reach: 24 November 4714 BC.
const FIRST_DAY_BC: (u32, u32, u32) = (4714, 11, 24);
/// Digits of a second's fraction that Postgres reads; it rounds to six.
const MAX_FRACTION: usize = 64;

pub(super) fn check_date(text: &str) -> Result<(), Refusal> {
    let accepted = is_infinite(text) || date_within(text).is_some_and(|date| date.exists(LAST_DATE_YEAR));
    if accepted {
        Ok(())
    } else {
        Err(Refusal(format!("Unexpected value for :date column: {}", inspect(text))))
    }
}

fn date_within(text: &str) -> Option<Date> {
    let (text, bc) = strip_bc(text);
    let (date, rest) = Date::read(text, bc)?;
    rest.is_empty().then_some(date)
}

pub(super) fn check_time(text: &str) -> Result<(), Refusal> {
    let accepted = text == "24:00:00"
        || Time::read(text).is_some_and(|(time, rest)| {
            rest.is_empty() && time.exists() && time.fraction.is_none_or(|digits| digits <= 6)
        });
    if accepted {
        Ok(())
    } else {
        Err(Refusal(format!("Unexpected value for :time column: {}", inspect(text))))
    }
}

/// What [`timetz_to_postgres`] makes of it has an offset.
pub(super) fn check_timetz(text: &str) -> Result<(), Refusal> {
    let accepted = Timetz::read(text).is_some_and(|timetz| {
        (timetz.time.exists() || timetz.local == "24:00:00")
            && timetz.time.fraction.is_none_or(|digits| digits <= 6)
            && timetz.offset.is_none_or(|offset| ClockOffset::read(offset).is_some_and(ClockOffset::exists))
    });
    if accepted {
        Ok(())
    } else {
        Err(Refusal(format!("Unexpected value for :timetz column: {}", inspect(text))))
    }
}

/// What Postgres is given for a `timetz`, or `None` if it is the text itself. The client puts `+00` behind every value, after
/// taking the first `+00` out of what it received; so what has an offset of its own has two of them here. A client that does not
/// know the column's type puts nothing behind it.
pub(super) fn timetz_to_postgres(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let Timetz { local, offset, .. } = Timetz::read(text)?;
    let offset = offset.unwrap_or("+00");
    // What could be taken for `+00` was written in another way for the client.
    let printed = match offset.strip_prefix("+0:") {
        Some(minutes) => format!("{local}+00:{minutes}"),
        None => format!("{local}{offset}"),
    };
    (printed != text).then(|| printed.into_bytes())
}

pub(super) fn check_timestamp(text: &str) -> Result<(), Refusal> {
    if is_infinite(text) {
        return Ok(());
    }
    match Timestamp::read(text) {
        None => Err(Refusal(format!("Unexpected format provided for timestamp column: {}", inspect(text)))),
        Some(timestamp) if timestamp.offset.is_some() => {
            Err(Refusal(format!("Unexpected offset provided for timestamp column: {}", inspect(text))))
        }
        Some(timestamp) => timestamp.check("timestamp", text),
    }
}

pub(super) fn check_timestamptz(text: &str) -> Result<(), Refusal> {
    if is_infinite(text) {
        return Ok(());
    }
    let format_error = || Refusal(format!("Unexpected format for timestamptz column: {}", inspect(text)));
    let timestamp = Timestamp::read(text).ok_or_else(format_error)?;
    match timestamp.offset {
        None => Err(Refusal(format!("Missing offset in timestamptz column: {}", inspect(text)))),
        Some(offset) if offset.exists() => timestamp.check("timestamptz", text),
        Some(_) => Err(format_error()),
    }
}

fn is_infinite(text: &str) -> bool {
    matches!(text, "infinity" | "-infinity")
}

fn strip_bc(text: &str) -> (&str, bool) {
    text.strip_suffix(" BC").map_or((text, false), |text| (text, true))
}

/// A date that is well formed, not necessarily in the calendar.
#[derive(Clone, Copy)]
struct Date {
    year: u32,
    month: u32,
    day: u32,
    bc: bool,
}

impl Date {
    /// Four digits of year, or five to seven without leading zero as Postgres prints them; two of month and of day.
    fn read(text: &str, bc: bool) -> Option<(Date, &str)> {
        let (year, rest) = text.split_once('-')?;
        let long = (5..=7).contains(&year.len()) && !year.starts_with('0');
        if year.len() != 4 && !long {
            return None;
        }
        let year = number(year)?;
        let (month, rest) = two_digits(rest)?;
        let (day, rest) = two_digits(rest.strip_prefix('-')?)?;
        Some((Date { year, month, day, bc }, rest))
    }

    /// Whether it is in the calendar and in reach of a type that ends with `last_year`.
    fn exists(self, last_year: u32) -> bool {
        // There is no year 0: 1 BC counts as 0, a leap year.
        let counted = if self.bc { self.year.wrapping_sub(1) } else { self.year };
        let leap = counted.is_multiple_of(4) && (!counted.is_multiple_of(100) || counted.is_multiple_of(400));
        let days = match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => 0,
        };
        self.in_reach(last_year) && (1..=days).contains(&self.day)
    }

    fn in_reach(self, last_year: u32) -> bool {
        match (self.bc, self.year) {
            (_, 0) => false,
            (false, year) => year <= last_year,
            // The reach begins within its first year.
            (true, year) if year == FIRST_DAY_BC.0 => {
                (self.month, self.day) >= (FIRST_DAY_BC.1, FIRST_DAY_BC.2)
            }
            (true, year) => year < FIRST_DAY_BC.0,
        }
    }
}

/// A time of day that is well formed.
#[derive(Clone, Copy)]
struct Time {
    hour: u32,
    minute: u32,
    second: u32,
    /// How many digits the fraction has.
    fraction: Option<usize>,
}

impl Time {
    fn read(text: &str) -> Option<(Time, &str)> {
        let (hour, rest) = two_digits(text)?;
        let (minute, rest) = two_digits(rest.strip_prefix(':')?)?;
        let (second, rest) = two_digits(rest.strip_prefix(':')?)?;
        let Some(digits) = rest.strip_prefix('.') else {
            return Some((Time { hour, minute, second, fraction: None }, rest));
        };
        let len = digits.bytes().take_while(u8::is_ascii_digit).count();
        let fraction = (1..=MAX_FRACTION).contains(&len).then_some(len)?;
        Some((Time { hour, minute, second, fraction: Some(fraction) }, &digits[len..]))
    }

    fn exists(self) -> bool {
        self.hour <= 23 && self.minute <= 59 && self.second <= 59
    }
}

/// A time of day as clients send it for a `timetz`, with the offset that it has apart from the client's own addition.
#[derive(Clone, Copy)]
struct Timetz<'a> {
    time: Time,
    local: &'a str,
    /// Not judged yet.
    offset: Option<&'a str>,
}

impl Timetz<'_> {
    fn read(text: &str) -> Option<Timetz<'_>> {
        let (time, rest) = Time::read(text)?;
        let local = text.strip_suffix(rest)?;
        let own = rest.strip_suffix("+00").filter(|own| !own.is_empty());
        Some(Timetz { time, local, offset: own.or(Some(rest).filter(|rest| !rest.is_empty())) })
    }
}

/// An offset of a `timetz`: `Z`, or a sign with hours of one or two digits, then perhaps minutes and seconds.
#[derive(Clone, Copy)]
struct ClockOffset {
    hours: u32,
    minutes: u32,
    seconds: u32,
}

impl ClockOffset {
    fn read(text: &str) -> Option<ClockOffset> {
        if text == "Z" {
            return Some(ClockOffset { hours: 0, minutes: 0, seconds: 0 });
        }
        let mut parts = text.strip_prefix(['+', '-'])?.split(':');
        let hours = parts.next().filter(|hours| (1..=2).contains(&hours.len())).and_then(number)?;
        let mut next = || match parts.next() {
            None => Some(0),
            Some(part) => two_digits(part).filter(|(_, rest)| rest.is_empty()).map(|(number, _)| number),
        };
        let (minutes, seconds) = (next()?, next()?);
        parts.next().is_none().then_some(ClockOffset { hours, minutes, seconds })
    }

    /// Whether Postgres knows such an offset: less than sixteen hours.
    fn exists(self) -> bool {
        self.hours <= 15 && self.minutes <= 59 && self.seconds <= 59
    }
}

/// An offset from UTC that is well formed.
#[derive(Clone, Copy)]
struct Offset {
    hours: u32,
    minutes: u32,
}

impl Offset {
    /// `Z`, `±HH`, `±HHMM`, `±HH:MM`, and nothing after it.
    fn read(text: &str) -> Option<Offset> {
        if text == "Z" {
            return Some(Offset { hours: 0, minutes: 0 });
        }
        let (hours, rest) = two_digits(text.strip_prefix(['+', '-'])?)?;
        if rest.is_empty() {
            return Some(Offset { hours, minutes: 0 });
        }
        let (minutes, rest) = two_digits(rest.strip_prefix(':').unwrap_or(rest))?;
        rest.is_empty().then_some(Offset { hours, minutes })
    }

    /// Whether Postgres knows such an offset.
    fn exists(self) -> bool {
        self.hours <= 15 && self.minutes <= 59
    }
}

/// Date and time that are well formed.
#[derive(Clone, Copy)]
struct Timestamp {
    date: Date,
    time: Time,
    offset: Option<Offset>,
}

impl Timestamp {
    fn read(text: &str) -> Option<Timestamp> {
        let (text, bc) = strip_bc(text);
        let (date, rest) = Date::read(text, bc)?;
        let (time, rest) = Time::read(rest.strip_prefix(['T', ' '])?)?;
        let offset = if rest.is_empty() { None } else { Some(Offset::read(rest)?) };
        Some(Timestamp { date, time, offset })
    }

    fn check(self, type_name: &str, text: &str) -> Result<(), Refusal> {
        if !self.date.in_reach(LAST_TIMESTAMP_YEAR) {
            return Err(Refusal(format!("Year out of range: {}", self.date.year)));
        }
        if !self.date.exists(LAST_TIMESTAMP_YEAR) || !self.time.exists() {
            return Err(Refusal(format!("No such date and time, in {type_name} column: {}", inspect(text))));
        }
        Ok(())
    }
}

fn two_digits(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(2)?;
    Some((number(digits)?, rest))
}

/// ASCII digits only; at most seven come here.
fn number(digits: &str) -> Option<u32> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}
