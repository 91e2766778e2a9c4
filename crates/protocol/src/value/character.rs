//! `varchar(n)` and `char(n)`: at most so many characters.

use super::{Refusal, bare};

/// `modifiers` is the length in characters, or nothing. Postgres cuts off spaces that are too many, and refuses anything else.
pub(super) fn check(type_name: &str, text: &str, modifiers: &[i32]) -> Result<(), Refusal> {
    let Some(length) = modifiers.first().and_then(|length| usize::try_from(*length).ok()) else {
        return Ok(());
    };
    let over = text.char_indices().nth(length).map_or("", |(at, _)| text.get(at..).unwrap_or_default());
    if over.chars().all(|c| c == ' ') {
        return Ok(());
    }
    Err(Refusal(format!("Value too long for {type_name}({length}) column: {}", bare(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_characters_and_forgives_spaces() {
        for (text, length, is_good) in [
            ("abc", 3, true),
            ("abcd", 3, false),
            ("äöü", 3, true),
            ("😀😀😀😀", 3, false),
            ("abc   ", 3, true),
            ("abc  d", 3, false),
            ("abc\t", 3, false),
            ("", 1, true),
        ] {
            assert_eq!(check("varchar", text, &[length]).is_ok(), is_good, "{text:?}");
        }
        assert!(check("varchar", &"x".repeat(100_000), &[]).is_ok());
    }
}
