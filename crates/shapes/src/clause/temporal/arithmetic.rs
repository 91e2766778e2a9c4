//! The operators and functions of dates and times.

use super::{DAY, INFINITE, INFINITE_DAYS, Interval, calendar, zone};
use crate::clause::{Value, function::Raised, value::View};

type Result<T, E = Raised> = std::result::Result<T, E>;

fn swapped<'a>(arguments: &[View<'a>]) -> Result<[View<'a>; 2]> {
    let [a, b] = *arguments else { return Err(Raised) };
    Ok([b, a])
}

/// `date + int`
pub(in crate::clause) fn date_plus_days(arguments: &[View<'_>]) -> Result<Value> {
    let [View::Date(date), View::Int(days)] = *arguments else { return Err(Raised) };
    shift_date(date, Some(days))
}

/// `int + date`
pub(in crate::clause) fn days_plus_date(arguments: &[View<'_>]) -> Result<Value> {
    date_plus_days(&swapped(arguments)?)
}

/// `date - int`
pub(in crate::clause) fn date_minus_days(arguments: &[View<'_>]) -> Result<Value> {
    let [View::Date(date), View::Int(days)] = *arguments else { return Err(Raised) };
    shift_date(date, days.checked_neg())
}

fn shift_date(date: i32, days: Option<i64>) -> Result<Value> {
    if INFINITE_DAYS.contains(&date) {
        return Ok(Value::Date(date));
    }
    let shifted = days.and_then(|days| days.checked_add(date.into())).and_then(calendar::date);
    shifted.map(Value::Date).ok_or(Raised)
}

/// `date - date`
pub(in crate::clause) fn date_minus_date(arguments: &[View<'_>]) -> Result<Value> {
    let [View::Date(a), View::Date(b)] = *arguments else { return Err(Raised) };
    if INFINITE_DAYS.contains(&a) || INFINITE_DAYS.contains(&b) {
        return Err(Raised);
    }
    Ok(Value::Int(i64::from(a) - i64::from(b)))
}

/// `date + time`
pub(in crate::clause) fn date_plus_time(arguments: &[View<'_>]) -> Result<Value> {
    let [View::Date(date), View::Time(time)] = *arguments else { return Err(Raised) };
    let midnight = calendar::midnight(date).ok_or(Raised)?;
    if INFINITE.contains(&midnight) {
        return Ok(Value::Timestamp(midnight));
    }
    calendar::timestamp(date.into(), time).map(Value::Timestamp).ok_or(Raised)
}

/// `time + date`
pub(in crate::clause) fn time_plus_date(arguments: &[View<'_>]) -> Result<Value> {
    date_plus_time(&swapped(arguments)?)
}

/// `date + interval`, and the same of timestamps and times
pub(in crate::clause) fn plus_interval(arguments: &[View<'_>]) -> Result<Value> {
    let [time, View::Interval(interval)] = *arguments else { return Err(Raised) };
    shift(time, interval)
}

/// `interval + date`, and so on
pub(in crate::clause) fn interval_plus(arguments: &[View<'_>]) -> Result<Value> {
    plus_interval(&swapped(arguments)?)
}

/// `date - interval`, and so on
pub(in crate::clause) fn minus_interval(arguments: &[View<'_>]) -> Result<Value> {
    let [time, View::Interval(interval)] = *arguments else { return Err(Raised) };
    shift(time, interval.negated()?)
}

fn shift(time: View<'_>, interval: Interval) -> Result<Value> {
    let timestamp = match time {
        View::Time(time) => return Ok(Value::Time(time.wrapping_add(interval.micros).rem_euclid(DAY))),
        View::Timestamp(timestamp) => timestamp,
        View::Date(date) => calendar::midnight(date).ok_or(Raised)?,
        _ => return Err(Raised),
    };
    if INFINITE.contains(&timestamp) {
        return Ok(Value::Timestamp(timestamp));
    }
    // Months first, then days, then the time; each step has to stay within bounds.
    let (mut days, time) = (timestamp.div_euclid(DAY), timestamp.rem_euclid(DAY));
    days = calendar::Civil::from_days(days).plus_months(interval.months.into()).to_days();
    calendar::timestamp(days, time).ok_or(Raised)?;
    days += i64::from(interval.days);
    calendar::timestamp(days, time).ok_or(Raised)?;
    let micros = time.checked_add(interval.micros).ok_or(Raised)?;
    calendar::timestamp(days, micros).map(Value::Timestamp).ok_or(Raised)
}

/// `timestamp - timestamp`, in days and time; `time - time`. Out of range it raises, as in newer versions of Postgres.
pub(in crate::clause) fn difference(arguments: &[View<'_>]) -> Result<Value> {
    let interval = |micros| Interval { months: 0, days: 0, micros };
    match *arguments {
        [View::Time(a), View::Time(b)] => Ok(Value::Interval(interval(a - b))),
        [View::Timestamp(a), View::Timestamp(b)] if !INFINITE.contains(&a) && !INFINITE.contains(&b) => {
            interval(a.checked_sub(b).ok_or(Raised)?).justify_hours().map(Value::Interval)
        }
        _ => Err(Raised),
    }
}

/// `interval + interval`
pub(in crate::clause) fn interval_plus_interval(arguments: &[View<'_>]) -> Result<Value> {
    let [View::Interval(a), View::Interval(b)] = *arguments else { return Err(Raised) };
    a.plus(b).map(Value::Interval)
}

/// `interval - interval`
pub(in crate::clause) fn interval_minus_interval(arguments: &[View<'_>]) -> Result<Value> {
    let [View::Interval(a), View::Interval(b)] = *arguments else { return Err(Raised) };
    a.minus(b).map(Value::Interval)
}

/// `interval * float8`
pub(in crate::clause) fn interval_times(arguments: &[View<'_>]) -> Result<Value> {
    let [View::Interval(interval), View::Float(factor)] = *arguments else { return Err(Raised) };
    interval.times(factor.0).map(Value::Interval)
}

/// `float8 * interval`
pub(in crate::clause) fn times_interval(arguments: &[View<'_>]) -> Result<Value> {
    interval_times(&swapped(arguments)?)
}

fn justified(arguments: &[View<'_>], f: fn(Interval) -> Result<Interval>) -> Result<Value> {
    let [View::Interval(interval)] = *arguments else { return Err(Raised) };
    f(interval).map(Value::Interval)
}

/// `justify_days`
pub(in crate::clause) fn justify_days(arguments: &[View<'_>]) -> Result<Value> {
    justified(arguments, Interval::justify_days)
}

/// `justify_hours`
pub(in crate::clause) fn justify_hours(arguments: &[View<'_>]) -> Result<Value> {
    justified(arguments, Interval::justify_hours)
}

/// `justify_interval`
pub(in crate::clause) fn justify_interval(arguments: &[View<'_>]) -> Result<Value> {
    justified(arguments, Interval::justify)
}

/// `timezone(text, timestamp)`
pub(in crate::clause) fn local_to_instant(arguments: &[View<'_>]) -> Result<Value> {
    let [View::Text(zone), View::Timestamp(local)] = *arguments else { return Err(Raised) };
    zone::to_instant(zone, local).map(Value::Timestamp)
}

/// `timezone(text, timestamptz)`
pub(in crate::clause) fn instant_to_local(arguments: &[View<'_>]) -> Result<Value> {
    let [View::Text(zone), View::Timestamp(instant)] = *arguments else { return Err(Raised) };
    zone::to_local(zone, instant).map(Value::Timestamp)
}

/// `timezone(text, date)`, of the date's midnight in UTC
pub(in crate::clause) fn date_to_local(arguments: &[View<'_>]) -> Result<Value> {
    let [View::Text(zone), View::Date(date)] = *arguments else { return Err(Raised) };
    zone::to_local(zone, calendar::midnight(date).ok_or(Raised)?).map(Value::Timestamp)
}

/// `date::timestamp`
pub(in crate::clause) fn date_to_timestamp(arguments: &[View<'_>]) -> Result<Value> {
    let [View::Date(date)] = *arguments else { return Err(Raised) };
    calendar::midnight(date).map(Value::Timestamp).ok_or(Raised)
}

/// `time::interval`
pub(in crate::clause) fn time_to_interval(arguments: &[View<'_>]) -> Result<Value> {
    let [View::Time(micros)] = *arguments else { return Err(Raised) };
    Ok(Value::Interval(Interval { months: 0, days: 0, micros }))
}
