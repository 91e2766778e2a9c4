//! Settings from a table, keys from files, tokens of any shape.

use std::{collections::HashMap, ffi::OsString};

use auth::{Algorithm, AuthConfig, ConfigError, SigningKey, VerificationKey, Verifier};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as URL};
use serde_json::{Value, json};

/// 2023-05-22T10:06:40Z, in seconds.
pub const NOW: u64 = 1_684_750_000;
/// The same in milliseconds.
pub const NOW_MS: u64 = NOW * 1000;
/// A secret long enough for all HMAC algorithms.
pub const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A key in PEM from `tests/fixtures`.
macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("fixtures/", $name, ".pem"))
    };
}
pub(crate) use pem;

pub type Loaded = Result<(AuthConfig, Vec<String>), Vec<ConfigError>>;

/// Reads the configuration from these settings.
pub fn load<V: AsRef<[u8]>>(settings: &[(&str, V)]) -> Loaded {
    let table: HashMap<&str, OsString> =
        settings.iter().map(|(name, value)| (*name, os_string(value.as_ref()))).collect();
    AuthConfig::from_lookup(&|name| table.get(name).cloned())
}

fn os_string(bytes: &[u8]) -> OsString {
    use std::os::unix::ffi::OsStringExt as _;
    OsString::from_vec(bytes.to_vec())
}

/// A verifier with these settings, which have to be right.
pub fn verifier<V: AsRef<[u8]>>(settings: &[(&str, V)]) -> Verifier {
    Verifier::new(load(settings).expect("the settings are right").0)
}

/// The texts of everything that is wrong with these settings.
pub fn faults<V: AsRef<[u8]>>(settings: &[(&str, V)]) -> Vec<String> {
    load(settings).expect_err("the settings are wrong").iter().map(ToString::to_string).collect()
}

/// A verifier for HS256 with [`SECRET`], and more settings.
pub fn hs256(more: &[(&str, &str)]) -> Verifier {
    let secret = std::str::from_utf8(SECRET).unwrap();
    verifier(&[&[("AUTH_JWT_ALG", "HS256"), ("AUTH_JWT_KEY", secret)], more].concat())
}

/// A verifier in insecure mode, and more settings.
pub fn insecure(more: &[(&str, &str)]) -> Verifier {
    verifier(&[&[("AUTH_MODE", "insecure")], more].concat())
}

/// A token for [`hs256`] with exactly these claims.
pub fn signed(claims: &Value) -> String {
    sign(r#"{"alg":"HS256"}"#, &claims.to_string())
}

/// A token for [`hs256`] with exactly this header and payload.
pub fn sign(header: &str, payload: &str) -> String {
    let message = format!("{}.{}", URL.encode(header), URL.encode(payload));
    let key = SigningKey::from_secret(Algorithm::Hs256, SECRET).unwrap();
    format!("{message}.{}", URL.encode(key.sign(message.as_bytes()).unwrap()))
}

/// Claims that pass, changed by these; `null` removes.
#[expect(clippy::needless_pass_by_value, reason = "tests read better without the ampersand")]
pub fn claims(changes: Value) -> Value {
    let mut claims = json!({"sub": "u1", "iat": NOW - 10, "exp": NOW + 10});
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

/// `user_id` of an accepted token, or the text of the refusal.
pub fn outcome(verifier: &Verifier, token: &str) -> Result<String, String> {
    verifier.verify(token, NOW_MS).map(|identity| identity.user_id).map_err(|refusal| refusal.to_string())
}

/// A key that signs, and one that verifies, made afresh.
pub fn fresh(algorithm: Algorithm) -> (SigningKey, VerificationKey) {
    let key = SigningKey::generate(algorithm).unwrap();
    match &key.public {
        Some(public) => (
            SigningKey::from_pem(algorithm, key.private.as_bytes()).unwrap(),
            VerificationKey::from_pem(algorithm, public.as_bytes()).unwrap(),
        ),
        None => (
            SigningKey::from_secret(algorithm, key.private.as_bytes()).unwrap(),
            VerificationKey::from_secret(algorithm, key.private.as_bytes()).unwrap(),
        ),
    }
}
