//! `LIKE 'prefix%'` as a range.

use super::bounds::{High, Low};
use crate::clause::Value;

/// The texts that begin as a pattern of LIKE does before its first wildcard; `None` if it begins with one.
pub(super) fn prefix_range(pattern: &Value) -> Option<(Low, High)> {
    let Value::Text(pattern) = pattern else { return None };
    let mut prefix = String::new();
    let mut rest = pattern.chars();
    loop {
        prefix.push(match rest.next() {
            Some('%' | '_') | None => break,
            Some('\\') => match rest.next() {
                Some(literal) => literal,
                None => break,
            },
            Some(literal) => literal,
        });
    }
    if prefix.is_empty() {
        return None;
    }
    let high = successor(&prefix).map_or(High::Infinite, |end| High::At(Value::Text(end.into()), false));
    Some((Low::At(Value::Text(prefix.into()), false), high))
}

/// The least text above all that begin with this one. Bytewise, texts lie as their characters do.
fn successor(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // Between the two lie no characters.
        let next = if last == '\u{D7FF}' { Some('\u{E000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    proptest! {
        #[test]
        fn holds_exactly_what_begins_so(
            prefix in "[a-c\u{D7FF}\u{10FFFF}]{1,3}",
            other in "[a-c\u{D7FF}\u{E000}\u{10FFFF}]{0,5}",
        ) {
            let (low, high) = prefix_range(&text(&format!("{prefix}%"))).unwrap();
            let value = text(&other);
            prop_assert_eq!(low.admits(&value) && high.admits(&value), other.starts_with(&prefix));
        }
    }

    #[test]
    fn ends_at_the_first_wildcard() {
        for (pattern, prefix) in
            [("ab_c%", "ab"), (r"a\%b%", "a%b"), (r"a\\", r"a\"), ("ab", "ab"), (r"ab\", "ab")]
        {
            let (low, _) = prefix_range(&text(pattern)).unwrap();
            assert!(low == Low::At(text(prefix), false), "{pattern}");
        }
        assert!(prefix_range(&text("%a")).is_none());
        assert!(prefix_range(&text("")).is_none());
    }
}
