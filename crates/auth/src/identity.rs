//! Who a client is: what an accepted token says.

use std::fmt;

use serde_json::Value;

/// The outcome of an accepted token (spec 01 §5). Only a [`crate::Verifier`] makes one.
#[derive(Clone, PartialEq)]
pub struct Identity {
    /// The user: `sub` or `user_id`, untrimmed, case kept; not blank, without U+0000.
    pub user_id: String,
    /// `exp` in milliseconds since the epoch.
    pub expires_at_ms: Option<u64>,
    /// `iat` in milliseconds since the epoch.
    pub issued_at_ms: Option<u64>,
    /// `jti`, if it is a string.
    pub jti: Option<String>,
    /// All claims, or those under the configured namespace; always an object.
    pub claims: Value,
    /// See [`Identity::deadline`].
    pub(crate) deadline_ms: Option<u64>,
}

impl Identity {
    /// When a live connection has to be closed with `JWT-expired`, in milliseconds since the epoch: `exp` and the leeway.
    /// `None` when the token does not expire, or when expiry is judged on connecting only (`AUTH_TOKEN_EXPIRY`).
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.deadline_ms
    }
}

impl fmt::Debug for Identity {
    /// Without the claims, which may hold anything about a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("user_id", &self.user_id)
            .field("expires_at_ms", &self.expires_at_ms)
            .field("jti", &self.jti)
            .finish_non_exhaustive()
    }
}
