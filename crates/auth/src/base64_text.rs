//! The three base64 dialects in use: strict URL-safe in tokens, standard in PEM, and anything reasonable for a key
//! that `AUTH_JWT_KEY_IS_BASE64_ENCODED` says is encoded.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use zeroize::Zeroizing;

/// Tokens: no padding, no blanks, trailing bits zero (spec 01 §4).
pub(crate) const TOKEN: GeneralPurpose = general_purpose::URL_SAFE_NO_PAD;

/// PEM bodies, blanks already removed.
pub(crate) const STRICT_STANDARD: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Decodes a configured key: standard and URL-safe alphabet, with or without padding, line breaks and surrounding blanks
/// ignored (spec 01 §2). `None` if it is no base64.
pub(crate) fn decode_key(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let standard: Vec<u8> = text
        .trim_ascii()
        .iter()
        .filter(|byte| !matches!(byte, b'\r' | b'\n'))
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    let standard = Zeroizing::new(standard);
    LENIENT.decode(&*standard).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_may_come_in_any_usual_dialect() {
        let expected = Some(vec![0xfb, 0xff, 0xfe, 0x01]);
        for text in
            ["+//+AQ==", "+//+AQ", "-__-AQ==", "-__-AQ", " +//+AQ==\n", "+//+\r\nAQ==\r\n", "\t+//+\nAQ\n"]
        {
            assert_eq!(decode_key(text.as_bytes()).map(|key| key.to_vec()), expected, "{text:?}");
        }
        for text in ["+//+ AQ==", "+//+A", "+//+A\u{e9}", "!", "+//+AQ==AA", "-----BEGIN PUBLIC"] {
            assert!(decode_key(text.as_bytes()).is_none(), "{text:?}");
        }
    }

    #[test]
    fn tokens_know_one_spelling_only() {
        assert_eq!(TOKEN.decode("-__-AQ"), Ok(vec![0xfb, 0xff, 0xfe, 0x01]));
        for text in ["-__-AQ==", "+//+AQ", "-__-AR", "-__- AQ", "-__-AQ\n", "-__-A"] {
            assert!(TOKEN.decode(text).is_err(), "{text:?}");
        }
    }
}
