//! `interval`.

use std::cmp::Ordering;

use super::DAY;
use crate::clause::function::Raised;

/// Months, days and microseconds, each with a sign of its own. Of the same length when a month has 30 days and a day 24
/// hours, two are equal to Postgres; `==` tells them apart, and they are next to each other in order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interval {
    pub(super) months: i32,
    pub(super) days: i32,
    pub(super) micros: i64,
}

impl Interval {
    /// Its length in microseconds, as intervals are compared.
    fn length(self) -> i128 {
        i128::from(self.micros) + (i128::from(self.months) * 30 + i128::from(self.days)) * i128::from(DAY)
    }

    /// Postgres' order.
    pub(in crate::clause) fn order(self, other: Interval) -> Ordering {
        self.length().cmp(&other.length())
    }

    pub(super) fn negated(self) -> Result<Interval, Raised> {
        let negated = || {
            Some(Interval {
                months: self.months.checked_neg()?,
                days: self.days.checked_neg()?,
                micros: self.micros.checked_neg()?,
            })
        };
        negated().ok_or(Raised)
    }

    pub(super) fn plus(self, other: Interval) -> Result<Interval, Raised> {
        let sum = || {
            Some(Interval {
                months: self.months.checked_add(other.months)?,
                days: self.days.checked_add(other.days)?,
                micros: self.micros.checked_add(other.micros)?,
            })
        };
        sum().ok_or(Raised)
    }

    pub(super) fn minus(self, other: Interval) -> Result<Interval, Raised> {
        let difference = || {
            Some(Interval {
                months: self.months.checked_sub(other.months)?,
                days: self.days.checked_sub(other.days)?,
                micros: self.micros.checked_sub(other.micros)?,
            })
        };
        difference().ok_or(Raised)
    }

    /// As `interval_mul` does: fractions of months become days, and those of days become time, never the other way.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "as Postgres computes it; bounds are checked"
    )]
    pub(super) fn times(self, factor: f64) -> Result<Interval, Raised> {
        let round = |seconds: f64| (seconds * 1e6).round_ties_even() / 1e6;
        let whole = |part: i32| {
            let product = f64::from(part) * factor;
            if (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&product) {
                Ok(product as i32)
            } else {
                Err(Raised)
            }
        };
        let (months, mut days) = (whole(self.months)?, whole(self.days)?);
        let month_rest = round((f64::from(self.months) * factor - f64::from(months)) * 30.0);
        let day_rest = f64::from(self.days) * factor - f64::from(days) + month_rest - month_rest.trunc();
        let mut seconds = round(day_rest * 86_400.0);
        if seconds.abs() >= 86_400.0 {
            let more = (seconds / 86_400.0).trunc();
            days = days.checked_add(more as i32).ok_or(Raised)?;
            seconds -= more * 86_400.0;
        }
        let days = days.checked_add(month_rest as i32).ok_or(Raised)?;
        let micros = (self.micros as f64 * factor + seconds * 1e6).round_ties_even();
        if !(-(2_f64.powi(63))..2_f64.powi(63)).contains(&micros) {
            return Err(Raised);
        }
        Ok(Interval { months, days, micros: micros as i64 })
    }

    /// `justify_days`: thirty days are a month.
    pub(super) fn justify_days(mut self) -> Result<Interval, Raised> {
        self.days_to_months()?;
        if self.months > 0 && self.days < 0 {
            (self.days, self.months) = (self.days + 30, self.months - 1);
        } else if self.months < 0 && self.days > 0 {
            (self.days, self.months) = (self.days - 30, self.months + 1);
        }
        Ok(self)
    }

    /// `justify_hours`: 24 hours are a day.
    pub(super) fn justify_hours(mut self) -> Result<Interval, Raised> {
        self.time_to_days()?;
        self.align_time();
        Ok(self)
    }

    /// `justify_interval`: both, and all parts of one sign.
    pub(super) fn justify(mut self) -> Result<Interval, Raised> {
        if (self.days > 0 && self.micros > 0) || (self.days < 0 && self.micros < 0) {
            self.days_to_months()?;
        }
        self.time_to_days()?;
        self.days_to_months()?;
        if self.months > 0 && (self.days < 0 || (self.days == 0 && self.micros < 0)) {
            (self.days, self.months) = (self.days + 30, self.months - 1);
        } else if self.months < 0 && (self.days > 0 || (self.days == 0 && self.micros > 0)) {
            (self.days, self.months) = (self.days - 30, self.months + 1);
        }
        self.align_time();
        Ok(self)
    }

    fn days_to_months(&mut self) -> Result<(), Raised> {
        self.months = self.months.checked_add(self.days / 30).ok_or(Raised)?;
        self.days %= 30;
        Ok(())
    }

    fn time_to_days(&mut self) -> Result<(), Raised> {
        let days = i32::try_from(self.micros / DAY).map_err(|_| Raised)?;
        self.days = self.days.checked_add(days).ok_or(Raised)?;
        self.micros %= DAY;
        Ok(())
    }

    fn align_time(&mut self) {
        if self.days > 0 && self.micros < 0 {
            (self.micros, self.days) = (self.micros + DAY, self.days - 1);
        } else if self.days < 0 && self.micros > 0 {
            (self.micros, self.days) = (self.micros - DAY, self.days + 1);
        }
    }
}

impl Ord for Interval {
    fn cmp(&self, other: &Interval) -> Ordering {
        let parts = |i: &Interval| (i.months, i.days, i.micros);
        self.order(*other).then_with(|| parts(self).cmp(&parts(other)))
    }
}

impl PartialOrd for Interval {
    fn partial_cmp(&self, other: &Interval) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
