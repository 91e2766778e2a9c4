//! stub
pub(super) mod arithmetic;
use std::{cmp::Ordering, fmt};
/// stub
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Interval(i64);
impl Interval {
    pub(super) fn parse(text: &str) -> Option<Interval> { text.parse().ok().map(Interval) }
    pub(super) fn order(self, other: Interval) -> Ordering { self.cmp(&other) }
}
impl fmt::Display for Interval { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{}", self.0) } }
pub(super) fn parse_date(_: &str) -> Option<i32> { None }
pub(super) fn parse_time(_: &str) -> Option<i64> { None }
pub(super) fn parse_timestamp(_: &str) -> Option<i64> { None }
pub(super) fn parse_timestamptz(_: &str) -> Option<i64> { None }
pub(super) fn print_date(_: i32) -> String { String::new() }
pub(super) fn print_time(_: i64) -> String { String::new() }
pub(super) fn print_timestamp(_: i64, _: bool) -> String { String::new() }
pub(super) fn order_date_timestamp(_: i32, _: i64) -> Ordering { Ordering::Equal }
