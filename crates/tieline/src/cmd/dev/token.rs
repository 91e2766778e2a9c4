//! A token for insecure mode.

use auth::SigningKey;
use serde_json::{Map, Value};

/// An unsigned token for a user, without an end.
pub fn unsigned(user: &str) -> String {
    let claims = Map::from_iter([("sub".to_owned(), Value::from(user))]);
    SigningKey::unsigned_token(&claims, None)
}
