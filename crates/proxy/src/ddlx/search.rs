//! Whether a text mentions a word, as fast as can be had: most texts mention none, and then nothing else is done with them.

/// The word that every statement of ours has in it.
const WORD: &[u8; 8] = b"electric";

/// How far the word may be moved along when the text has this byte where the word's last letter would stand.
const SHIFTS: [u8; 256] = shifts();

const fn shifts() -> [u8; 256] {
    let mut shifts = [WORD.len() as u8; 256];
    let mut at = 0;
    while at + 1 < WORD.len() {
        let shift = (WORD.len() - 1 - at) as u8;
        shifts[WORD[at] as usize] = shift;
        shifts[WORD[at].to_ascii_uppercase() as usize] = shift;
        at += 1;
    }
    shifts
}

/// Whether `electric` occurs anywhere in it, in any case, as a word or inside one. Looks at one byte in eight of most texts
/// (Horspool's search).
#[must_use]
pub fn mentions_electric(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(window) = text.get(at..at + WORD.len()) {
        if window.eq_ignore_ascii_case(WORD) {
            return true;
        }
        at += window.last().map_or(1, |last| usize::from(SHIFTS[usize::from(*last)]));
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_it_anywhere() {
        for text in [
            "electric",
            "ALTER TABLE t ENABLE ELECTRIC",
            "eelectric",
            "elelectric",
            "electrelectric",
            "xElEcTrIcx",
        ] {
            assert!(mentions_electric(text.as_bytes()), "{text}");
        }
        for text in ["", "electri", "lectric", "elektric", "electr ic", "el\u{e9}ctric"] {
            assert!(!mentions_electric(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn finds_what_a_plain_search_finds(text in "[electricELECTRIC ]{0,60}", tail in "(electric)?[a-e]{0,4}") {
            let text = text + &tail;
            let plain = text.to_ascii_lowercase().contains("electric");
            prop_assert_eq!(mentions_electric(text.as_bytes()), plain);
        }
    }
}
