//! Tokens for insecure mode.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

/// An unsigned token for a user, as insecure mode takes it.
#[must_use]
pub fn unsigned_token(user: &str) -> String {
    let part = |json: String| BASE64_URL_SAFE_NO_PAD.encode(json);
    let user: String = user.chars().flat_map(char::escape_default).collect();
    format!("{}.{}.", part(r#"{"alg":"none"}"#.into()), part(format!(r#"{{"sub":"{user}"}}"#)))
}
