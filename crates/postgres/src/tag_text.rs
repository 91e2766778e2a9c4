//! Tags as Postgres prints them: the composite `electric.tag` is `("2023-06-06 00:00:00+00",<client id>)`, with nothing
//! after the comma for Postgres' own, and `electric.tag[]` an array of those (spec 05 §1.1).

use std::borrow::Cow;

use change::{ClientId, Origin, Tag, Tags};

/// The text is no tag, or no array of tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the text of tags as Postgres prints them")]
pub struct MalformedTagText;

/// Reads an `electric.tag[]`.
///
/// # Errors
/// [`MalformedTagText`].
pub fn parse_tags(text: &[u8]) -> Result<Tags, MalformedTagText> {
    if let Some(tag) = single_native(text) {
        return Ok(Tags::from_iter([tag]));
    }
    let mut rest = text.strip_prefix(b"{").ok_or(MalformedTagText)?;
    let mut tags = Tags::new();
    if rest == b"}" {
        return Ok(tags);
    }
    loop {
        let (element, tail) = array_element(rest)?;
        tags.insert(parse_tag(&element)?);
        match tail {
            b"}" => return Ok(tags),
            _ => rest = tail.strip_prefix(b",").ok_or(MalformedTagText)?,
        }
    }
}

/// By far the most common array: one tag of Postgres' own, `{"(\"2023-06-06 00:00:00+00\",)"}`.
fn single_native(text: &[u8]) -> Option<Tag> {
    let timestamp = text.strip_prefix(br#"{"(\""#)?.strip_suffix(br#"\",)"}"#)?;
    timestamp_ms(timestamp).map(Tag::postgres)
}

/// Reads an `electric.tag`.
///
/// # Errors
/// [`MalformedTagText`].
pub fn parse_tag(text: &[u8]) -> Result<Tag, MalformedTagText> {
    let fields = text.strip_prefix(b"(").and_then(|text| text.strip_suffix(b")")).ok_or(MalformedTagText)?;
    let (timestamp, rest) = composite_field(fields)?;
    let ms = timestamp_ms(&timestamp).ok_or(MalformedTagText)?;
    let source = rest.strip_prefix(b",").ok_or(MalformedTagText)?;
    let origin = if source.is_empty() {
        Origin::Postgres
    } else {
        let (source, rest) = composite_field(source)?;
        let id = std::str::from_utf8(&source).ok().filter(|_| rest.is_empty());
        Origin::Client(id.and_then(|id| ClientId::new(id).ok()).ok_or(MalformedTagText)?)
    };
    Ok(Tag { ms, origin })
}

/// The first element of an array's inside, and what follows it.
fn array_element(text: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), MalformedTagText> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| matches!(byte, b',' | b'}')).ok_or(MalformedTagText)?;
        let (element, rest) = text.split_at(end);
        return Ok((Cow::Borrowed(element), rest));
    };
    let mut element = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Ok((Cow::Owned(element), quoted.get(at + 1..).unwrap_or_default())),
            b'\\' => element.push(*bytes.next().ok_or(MalformedTagText)?.1),
            other => element.push(*other),
        }
    }
    Err(MalformedTagText)
}

/// The first field of a composite's inside, and what follows it. Quotes and backslashes inside quotes are doubled.
fn composite_field(text: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), MalformedTagText> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| *byte == b',').unwrap_or(text.len());
        let (field, rest) = text.split_at(end);
        return Ok((Cow::Borrowed(field), rest));
    };
    let plain = quoted.iter().position(|byte| matches!(byte, b'"' | b'\\')).ok_or(MalformedTagText)?;
    let (field, rest) = quoted.split_at(plain);
    if rest.first() == Some(&b'"') && rest.get(1) != Some(&b'"') {
        return Ok((Cow::Borrowed(field), rest.get(1..).unwrap_or_default()));
    }
    let mut field = field.to_vec();
    let mut rest = rest;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        let doubled = rest.first() == Some(byte);
        match byte {
            b'"' if !doubled => return Ok((Cow::Owned(field), rest)),
            b'"' | b'\\' if doubled => rest = rest.get(1..).unwrap_or_default(),
            b'\\' => return Err(MalformedTagText),
            _ => {}
        }
        field.push(*byte);
    }
    Err(MalformedTagText)
}

/// Milliseconds since the Unix epoch of a `timestamptz` printed in ISO style with time zone UTC; finer digits are cut off.
/// `None` for anything else, the infinities included.
#[must_use]
pub fn timestamp_ms(text: &[u8]) -> Option<i64> {
    let (text, before_christ) = match text.strip_suffix(b" BC") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let text = text.strip_suffix(b"+00")?;
    let year_end = text.iter().position(|byte| *byte == b'-')?;
    let (year, rest) = text.split_at(year_end);
    if !(4..=6).contains(&year.len()) {
        return None;
    }
    let [b'-', m1, m2, b'-', d1, d2, b' ', h1, h2, b':', i1, i2, b':', s1, s2, fraction @ ..] = rest else {
        return None;
    };
    let year = number(year)?;
    let (month, day) = (number(&[*m1, *m2])?, number(&[*d1, *d2])?);
    let (hour, minute, second) = (number(&[*h1, *h2])?, number(&[*i1, *i2])?, number(&[*s1, *s2])?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    let millis = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=6).contains(&digits.len()) => {
            let mut padded = [b'0'; 6];
            padded[..digits.len()].copy_from_slice(digits);
            number(&padded)? / 1000
        }
        _ => return None,
    };
    let days = days_since_epoch(if before_christ { 1 - year } else { year }, month, day);
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |n, byte| byte.is_ascii_digit().then(|| n * 10 + i64::from(byte - b'0')))
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar. Years begin in March here, so that the leap day is
/// the last of its year.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tags(text: &str) -> String {
        let tags = parse_tags(text.as_bytes()).unwrap_or_else(|_| panic!("{text}"));
        tags.iter().map(Tag::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn reads_arrays_of_tags() {
        assert_eq!(tags("{}"), "");
        assert_eq!(tags(r#"{"(\"2023-06-06 00:00:00+00\",)"}"#), "postgres_1@1686009600000");
        assert_eq!(tags(r#"{"(\"1970-01-01 00:00:00+00\",)"}"#), "postgres_1@0");
        assert_eq!(
            tags(r#"{"(\"2023-06-06 00:00:00.25+00\",)","(\"2023-06-06 00:00:00.001+00\",fcb57d30-95ce)"}"#),
            "fcb57d30-95ce@1686009600001 postgres_1@1686009600250"
        );
        assert_eq!(
            tags(r#"{"(\"1969-12-31 23:59:59.999+00\",\"a \"\"b\"\" (c,d) \\\\ e\")"}"#),
            r#"a "b" (c,d) \ e@-1"#
        );
        for bad in
            ["", "{", "{}x", "{x}", "{NULL}", r#"{"(infinity,)"}"#, r#"{"(\"2023-06-06 00:00:00+01\",)"}"#]
        {
            assert_eq!(parse_tags(bad.as_bytes()), Err(MalformedTagText), "{bad}");
        }
    }

    #[test]
    fn knows_the_calendar() {
        for (text, ms) in [
            ("2000-01-01 00:00:00+00", 946_684_800_000),
            ("2000-02-29 12:34:56.789123+00", 951_827_696_789),
            ("1900-03-01 00:00:00+00", -2_203_891_200_000),
            ("0001-01-01 00:00:00+00 BC", -62_167_219_200_000),
            ("294276-12-31 23:59:59.999+00", 9_224_318_015_999_999),
        ] {
            assert_eq!(timestamp_ms(text.as_bytes()), Some(ms), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_tags_or_not(text in r#"[{}"\\(),a0\-: +]{0,40}"#) {
            let _ = parse_tags(text.as_bytes());
            let _ = parse_tag(text.as_bytes());
            let _ = timestamp_ms(text.as_bytes());
        }
    }
}
