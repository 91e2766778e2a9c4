//! Dates and times from text: the ISO forms and what Postgres prints, with the freedom that Postgres leaves around them.
//!
//! Postgres reads many forms more. They are refused: what is read here is read as there.

use super::{
    DAY,
    calendar::{self, Civil, days_of_month},
};

/// Reads a `date`. A time of day after it is read and dropped, as in Postgres.
pub(in crate::clause) fn parse_date(text: &str) -> Option<i32> {
    match special(text) {
        Some(Special::Infinity) => return Some(i32::MAX),
        Some(Special::MinusInfinity) => return Some(i32::MIN),
        Some(Special::Epoch) => return calendar::date(EPOCH),
        None => {}
    }
    let parts = Parts::parse(text)?;
    calendar::date(parts.day.to_days())
}

/// Reads a `time`. A zone after it is read and dropped.
pub(in crate::clause) fn parse_time(text: &str) -> Option<i64> {
    let mut cursor = Cursor::new(text);
    cursor.letter(b't');
    let time = cursor.time()?;
    cursor.blanks();
    cursor.zone()?;
    cursor.is_empty().then_some(time)
}

/// Reads a `timestamp`. A zone after it is read and dropped.
pub(in crate::clause) fn parse_timestamp(text: &str) -> Option<i64> {
    if let Some(special) = special(text) {
        return Some(special.timestamp());
    }
    let parts = Parts::parse(text)?;
    calendar::timestamp(parts.day.to_days(), parts.time)
}

/// Reads a `timestamptz`; without a zone it is meant in UTC.
pub(in crate::clause) fn parse_timestamptz(text: &str) -> Option<i64> {
    if let Some(special) = special(text) {
        return Some(special.timestamp());
    }
    let parts = Parts::parse(text)?;
    // Postgres checks before it shifts, too.
    calendar::timestamp(parts.day.to_days(), parts.time)?;
    calendar::timestamp(parts.day.to_days(), parts.time - parts.offset.unwrap_or(0) * 1_000_000)
}

/// Days from 2000-01-01 back to 1970-01-01.
const EPOCH: i64 = -10_957;

/// Words for dates. `now` and the like are not among them: they mean another day each day.
enum Special {
    Infinity,
    MinusInfinity,
    Epoch,
}

impl Special {
    fn timestamp(&self) -> i64 {
        match self {
            Special::Infinity => i64::MAX,
            Special::MinusInfinity => i64::MIN,
            Special::Epoch => EPOCH * DAY,
        }
    }
}

fn special(text: &str) -> Option<Special> {
    let text = text.trim_matches(is_blank);
    if !text.ends_with(['y', 'Y', 'h', 'H']) {
        return None;
    }
    match text.to_ascii_lowercase().as_str() {
        "infinity" => Some(Special::Infinity),
        "-infinity" => Some(Special::MinusInfinity),
        "epoch" => Some(Special::Epoch),
        _ => None,
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// A day, and a time of it.
struct Parts {
    day: Civil,
    /// Microseconds since midnight, 24:00 included.
    time: i64,
    /// Seconds east of Greenwich.
    offset: Option<i64>,
}

impl Parts {
    fn parse(text: &str) -> Option<Parts> {
        let mut cursor = Cursor::new(text);
        let mut day = cursor.day()?;
        let (mut time, mut offset) = (0, None);
        let blank = cursor.blanks();
        if cursor.letter(b't') || (blank && cursor.peek().is_some_and(|b| b.is_ascii_digit())) {
            time = cursor.time()?;
            cursor.blanks();
            offset = cursor.zone()?;
        }
        let blank = cursor.blanks() || blank;
        let bc = blank && cursor.word("bc");
        if !bc && blank {
            cursor.word("ad");
        }
        if !cursor.is_empty() || day.year == 0 {
            return None;
        }
        if bc {
            day.year = 1 - day.year;
        }
        (day.day <= days_of_month(day.year, day.month)).then_some(Parts { day, time, offset })
    }
}

/// What is left of a text.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Begins after blanks and ends before them.
    pub(super) fn new(text: &'a str) -> Cursor<'a> {
        Cursor { rest: text.trim_matches(is_blank).as_bytes() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(super) fn byte(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    /// A letter in either case, given in lower case.
    pub(super) fn letter(&mut self, letter: u8) -> bool {
        self.byte(letter) || self.byte(letter.to_ascii_uppercase())
    }

    /// Skips blanks; whether there were any.
    pub(super) fn blanks(&mut self) -> bool {
        let count = self.rest.iter().take_while(|&&b| is_blank(b.into())).count();
        self.rest = &self.rest[count..];
        count > 0
    }

    /// A whole word in any case, given in lower case.
    fn word(&mut self, word: &str) -> bool {
        let count = self.rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let found = self.rest[..count].eq_ignore_ascii_case(word.as_bytes());
        if found {
            self.rest = &self.rest[count..];
        }
        found
    }

    /// All letters there are.
    pub(super) fn letters(&mut self) -> &'a [u8] {
        let count = self.rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let (letters, rest) = self.rest.split_at(count);
        self.rest = rest;
        letters
    }

    /// All digits there are.
    pub(super) fn digits(&mut self) -> &'a [u8] {
        let count = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        digits
    }

    /// A number of so many digits at least and at most.
    pub(super) fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let digits = self.digits();
        (least..=most).contains(&digits.len()).then(|| value(digits))
    }

    /// `2024-02-29`, `2024/2/29` or `20240229`. A year has four digits at least: with fewer, Postgres may take it for a day.
    fn day(&mut self) -> Option<Civil> {
        let digits = self.digits();
        let separator = self.peek().filter(|b| matches!(b, b'-' | b'/'));
        let (year, month, day) = if let Some(separator) = separator {
            self.byte(separator);
            let year = (4..=7).contains(&digits.len()).then(|| value(digits))?;
            let month = self.number(1, 2)?;
            if !self.byte(separator) {
                return None;
            }
            (year, month, self.number(1, 2)?)
        } else {
            let (year, day) = digits.split_at_checked(4)?;
            let (month, day) = day.split_at_checked(2)?;
            (day.len() == 2).then(|| (value(year), value(month), value(day)))?
        };
        ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some(Civil { year, month, day })
    }

    /// `4:05`, `04:05:06.789`, `04:05 PM`; to microseconds.
    fn time(&mut self) -> Option<i64> {
        let mut hour = self.number(1, 2)?;
        if !self.byte(b':') {
            return None;
        }
        let minute = self.number(1, 2)?;
        let (second, fraction) =
            if self.byte(b':') { (self.number(1, 2)?, self.fraction()?) } else { (0, 0) };
        let before = self.rest;
        self.blanks();
        let (am, pm) = (self.word("am"), self.word("pm"));
        if am || pm {
            let ends = self.peek().is_none_or(|b| is_blank(b.into()));
            if hour > 12 || !ends {
                return None;
            }
            hour = hour % 12 + if pm { 12 } else { 0 };
        } else {
            self.rest = before;
        }
        let time = ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction;
        (minute <= 59 && second <= 60 && time <= DAY).then_some(time)
    }

    /// `.789` as microseconds, rounded as Postgres does it; nothing is none.
    pub(super) fn fraction(&mut self) -> Option<i64> {
        if !self.byte(b'.') {
            return Some(0);
        }
        let digits = self.digits();
        match digits.len() {
            0 => None,
            n @ 1..=6 => Some(value(digits) * 10_i64.pow(u32::try_from(6 - n).unwrap_or(0))),
            _ => {
                let fraction: f64 = format!("0.{}", std::str::from_utf8(digits).ok()?).parse().ok()?;
                #[expect(clippy::cast_possible_truncation, reason = "it is at most a million")]
                let micros = (fraction * 1e6).round_ties_even() as i64;
                Some(micros)
            }
        }
    }

    /// `Z`, `UTC`, `+05`, `-05:30`, `+0530`, `+05:30:15`: seconds east of Greenwich; or nothing.
    #[expect(clippy::option_option, reason = "a zone may be missing, and it may be malformed")]
    fn zone(&mut self) -> Option<Option<i64>> {
        if ["z", "utc", "gmt"].iter().any(|word| self.word(word)) {
            return Some(Some(0));
        }
        let east = match self.peek() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Some(None),
        };
        self.rest = &self.rest[1..];
        let digits = self.digits();
        let (hours, minutes, seconds) = if self.byte(b':') {
            let hours = (1..=2).contains(&digits.len()).then(|| value(digits))?;
            let minutes = self.number(1, 2)?;
            (hours, minutes, if self.byte(b':') { self.number(1, 2)? } else { 0 })
        } else {
            match digits.len() {
                1 | 2 => (value(digits), 0, 0),
                4 => (value(digits) / 100, value(digits) % 100, 0),
                _ => return None,
            }
        };
        (hours <= 15 && minutes <= 59 && seconds <= 59)
            .then_some(Some(east * ((hours * 60 + minutes) * 60 + seconds)))
    }
}

/// The value of at most eighteen digits.
fn value(digits: &[u8]) -> i64 {
    digits.iter().take(18).fold(0, |value, digit| value * 10 + i64::from(digit - b'0'))
}
