//! Tokens, keys and claims: who a client is (spec 01).
//!
//! [`AuthConfig`] is read from settings and holds a checked key. [`Verifier`] is made from it and turns a token into an
//! [`Identity`] or a [`Refusal`]. The crate knows no sockets, no environment and no clock: settings come through a lookup,
//! the time as a number. It has its own JOSE layer, because no common crate has ES512, on the same cryptographic library
//! that serves TLS.
//!
//! No key, token or part of either appears in an error, a log or `Debug` output.

mod algorithm;
mod base64_text;
mod claims;
mod config;
mod fingerprint;
mod identity;
mod json;
mod key;
mod refusal;
pub mod settings;
mod values;
mod verifier;

pub use algorithm::{Algorithm, Curve, Family, UnknownAlgorithm};
pub use config::{AuthConfig, ConfigError, Lookup, Mode, TokenExpiry, configured_secret, list_items};
pub use identity::Identity;
pub use key::{
    BadSignature, GeneratedKey, KeyError, RSA_MAX_BITS, RSA_MIN_BITS, SigningError, SigningKey,
    VerificationKey,
};
pub use refusal::{Claim, QUOTED_CHARS, Reason, Refusal, Step};
pub use settings::{SETTINGS, Setting};
pub use values::duration;
pub use verifier::{Explanation, Verifier};

/// How a token may be named in logs: `sub`, `jti`, `kid` and the first 8 hex digits of its SHA-256, all unverified
/// (spec 01 §2). With a namespace use [`Verifier::fingerprint`].
#[must_use]
pub fn fingerprint(token: &str) -> String {
    fingerprint::fingerprint(token, None)
}
