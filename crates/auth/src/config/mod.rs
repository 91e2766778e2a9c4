//! The configuration of authentication: read from settings, checked whole, and free of illegal states: a secure one
//! always holds a usable key (spec 01 §1–§3).

mod error;
mod key;
mod reader;

use std::time::Duration;

use self::reader::Reader;
pub use self::{error::ConfigError, key::configured_secret, reader::Lookup};
use crate::{Algorithm, VerificationKey, settings as s, values, verifier::media_type};

/// Default of `AUTH_JWT_LEEWAY`.
const LEEWAY: Duration = Duration::from_secs(2);
/// Largest `AUTH_JWT_LEEWAY`.
const MAX_LEEWAY: Duration = Duration::from_secs(300);
/// Default of `AUTH_TOKEN_MAX_BYTES`.
const TOKEN_MAX_BYTES: usize = 16 * 1024;
/// Largest `AUTH_TOKEN_MAX_BYTES`: no larger frame is read before authentication (spec 01 §6).
const MAX_TOKEN_MAX_BYTES: usize = 64 * 1024;

/// Whether signatures are verified (spec 01 §1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Signature, algorithm and claims are verified.
    Secure,
    /// For development and tests: signature and algorithm are ignored, claims are checked.
    Insecure,
}

/// What happens to a live connection when its token expires (`AUTH_TOKEN_EXPIRY`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenExpiry {
    /// It is closed.
    Enforce,
    /// Nothing: expiry is judged when a token is presented.
    ConnectOnly,
}

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    pub(crate) policy: Policy,
    pub(crate) namespace: Option<String>,
    pub(crate) leeway: Duration,
    pub(crate) max_age: Option<Duration>,
    pub(crate) expiry: TokenExpiry,
    pub(crate) max_token_bytes: usize,
}

/// What is verified.
#[derive(Clone, Debug)]
pub(crate) enum Policy {
    Insecure,
    Secure(Box<Secure>),
}

/// What secure mode needs.
#[derive(Clone, Debug)]
pub(crate) struct Secure {
    pub(crate) key: VerificationKey,
    /// Accepted issuers; empty accepts all.
    pub(crate) issuers: Vec<String>,
    /// Accepted audiences; empty accepts all.
    pub(crate) audiences: Vec<String>,
    /// The `typ` that tokens must have, as [`media_type`] writes it.
    pub(crate) token_type: Option<String>,
}

impl AuthConfig {
    /// Insecure mode with everything else at its default.
    #[must_use]
    pub fn insecure() -> AuthConfig {
        AuthConfig::with_policy(Policy::Insecure)
    }

    /// Secure mode with this key and everything else at its default.
    #[must_use]
    pub fn secure(key: VerificationKey) -> AuthConfig {
        let (issuers, audiences, token_type) = (Vec::new(), Vec::new(), None);
        AuthConfig::with_policy(Policy::Secure(Box::new(Secure { key, issuers, audiences, token_type })))
    }

    fn with_policy(policy: Policy) -> AuthConfig {
        AuthConfig {
            policy,
            namespace: None,
            leeway: LEEWAY,
            max_age: None,
            expiry: TokenExpiry::Enforce,
            max_token_bytes: TOKEN_MAX_BYTES,
        }
    }

    /// Reads all `AUTH_*` settings of [`crate::SETTINGS`] through `lookup`, and the file that `AUTH_JWT_KEY_FILE` names.
    /// Returns warnings with the configuration.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the settings; only the mode if that is wrong.
    pub fn from_lookup(lookup: Lookup<'_>) -> Result<(AuthConfig, Vec<String>), Vec<ConfigError>> {
        let mut reader = Reader::new(lookup);
        let policy = match reader.text(s::AUTH_MODE).as_deref() {
            None | Some("secure") => read_secure(&mut reader),
            Some("insecure") => {
                warn_ignored(&mut reader);
                Some(Policy::Insecure)
            }
            Some(other) => {
                return Err(vec![ConfigError::invalid(
                    s::AUTH_MODE,
                    other,
                    r#"Must be one of ["secure", "insecure"]"#,
                )]);
            }
        };
        let namespace = reader.exact_text(s::AUTH_JWT_NAMESPACE);
        let leeway = read_leeway(&mut reader);
        let max_age = read_max_age(&mut reader);
        let expiry = read_expiry(&mut reader);
        let max_token_bytes = read_max_bytes(&mut reader);
        let config =
            policy.map(|policy| AuthConfig { policy, namespace, leeway, max_age, expiry, max_token_bytes });
        reader.finish(config)
    }

    /// Whether signatures are verified.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self.policy {
            Policy::Secure(_) => Mode::Secure,
            Policy::Insecure => Mode::Insecure,
        }
    }

    /// Whether this is insecure mode.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        self.mode() == Mode::Insecure
    }

    /// The algorithm that tokens must be signed with; `None` in insecure mode.
    #[must_use]
    pub fn algorithm(&self) -> Option<Algorithm> {
        match &self.policy {
            Policy::Secure(secure) => Some(secure.key.algorithm()),
            Policy::Insecure => None,
        }
    }

    /// The claim under which custom claims live.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Longest token in bytes.
    #[must_use]
    pub fn max_token_bytes(&self) -> usize {
        self.max_token_bytes
    }
}

/// `None` if something is wrong, of which the reader knows.
fn read_secure(reader: &mut Reader<'_>) -> Option<Policy> {
    let algorithm = read_algorithm(reader);
    let key = key::read(reader, algorithm);
    let issuers = read_list(reader, s::AUTH_JWT_ISS);
    let audiences = read_list(reader, s::AUTH_JWT_AUD);
    let token_type = reader.exact_text(s::AUTH_JWT_TYP).map(|name| media_type(&name));
    Some(Policy::Secure(Box::new(Secure { key: key?, issuers, audiences, token_type })))
}

fn read_algorithm(reader: &mut Reader<'_>) -> Option<Algorithm> {
    let allowed = || format!("Must be one of {:?}", Algorithm::ALL.map(Algorithm::name));
    let Some(name) = reader.text(s::AUTH_JWT_ALG) else {
        reader.error(ConfigError::new(
            s::AUTH_JWT_ALG,
            format!(
                "AUTH_JWT_ALG not set. {}, or set AUTH_MODE=insecure for development without signatures",
                allowed()
            ),
        ));
        return None;
    };
    let algorithm = name.parse().ok();
    if algorithm.is_none() {
        reader.error(ConfigError::invalid(s::AUTH_JWT_ALG, &name, &allowed()));
    }
    algorithm
}

fn read_list(reader: &mut Reader<'_>, name: &'static str) -> Vec<String> {
    let Some(value) = reader.exact_text(name) else { return Vec::new() };
    let items: Vec<String> = list_items(&value).map(str::to_owned).collect();
    if items.is_empty() {
        reader.error(ConfigError::invalid(name, &value, "Must be a value, or several separated by commas"));
    }
    items
}

/// The items of `AUTH_JWT_ISS` or `AUTH_JWT_AUD`: a single value is taken exactly; items between commas are trimmed, and
/// empty ones dropped.
pub fn list_items(value: &str) -> impl Iterator<Item = &str> {
    let several = value.contains(',');
    value.split(',').map(move |item| if several { item.trim() } else { item }).filter(|item| !item.is_empty())
}

fn warn_ignored(reader: &mut Reader<'_>) {
    for name in [
        s::AUTH_JWT_ALG,
        s::AUTH_JWT_KEY,
        s::AUTH_JWT_KEY_FILE,
        s::AUTH_JWT_KEY_IS_BASE64_ENCODED,
        s::AUTH_JWT_ISS,
        s::AUTH_JWT_AUD,
        s::AUTH_JWT_TYP,
        s::AUTH_JWKS_URL,
        s::AUTH_JWKS_FILE,
    ] {
        if reader.bytes(name).is_some() {
            reader.warn(format!(
                "{name} is ignored in insecure mode. Set AUTH_MODE=secure to have tokens verified."
            ));
        }
    }
}

fn read_leeway(reader: &mut Reader<'_>) -> Duration {
    let allowed = "Must be a duration from 0s to 300s, such as 2s or 500ms";
    let parse = |value: &str| values::duration(value).filter(|leeway| *leeway <= MAX_LEEWAY);
    reader.parse(s::AUTH_JWT_LEEWAY, parse, allowed).unwrap_or(LEEWAY)
}

fn read_max_age(reader: &mut Reader<'_>) -> Option<Duration> {
    let allowed = "Must be off or a duration above zero, such as 12h or 7d";
    let parse = |value: &str| match value {
        "off" => Some(None),
        value => values::duration(value).filter(|age| !age.is_zero()).map(Some),
    };
    reader.parse(s::AUTH_JWT_MAX_AGE, parse, allowed).flatten()
}

fn read_expiry(reader: &mut Reader<'_>) -> TokenExpiry {
    let allowed = r#"Must be one of ["enforce", "connect-only"]"#;
    let parse = |value: &str| match value {
        "enforce" => Some(TokenExpiry::Enforce),
        "connect-only" => Some(TokenExpiry::ConnectOnly),
        _ => None,
    };
    reader.parse(s::AUTH_TOKEN_EXPIRY, parse, allowed).unwrap_or(TokenExpiry::Enforce)
}

fn read_max_bytes(reader: &mut Reader<'_>) -> usize {
    let allowed = "Must be a number of bytes from 256 to 65536, such as 16384 or 16K";
    let parse = |value: &str| values::size(value).filter(|bytes| (256..=MAX_TOKEN_MAX_BYTES).contains(bytes));
    reader.parse(s::AUTH_TOKEN_MAX_BYTES, parse, allowed).unwrap_or(TOKEN_MAX_BYTES)
}
