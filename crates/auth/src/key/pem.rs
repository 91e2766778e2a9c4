//! The text form of keys (RFC 7468), as it arrives through environment variables and secret files (spec 01 §3).
//!
//! Tolerated: CRLF, blanks around, literal `\n` in place of line breaks, a missing last line end, lines joined by blanks,
//! and text outside the block (quotes that an env file kept, the readable half of a certificate).

use base64::Engine as _;
use zeroize::Zeroizing;

use super::KeyError;
use crate::base64_text;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// One PEM block.
pub(crate) struct Block {
    /// What stands after `BEGIN`.
    pub(crate) label: String,
    /// The decoded content; it may be a private key.
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// Whether the value holds something that claims to be PEM.
pub(crate) fn looks_like_pem(value: &[u8]) -> bool {
    find(value, BEGIN).is_some()
}

/// Whether the value begins with a PEM block, blanks aside.
pub(crate) fn begins_with_pem(value: &[u8]) -> bool {
    value.trim_ascii_start().starts_with(b"-----BEGIN")
}

/// Whether any block of the value is a private key.
pub(crate) fn holds_private_key(value: &[u8]) -> bool {
    labels(value).any(|label| label.ends_with(b"PRIVATE KEY"))
}

/// Reads the only block of a value.
///
/// # Errors
/// There is none, there are several, or it is damaged.
pub(crate) fn parse(value: &[u8]) -> Result<Block, KeyError> {
    match labels(value).count() {
        0 => return Err(KeyError::NotPem),
        1 => {}
        _ => return Err(KeyError::SeveralBlocks),
    }
    let value = Zeroizing::new(unescape(value));
    let after_begin =
        find(&value, BEGIN).and_then(|at| value.get(at + BEGIN.len()..)).ok_or(KeyError::NotPem)?;
    let label_len = find(after_begin, DASHES).ok_or(KeyError::Damaged)?;
    let (label, rest) = after_begin.split_at(label_len);
    let body = rest.get(DASHES.len()..).ok_or(KeyError::Damaged)?;
    let end = [END, label, DASHES].concat();
    let body = find(body, &end).and_then(|at| body.get(..at)).ok_or(KeyError::Damaged)?;
    let body =
        Zeroizing::new(body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<u8>>());
    let der = base64_text::STRICT_STANDARD.decode(&*body).map_err(|_| KeyError::Damaged)?;
    let label = std::str::from_utf8(label).map_err(|_| KeyError::Damaged)?;
    Ok(Block { label: label.to_owned(), der: Zeroizing::new(der) })
}

/// The labels of all blocks that begin in the value.
fn labels(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = value;
    std::iter::from_fn(move || {
        let after = rest.get(find(rest, BEGIN)? + BEGIN.len()..)?;
        rest = after;
        Some(after.get(..find(after, DASHES).unwrap_or(after.len())).unwrap_or_default())
    })
}

/// Turns literal `\n` and `\r` into the characters they stand for.
fn unescape(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match (byte, tail) {
            (b'\\', [b'n' | b'r', tail @ ..]) => {
                out.push(b'\n');
                tail
            }
            _ => {
                out.push(byte);
                tail
            }
        };
    }
    out
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "-----BEGIN PUBLIC KEY-----\nAAEC\nAwQ=\n-----END PUBLIC KEY-----\n";

    fn der(value: &str) -> Result<Vec<u8>, KeyError> {
        parse(value.as_bytes()).map(|block| block.der.to_vec())
    }

    #[test]
    fn environment_variables_may_mangle_line_ends() {
        let expected = Ok(vec![0, 1, 2, 3, 4]);
        assert_eq!(der(PLAIN), expected);
        assert_eq!(der(PLAIN.trim_end()), expected);
        assert_eq!(der(&PLAIN.replace('\n', "\r\n")), expected);
        assert_eq!(der(&PLAIN.replace('\n', "\\n")), expected);
        assert_eq!(der(&PLAIN.replace('\n', "\\r\\n")), expected);
        assert_eq!(der(&PLAIN.replace('\n', " ")), expected);
        assert_eq!(der(&format!(" \t\r\n{PLAIN}\n \n")), expected);
        assert_eq!(der(&format!("\"{}\"", PLAIN.replace('\n', "\\n"))), expected);
        assert_eq!(der(&format!("subject=CN = someone\n{PLAIN}")), expected);
    }

    #[test]
    fn damage_is_noticed() {
        assert_eq!(der(""), Err(KeyError::NotPem));
        assert_eq!(der("AAEC"), Err(KeyError::NotPem));
        assert_eq!(der(&PLAIN.repeat(2)), Err(KeyError::SeveralBlocks));
        for damaged in [
            "-----BEGIN PUBLIC KEY",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nAAEC\n-----END CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----\nAA!C\n-----END PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nAAECA\n-----END PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nAAEC\n-----END PUBLIC KEY",
        ] {
            assert_eq!(der(damaged), Err(KeyError::Damaged), "{damaged:?}");
        }
    }

    #[test]
    fn private_keys_are_recognised_in_any_block() {
        assert!(holds_private_key(b"-----BEGIN EC PARAMETERS-----\n-----BEGIN EC PRIVATE KEY-----"));
        assert!(holds_private_key(b"-----BEGIN PRIVATE KEY-----"));
        assert!(!holds_private_key(PLAIN.as_bytes()));
    }
}
