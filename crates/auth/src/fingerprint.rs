//! How a token may be named in logs: by what it says of itself and a piece of its hash, never by any part of it.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use base64::Engine as _;
use serde_json::Value;

use crate::{base64_text::TOKEN, json, refusal::QUOTED_CHARS};

/// Tokens beyond this many bytes are named by their hash only.
const MAX_DECODED: usize = 64 * 1024;

/// `sub`, `jti`, `kid` and the first 8 hex digits of the SHA-256 of a token (spec 01 §2). Nothing in it is verified.
/// With a namespace, `sub` is looked for inside it.
pub(crate) fn fingerprint(token: &str, namespace: Option<&str>) -> String {
    let mut text = String::new();
    if token.len() <= MAX_DECODED {
        let mut segments = token.split('.').map(|segment| TOKEN.decode(segment).ok());
        let mut next = || json::object(&segments.next()??).ok();
        let (header, payload) = (next().unwrap_or_default(), next().unwrap_or_default());
        let claims = namespace.map_or(Some(&payload), |name| payload.get(name)?.as_object());
        let user = claims.and_then(|claims| claims.get("sub").or_else(|| claims.get("user_id")));
        push(&mut text, "sub", user);
        push(&mut text, "jti", payload.get("jti"));
        push(&mut text, "kid", header.get("kid"));
    }
    text.push_str("sha256=");
    let hash = digest::digest(&digest::SHA256, token.as_bytes());
    for byte in hash.as_ref().iter().take(4) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Adds `name="value"` if the value is a string, escaped and cut.
fn push(text: &mut String, name: &str, value: Option<&Value>) {
    if let Some(Value::String(value)) = value {
        let shown: String = value.chars().take(QUOTED_CHARS).collect();
        let _ = write!(text, "{name}={shown:?} ");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::SigningKey;

    #[test]
    fn names_a_token_without_showing_it() {
        let Value::Object(claims) = json!({"sub": "a\nb", "jti": "x".repeat(100), "n": {"sub": "inner"}})
        else {
            unreachable!()
        };
        let token = SigningKey::unsigned_token(&claims, Some("k1"));
        let shown = fingerprint(&token, None);
        assert!(shown.starts_with(r#"sub="a\nb" jti="xxx"#), "{shown}");
        assert!(shown.contains(r#" kid="k1" sha256="#), "{shown}");
        assert!(!shown.contains(&"x".repeat(65)));
        assert!(fingerprint(&token, Some("n")).starts_with(r#"sub="inner" "#));
        assert!(fingerprint(&token, Some("absent")).starts_with("jti="));
        for segment in token.split('.').filter(|segment| !segment.is_empty()) {
            assert!(!shown.contains(segment));
        }
    }

    #[test]
    fn anything_has_a_fingerprint() {
        assert_eq!(fingerprint("", None), "sha256=e3b0c442");
        assert_eq!(fingerprint("abc", None), "sha256=ba7816bf");
        assert_eq!(fingerprint(&"a".repeat(1_000_000), None), "sha256=cdc76e5c");
    }
}
