//! LIKE: `%` is any run of characters, `_` any one, `\` takes what is special from the next.
//!
//! What stands between two `%` is looked for from left to right, each time with an algorithm whose time is linear in the
//! text (with `_` in it: times its own length by 64), so that no pattern makes a row expensive.

use std::collections::HashMap;

/// Whether a text matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Yes,
    No,
    /// The pattern ends in the midst of an escape, and the text went as far as that; or it costs too much.
    Raises,
}

impl From<bool> for Match {
    fn from(found: bool) -> Match {
        if found { Match::Yes } else { Match::No }
    }
}

/// Whether the text matches the pattern, as `text ~~ text` decides.
pub(super) fn matches(text: &str, pattern: &str) -> Match {
    if let Some(pattern) = before_dangling_escape(pattern) {
        return matches_dangling(text, pattern);
    }
    let Some((first, mut pattern)) = split_at_percent(pattern) else {
        return (after_prefix(text, pattern) == Some("")).into();
    };
    let Some(mut rest) = after_prefix(text, first) else { return Match::No };
    while let Some((middle, further)) = split_at_percent(pattern) {
        if is_costly(middle) {
            return Match::Raises;
        }
        let Some(after) = after_first(rest, middle) else { return Match::No };
        (rest, pattern) = (after, further);
    }
    ends_with(rest, pattern).into()
}

/// Whether the pattern ends in the midst of an escape.
pub(super) fn is_dangling(pattern: &str) -> bool {
    before_dangling_escape(pattern).is_some()
}

fn before_dangling_escape(pattern: &str) -> Option<&str> {
    let before = pattern.strip_suffix('\\')?;
    // Of an even number of backslashes, the last is escaped itself.
    let even = before.bytes().rev().take_while(|&b| b == b'\\').count() % 2 == 0;
    even.then_some(before)
}

/// Matches a pattern whose last escape lacks its character. Postgres raises when it gets there with some text left, and does
/// not match otherwise.
fn matches_dangling(text: &str, pattern: &str) -> Match {
    let mut rest = text;
    let mut pattern = pattern;
    let mut anchored = true;
    loop {
        // Right before the escape, Postgres skips `%` and `_` together, and looks no more at what is left of the text.
        if !anchored && pattern.bytes().all(|b| matches!(b, b'%' | b'_')) {
            let wanted = pattern.bytes().filter(|&b| b == b'_').count();
            return if rest.chars().count() >= wanted { Match::Raises } else { Match::No };
        }
        let (segment, further) = split_at_percent(pattern).map_or((pattern, None), |(s, f)| (s, Some(f)));
        if !anchored && is_costly(segment) {
            return Match::Raises;
        }
        let after = if anchored { after_prefix(rest, segment) } else { after_first(rest, segment) };
        rest = match after {
            None | Some("") => return Match::No,
            Some(after) => after,
        };
        let Some(further) = further else { return Match::Raises };
        (pattern, anchored) = (further, false);
    }
}

/// What stands before and after the first `%` that is not escaped.
fn split_at_percent(pattern: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    let at = pattern.bytes().position(|b| {
        let found = b == b'%' && !escaped;
        escaped = b == b'\\' && !escaped;
        found
    })?;
    Some((&pattern[..at], &pattern[at + 1..]))
}

/// Whether looking for the segment would cost too much for its length: at so many bytes with a `_` among them.
fn is_costly(segment: &str) -> bool {
    segment.len() > COSTLY && wanted(segment).any(|wanted| wanted.is_none())
}

const COSTLY: usize = 1024;

fn is_plain(segment: &str) -> bool {
    !segment.bytes().any(|b| matches!(b, b'\\' | b'_'))
}

/// The characters that a part of a pattern without `%` wants; `None` is any.
fn wanted(segment: &str) -> impl Iterator<Item = Option<char>> + Clone + '_ {
    let mut chars = segment.chars();
    std::iter::from_fn(move || match chars.next()? {
        '\\' => chars.next().map(Some),
        '_' => Some(None),
        c => Some(Some(c)),
    })
}

/// What follows the segment at the beginning of a text.
fn after_prefix<'t>(text: &'t str, segment: &str) -> Option<&'t str> {
    if is_plain(segment) {
        return text.strip_prefix(segment);
    }
    let mut rest = text.chars();
    for wanted in wanted(segment) {
        let c = rest.next()?;
        if wanted.is_some_and(|wanted| wanted != c) {
            return None;
        }
    }
    Some(rest.as_str())
}

fn ends_with(text: &str, segment: &str) -> bool {
    if is_plain(segment) {
        return text.ends_with(segment);
    }
    let count = wanted(segment).count();
    let start = match count.checked_sub(1) {
        None => return true,
        Some(last) => text.char_indices().rev().nth(last),
    };
    start.is_some_and(|(start, _)| after_prefix(&text[start..], segment) == Some(""))
}

/// What follows the segment where it first occurs in a text.
fn after_first<'t>(text: &'t str, segment: &str) -> Option<&'t str> {
    if is_plain(segment) {
        return text.find(segment).map(|at| &text[at + segment.len()..]);
    }
    if wanted(segment).all(|wanted| wanted.is_some()) {
        let literal: String = wanted(segment).flatten().collect();
        return text.find(&literal).map(|at| &text[at + literal.len()..]);
    }
    ShiftAnd::new(segment).end_of_first(text).map(|end| &text[end..])
}

/// The bit-parallel search of Baeza-Yates and Gonnet: a bit for each place of the segment, set while the characters up to
/// there are those just read.
struct ShiftAnd {
    /// Bits of the places that want a character, those that want any included.
    of: HashMap<char, Vec<u64>>,
    /// Bits of the places that want any.
    of_any: Vec<u64>,
    length: usize,
}

impl ShiftAnd {
    fn new(segment: &str) -> ShiftAnd {
        let length = wanted(segment).count();
        let set = |bits: &mut Vec<u64>, place: usize| bits[place / 64] |= 1 << (place % 64);
        let mut of_any = vec![0; length.div_ceil(64)];
        for (place, _) in wanted(segment).enumerate().filter(|(_, wanted)| wanted.is_none()) {
            set(&mut of_any, place);
        }
        let mut of = HashMap::new();
        for (place, c) in wanted(segment).enumerate() {
            if let Some(c) = c {
                set(of.entry(c).or_insert_with(|| of_any.clone()), place);
            }
        }
        ShiftAnd { of, of_any, length }
    }

    /// Where the first occurrence ends.
    fn end_of_first(&self, text: &str) -> Option<usize> {
        let mut state = vec![0_u64; self.of_any.len()];
        let last = self.length.checked_sub(1)?;
        for (at, c) in text.char_indices() {
            let wanting = self.of.get(&c).unwrap_or(&self.of_any);
            let mut carry = 1;
            for (state, wanting) in state.iter_mut().zip(wanting) {
                (*state, carry) = (((*state << 1) | carry) & wanting, *state >> 63);
            }
            if state[last / 64] >> (last % 64) & 1 == 1 {
                return Some(at + c.len_utf8());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Match, matches};

    #[test]
    fn wildcards() {
        for (text, pattern, wanted) in [
            ("", "", true),
            ("", "%", true),
            ("a", "", false),
            ("a", "_", true),
            ("ä", "_", true),
            ("a\nb", "a%", true),
            ("a\nb", "a_b", true),
            ("abc", "a%c", true),
            ("abcb", "a%c", false),
            ("aab", "%ab", true),
            ("ab", "ab%ab", false),
            ("abab", "ab%ab", true),
            ("xayxazb", "%a_b", true),
            ("xaybxaz", "%a_b%", true),
            ("a_bc", r"a\_b%", true),
            ("axbc", r"a\_b%", false),
            ("100%", r"%\%", true),
            ("100", r"%\%", false),
            (r"a\b", r"a\\b", true),
            (r"a\b", r"%\\_", true),
            ("abc", "%_%_%_%", true),
            ("ab", "%_%_%_%", false),
        ] {
            assert_eq!(matches(text, pattern), wanted.into(), "{text:?} LIKE {pattern:?}");
        }
    }

    #[test]
    fn an_escape_of_nothing_raises_where_the_text_gets_to_it() {
        for (text, pattern, wanted) in [
            ("abc", r"x\", Match::No),
            ("x", r"x\", Match::No),
            ("xy", r"x\", Match::Raises),
            ("xy", r"%\", Match::Raises),
            ("", r"%\", Match::No),
            ("x", r"%x\", Match::No),
            ("xx", r"%x\", Match::Raises),
            ("ab", r"%x\", Match::No),
        ] {
            assert_eq!(matches(text, pattern), wanted, "{text:?} LIKE {pattern:?}");
        }
    }

    #[test]
    fn long_segments_with_wildcards_are_found() {
        let text = "ab".repeat(1000) + "c";
        let pattern = format!("%{}_%", "a_".repeat(100) + "c");
        assert_eq!(matches(&text, &pattern), Match::No);
        assert_eq!(matches(&(text.clone() + "d"), &pattern.replace("a_c", "abc")), Match::Yes);
        assert_eq!(matches(&text, &format!("%{}%", "_".repeat(2000))), Match::Raises);
    }
}
