//! Intervals as text: `1 year 2 mons 3 days 04:05:06`, `1-2 3 4:05:06`, `P1Y2M3DT4H5M6S`.

use std::fmt;

use super::{Interval, parse::Cursor, print::push_time};

impl Interval {
    /// Reads an interval as `interval_in` does, in the forms above; `ago` at the end turns the signs around.
    pub(in crate::clause) fn parse(text: &str) -> Option<Interval> {
        let sum = match text.strip_prefix('P') {
            // ISO 8601 leaves no room for blanks.
            Some(designators) if designators.contains(char::is_whitespace) => None,
            Some(designators) => designated(Cursor::new(designators)),
            None => verbose(Cursor::new(text)),
        }?;
        let months = sum.years.checked_mul(12)?.checked_add(sum.months)?;
        Some(Interval {
            months: i32::try_from(months).ok()?,
            days: i32::try_from(sum.days).ok()?,
            micros: i64::try_from(sum.micros).ok()?,
        })
    }
}

/// What is spelt with a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unit {
    /// So many microseconds.
    Time(i64),
    Day,
    Week,
    Month,
    /// So many years.
    Year(i64),
}

/// A number as it stands: `-1.5`.
#[derive(Clone, Copy)]
struct Number {
    negative: bool,
    whole: i64,
    /// From 0 to 1, its sign left out; `None` if there is no point.
    fraction: Option<f64>,
}

#[derive(Default)]
struct Sum {
    years: i64,
    months: i64,
    days: i64,
    micros: i128,
    seen: Vec<Unit>,
    /// Whether there was a time, `04:05`. Postgres then loses fractions that follow; they are refused.
    timed: bool,
}

impl Sum {
    /// Adds so many of a unit, each unit at most once. Fractions of years become months; those of months and weeks days, and
    /// what is left of these time.
    fn add(&mut self, number: Number, unit: Unit) -> Option<()> {
        if self.timed && number.fraction.is_some() {
            return None;
        }
        self.occupy(&[unit])?;
        // A fraction of seconds stands for the smaller units, too.
        if unit == Unit::Time(1_000_000) && number.fraction.is_some() {
            self.occupy(&[Unit::Time(1000), Unit::Time(1)])?;
        }
        let sign: i32 = if number.negative { -1 } else { 1 };
        let (whole, fraction) =
            (i64::from(sign) * number.whole, f64::from(sign) * number.fraction.unwrap_or(0.0));
        match unit {
            Unit::Time(micros) => {
                self.micros += i128::from(whole) * i128::from(micros);
                self.add_micros(fraction, micros);
            }
            Unit::Day => {
                self.days = add(self.days, whole, 1)?;
                self.add_micros(fraction, super::DAY);
            }
            Unit::Week => {
                self.days = add(self.days, whole, 7)?;
                self.add_days(fraction, 7.0);
            }
            Unit::Month => {
                self.months = add(self.months, whole, 1)?;
                self.add_days(fraction, 30.0);
            }
            Unit::Year(years) => {
                self.years = add(self.years, whole, years)?;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_precision_loss,
                    reason = "at most 12000 months"
                )]
                let months = (fraction * 12.0 * years as f64).round_ties_even() as i64;
                self.months += months;
            }
        }
        Some(())
    }

    /// Notes units as given, none of which may have been.
    fn occupy(&mut self, units: &[Unit]) -> Option<()> {
        let free = units.iter().all(|unit| !self.seen.contains(unit));
        self.seen.extend(units);
        free.then_some(())
    }

    fn add_days(&mut self, fraction: f64, scale: f64) {
        let days = fraction * scale;
        #[expect(clippy::cast_possible_truncation, reason = "at most a month")]
        let whole = days.trunc() as i64;
        self.days += whole;
        self.add_micros(days - days.trunc(), super::DAY);
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "at most a day")]
    fn add_micros(&mut self, fraction: f64, scale: i64) {
        let micros = fraction * scale as f64;
        let rest = micros - micros.trunc();
        self.micros += i128::from(micros.trunc() as i64) + i128::from(rest > 0.5) - i128::from(rest < -0.5);
    }
}

fn add(sum: i64, whole: i64, scale: i64) -> Option<i64> {
    let sum = whole.checked_mul(scale)?.checked_add(sum)?;
    i32::try_from(sum).ok().map(i64::from)
}

/// Numbers with units, a time, a number of days before a time, one of seconds at the end; blanks between them.
fn verbose(mut cursor: Cursor<'_>) -> Option<Sum> {
    let mut sum = Sum::default();
    if cursor.is_empty() {
        return None;
    }
    while !cursor.is_empty() {
        item(&mut cursor, &mut sum)?;
        if !cursor.blanks() && !cursor.is_empty() {
            return None;
        }
        if cursor.peek().is_some_and(|b| b.is_ascii_alphabetic()) {
            if !cursor.letters().eq_ignore_ascii_case(b"ago") || !cursor.is_empty() {
                return None;
            }
            (sum.years, sum.months, sum.days, sum.micros) = (-sum.years, -sum.months, -sum.days, -sum.micros);
        }
    }
    Some(sum)
}

fn item(cursor: &mut Cursor<'_>, sum: &mut Sum) -> Option<()> {
    let number = signed(cursor, false)?;
    if cursor.peek() == Some(b':') {
        return sum.add_time(cursor, number);
    }
    if number.fraction.is_none() && cursor.byte(b'-') {
        let months = cursor.number(1, 2).filter(|months| *months < 12)?;
        sum.add(number, Unit::Year(1))?;
        return sum.add(Number { whole: months, ..number }, Unit::Month);
    }
    let apart = cursor.blanks();
    match cursor.letters() {
        b"" if cursor.is_empty() => sum.add(number, Unit::Time(1_000_000)),
        // Days, if a time follows; nothing else may.
        b"" if apart => {
            sum.add(number, Unit::Day)?;
            let hours = signed(cursor, false)?;
            sum.add_time(cursor, hours)
        }
        name => sum.add(number, unit(name)?),
    }
}

impl Sum {
    /// `:05` or `:05:06.7` after the hours.
    fn add_time(&mut self, cursor: &mut Cursor<'_>, hours: Number) -> Option<()> {
        if hours.fraction.is_some() || !cursor.byte(b':') {
            return None;
        }
        let minutes = cursor.number(1, 2)?;
        let (seconds, fraction) =
            if cursor.byte(b':') { (cursor.number(1, 2)?, cursor.fraction()?) } else { (0, 0) };
        if minutes > 59 || seconds > 59 {
            return None;
        }
        self.occupy(&[3_600_000_000, 60_000_000, 1_000_000, 1000, 1].map(Unit::Time))?;
        self.timed = true;
        let micros = (i128::from(hours.whole) * 3600 + i128::from(minutes * 60 + seconds)) * 1_000_000
            + i128::from(fraction);
        self.micros += if hours.negative { -micros } else { micros };
        Some(())
    }
}

/// After the `P` of ISO 8601: each unit at most once, in order.
fn designated(mut cursor: Cursor<'_>) -> Option<Sum> {
    let mut sum = Sum::default();
    let date = [(b'Y', Unit::Year(1)), (b'M', Unit::Month), (b'W', Unit::Week), (b'D', Unit::Day)];
    let time =
        [(b'H', Unit::Time(3_600_000_000)), (b'M', Unit::Time(60_000_000)), (b'S', Unit::Time(1_000_000))];
    for (units, leading) in [(&date[..], None), (&time[..], Some(b'T'))] {
        if leading.is_some_and(|t| !cursor.byte(t)) {
            continue;
        }
        let before = sum.seen.len();
        let mut units = units.iter();
        while cursor.peek().is_some_and(|b| b != b'T') {
            let plus = cursor.peek() == Some(b'+');
            let number = signed(&mut cursor, true).filter(|_| !plus)?;
            let (_, unit) = units.find(|(designator, _)| cursor.byte(*designator))?;
            sum.add(number, *unit)?;
        }
        if leading.is_some() && sum.seen.len() == before {
            return None;
        }
    }
    (cursor.is_empty() && !sum.seen.is_empty()).then_some(sum)
}

/// Digits with an optional sign and fraction. After a sign there has to be a digit. In ISO 8601 the fraction is what the
/// whole leaves of a float: so Postgres reads it there.
fn signed(cursor: &mut Cursor<'_>, iso: bool) -> Option<Number> {
    let negative = cursor.byte(b'-');
    let signed = negative || cursor.byte(b'+');
    let digits = cursor.digits();
    let mut fraction = None;
    if cursor.byte(b'.') {
        let fraction_digits = std::str::from_utf8(cursor.digits()).ok().filter(|d| !d.is_empty())?;
        let whole = if iso { std::str::from_utf8(digits).ok()? } else { "0" };
        let number: f64 = format!("{whole}.{fraction_digits}").parse().ok()?;
        fraction = Some(number - number.trunc());
    }
    let most = if iso { 9 } else { 18 };
    if digits.len() > most || (digits.is_empty() && (signed || fraction.is_none())) {
        return None;
    }
    let whole = std::str::from_utf8(digits).ok()?.parse().unwrap_or(0);
    Some(Number { negative, whole, fraction })
}

fn unit(name: &[u8]) -> Option<Unit> {
    const SECOND: i64 = 1_000_000;
    Some(match name.to_ascii_lowercase().as_slice() {
        b"us" | b"usec" | b"usecs" | b"usecond" | b"useconds" | b"microsecond" | b"microseconds" => {
            Unit::Time(1)
        }
        b"ms" | b"msec" | b"msecs" | b"msecond" | b"mseconds" | b"millisecond" | b"milliseconds" => {
            Unit::Time(1000)
        }
        b"s" | b"sec" | b"secs" | b"second" | b"seconds" => Unit::Time(SECOND),
        b"m" | b"min" | b"mins" | b"minute" | b"minutes" => Unit::Time(60 * SECOND),
        b"h" | b"hr" | b"hrs" | b"hour" | b"hours" => Unit::Time(3600 * SECOND),
        b"d" | b"day" | b"days" => Unit::Day,
        b"w" | b"week" | b"weeks" => Unit::Week,
        b"mon" | b"mons" | b"month" | b"months" => Unit::Month,
        b"y" | b"yr" | b"yrs" | b"year" | b"years" => Unit::Year(1),
        b"dec" | b"decs" | b"decade" | b"decades" => Unit::Year(10),
        b"c" | b"cent" | b"century" | b"centuries" => Unit::Year(100),
        b"mil" | b"mils" | b"millennium" | b"millennia" => Unit::Year(1000),
        _ => return None,
    })
}

/// As `interval_out` does, in the style `postgres`. After a negative part, a positive one has its sign written.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut empty, mut after_negative) = (true, false);
        for (value, unit) in [(self.months / 12, "year"), (self.months % 12, "mon"), (self.days, "day")] {
            if value == 0 {
                continue;
            }
            let blank = if empty { "" } else { " " };
            let plus = if after_negative && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            write!(f, "{blank}{plus}{value} {unit}{plural}")?;
            (empty, after_negative) = (false, value < 0);
        }
        if empty || self.micros != 0 {
            let blank = if empty { "" } else { " " };
            let sign = match (self.micros < 0, after_negative) {
                (true, _) => "-",
                (false, true) => "+",
                (false, false) => "",
            };
            let mut time = String::new();
            push_time(&mut time, self.micros.unsigned_abs());
            write!(f, "{blank}{sign}{time}")?;
        }
        Ok(())
    }
}

/// Values are the users' own and are not printed.
impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interval")
    }
}
