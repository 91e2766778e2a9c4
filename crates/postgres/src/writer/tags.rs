//! Tags in the forms Postgres knows: composites read in binary, sets written as array literals.

use std::{error::Error, fmt::Write};

use bytes::{BufMut, BytesMut};
use change::{ClientId, Origin, Tag, Tags};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// Milliseconds from the Unix epoch to 2000-01-01, from where Postgres counts.
const POSTGRES_EPOCH_MS: i64 = 946_684_800_000;

/// The last moment that a tag can have, in milliseconds since the Unix epoch: the end of JavaScript's time.
pub const LAST_MS: u64 = 8_640_000_000_000_000;

/// The stored form of a tag is not what it has to be.
#[derive(Debug, thiserror::Error)]
#[error("a stored tag can't be read")]
pub struct Unreadable;

type Boxed = Box<dyn Error + Sync + Send>;

/// A tag, bound as `electric.tag`.
#[derive(Debug)]
pub struct OwnTag<'a>(pub &'a Tag);

impl ToSql for OwnTag<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        let micros = self.0.ms.checked_sub(POSTGRES_EPOCH_MS).and_then(|ms| ms.checked_mul(1000));
        out.put_i32(2);
        out.put_u32(Type::TIMESTAMPTZ.oid());
        out.put_i32(8);
        out.put_i64(micros.ok_or("a moment beyond Postgres' range")?);
        out.put_u32(Type::VARCHAR.oid());
        match &self.0.origin {
            Origin::Postgres => out.put_i32(-1),
            Origin::Client(id) => {
                out.put_i32(i32::try_from(id.as_str().len())?);
                out.put_slice(id.as_str().as_bytes());
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        // A domain over a composite, known by its place in our own statements.
        true
    }

    to_sql_checked!();
}

/// A value of `electric.tag`.
#[derive(Debug)]
pub struct StoredTag(pub Tag);

impl<'a> FromSql<'a> for StoredTag {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<StoredTag, Boxed> {
        Ok(StoredTag(Wire(raw).tag()?))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A value of `electric.tag[]`.
#[derive(Debug)]
pub struct StoredTags(pub Tags);

impl<'a> FromSql<'a> for StoredTags {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<StoredTags, Boxed> {
        Ok(StoredTags(Wire(raw).tags()?))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The rest of a value in Postgres' binary format.
struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Unreadable> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Unreadable)?;
        self.0 = rest;
        Ok(head)
    }

    fn i32(&mut self) -> Result<i32, Unreadable> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into().map_err(|_| Unreadable)?))
    }

    /// A value that its length precedes; `None` for NULL.
    fn value(&mut self) -> Result<Option<&'a [u8]>, Unreadable> {
        match self.i32()? {
            -1 => Ok(None),
            len => self.take(usize::try_from(len).map_err(|_| Unreadable)?).map(Some),
        }
    }

    /// A composite of a moment and a source.
    fn tag(mut self) -> Result<Tag, Unreadable> {
        if self.i32()? != 2 {
            return Err(Unreadable);
        }
        self.i32()?;
        let moment = self.value()?.and_then(|raw| raw.try_into().ok()).ok_or(Unreadable)?;
        self.i32()?;
        let origin = match self.value()? {
            None => Origin::Postgres,
            Some(raw) => {
                let id = std::str::from_utf8(raw).map_err(|_| Unreadable)?;
                Origin::Client(ClientId::new(id).map_err(|_| Unreadable)?)
            }
        };
        let ms = i64::from_be_bytes(moment).div_euclid(1000).saturating_add(POSTGRES_EPOCH_MS);
        Ok(Tag { ms, origin })
    }

    /// An array of them; NULLs are left out.
    fn tags(mut self) -> Result<Tags, Unreadable> {
        let dimensions = self.i32()?;
        self.take(8)?;
        let count = match dimensions {
            0 => 0,
            1 => self.i32()?,
            _ => return Err(Unreadable),
        };
        if dimensions == 1 {
            self.i32()?;
        }
        let mut tags = Tags::new();
        for _ in 0..count {
            if let Some(raw) = self.value()? {
                tags.insert(Wire(raw).tag()?);
            }
        }
        Ok(tags)
    }
}

/// A set of tags as a literal of `electric.tag[]`.
pub fn literal(tags: &Tags) -> String {
    let mut text = String::with_capacity(2 + tags.len() * 80);
    text.push('{');
    for (n, tag) in tags.iter().enumerate() {
        if n > 0 {
            text.push(',');
        }
        text.push_str("\"(\\\"");
        write_moment(tag.ms, &mut text);
        text.push_str("\\\",");
        if let Origin::Client(id) = &tag.origin {
            text.push_str("\\\"");
            for c in id.as_str().chars() {
                // Once for the composite within quotes, and each of those for the array's element.
                match c {
                    '"' => text.push_str("\\\"\\\""),
                    '\\' => text.push_str("\\\\\\\\"),
                    c => text.push(c),
                }
            }
            text.push_str("\\\"");
        }
        text.push_str(")\"");
    }
    text.push('}');
    text
}

/// Appends the moment as `YYYY-MM-DD hh:mm:ss.mmm+00`, by the proleptic Gregorian calendar.
fn write_moment(ms: i64, out: &mut String) {
    let (days, rest) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Days are counted from 0000-03-01, so that a leap day is the last of its year; 146,097 days are 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    let millis = rest % 1000;
    // Writing to a string can't fail.
    let _ = write!(out, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millis:03}+00");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moment(ms: i64) -> String {
        let mut text = String::new();
        write_moment(ms, &mut text);
        text
    }

    #[test]
    fn moments_as_postgres_reads_them() {
        assert_eq!(moment(0), "1970-01-01 00:00:00.000+00");
        assert_eq!(moment(-1), "1969-12-31 23:59:59.999+00");
        assert_eq!(moment(1_686_009_600_123), "2023-06-06 00:00:00.123+00");
        assert_eq!(moment(951_782_400_000), "2000-02-29 00:00:00.000+00");
        assert_eq!(moment(LAST_MS as i64), "275760-09-13 00:00:00.000+00");
    }

    #[test]
    fn a_set_as_a_literal() {
        let client = |id: &str| ClientId::new(id).unwrap();
        let tags: Tags = [Tag::EPOCH, Tag::client(&client("a\"\\"), 1)].into_iter().collect();
        assert_eq!(
            literal(&tags),
            r#"{"(\"1970-01-01 00:00:00.000+00\",)","(\"1970-01-01 00:00:00.001+00\",\"a\"\"\\\\\")"}"#
        );
        assert_eq!(literal(&Tags::new()), "{}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(raw: Vec<u8>) {
            let _ = Wire(&raw).tag();
            let _ = Wire(&raw).tags();
        }
    }
}
