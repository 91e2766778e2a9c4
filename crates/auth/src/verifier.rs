//! The judge of tokens. The order is: size, segments, header, `alg`, signature, claims, user (spec 01 §5); nothing in the
//! payload is interpreted before the signature has been verified.

use base64::Engine as _;
use serde_json::{Map, Value};

use crate::{
    AuthConfig, Identity, Mode,
    base64_text::TOKEN,
    claims,
    config::{Policy, Secure},
    fingerprint, json,
    refusal::{Reason, Refusal, Step},
};

/// Decides whether a token is accepted. Made once from the configuration and shared by all connections; holds no state,
/// and takes the time from its caller.
#[derive(Debug)]
pub struct Verifier {
    config: AuthConfig,
}

/// What [`Verifier::explain`] found.
#[derive(Debug)]
pub struct Explanation {
    /// The steps that were passed, in order, each with what was found, in words. Quotes claims of the token.
    pub passed: Vec<(Step, String)>,
    /// The decision: the same that [`Verifier::verify`] makes.
    pub outcome: Result<Identity, Refusal>,
}

/// Told of every step that is passed. The note is made only if somebody wants it.
pub(crate) trait Observer {
    fn passed(&mut self, step: Step, note: impl FnOnce() -> String);
}

/// Nobody listens.
impl Observer for () {
    fn passed(&mut self, _: Step, _: impl FnOnce() -> String) {}
}

impl Observer for Vec<(Step, String)> {
    fn passed(&mut self, step: Step, note: impl FnOnce() -> String) {
        self.push((step, note()));
    }
}

impl Verifier {
    /// A verifier for this configuration.
    #[must_use]
    pub fn new(config: AuthConfig) -> Verifier {
        Verifier { config }
    }

    /// Whether signatures are verified.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.config.mode()
    }

    /// The configuration it was made from.
    #[must_use]
    pub fn config(&self) -> &AuthConfig {
        &self.config
    }

    /// Judges a token at this time in milliseconds since the epoch, of which whole seconds count.
    ///
    /// # Errors
    /// The refusal, whose `Display` is what the client may be told.
    pub fn verify(&self, token: &str, now_ms: u64) -> Result<Identity, Refusal> {
        self.judge(token, now_ms, &mut ())
    }

    /// The same decision, with what was found on the way.
    #[must_use]
    pub fn explain(&self, token: &str, now_ms: u64) -> Explanation {
        let mut passed = Vec::new();
        let outcome = self.judge(token, now_ms, &mut passed);
        Explanation { passed, outcome }
    }

    /// How a token may be named in logs: `sub`, `jti`, `kid` and 8 hex digits of its SHA-256, all unverified.
    #[must_use]
    pub fn fingerprint(&self, token: &str) -> String {
        fingerprint::fingerprint(token, self.config.namespace.as_deref())
    }

    fn judge(&self, token: &str, now_ms: u64, observer: &mut impl Observer) -> Result<Identity, Refusal> {
        let limit = self.config.max_token_bytes;
        if token.len() > limit {
            return Err(Reason::TooLong.into());
        }
        observer.passed(Step::Size, || format!("{} bytes, at most {limit} are allowed", token.len()));
        let payload = match &self.config.policy {
            Policy::Secure(secure) => authentic_payload(secure, token, observer)?,
            Policy::Insecure => unverified_payload(token, observer)?,
        };
        observer.passed(Step::Payload, || "a JSON object".to_owned());
        claims::judge(&self.config, payload, now_ms, observer)
    }
}

/// The payload of a token whose signature has been verified.
fn authentic_payload(
    secure: &Secure,
    token: &str,
    observer: &mut impl Observer,
) -> Result<Map<String, Value>, Refusal> {
    let mut segments = token.splitn(4, '.');
    let (Some(header), Some(payload), Some(signature), None) =
        (segments.next(), segments.next(), segments.next(), segments.next())
    else {
        return Err(Reason::Segments.into());
    };
    let signed = token.get(..header.len() + 1 + payload.len()).ok_or(Reason::Segments)?;
    let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
    observer.passed(Step::Segments, || "three, in base64url".to_owned());

    let header = json::object(&header).map_err(|_| Reason::Header)?;
    judge_header(secure, &header)?;
    observer.passed(Step::Header, || match header.get("kid") {
        Some(key_id) => format!("a JSON object, kid {key_id}"),
        None => "a JSON object".to_owned(),
    });
    let algorithm = secure.key.algorithm();
    if header.get("alg").and_then(Value::as_str) != Some(algorithm.name()) {
        return Err(Reason::Algorithm(algorithm).into());
    }
    observer.passed(Step::Algorithm, || format!("{algorithm}, as AUTH_JWT_ALG says"));

    secure.key.verify(signed.as_bytes(), &signature).map_err(|_| Reason::Signature)?;
    observer.passed(Step::Signature, || "made with the configured key".to_owned());
    json::object(&payload).map_err(|_| Reason::Payload.into())
}

/// The payload of a token in insecure mode: `alg` may be anything, the third segment is not looked at and may be missing.
fn unverified_payload(token: &str, observer: &mut impl Observer) -> Result<Map<String, Value>, Refusal> {
    let mut segments = token.splitn(4, '.');
    let (Some(header), Some(payload), _, None) =
        (segments.next(), segments.next(), segments.next(), segments.next())
    else {
        return Err(Reason::Segments.into());
    };
    let (header, payload) = (decode(header)?, decode(payload)?);
    observer.passed(Step::Segments, || "header and payload, in base64url".to_owned());
    json::object(&header).map_err(|_| Reason::Header)?;
    observer.passed(Step::Header, || "a JSON object".to_owned());
    observer.passed(Step::Algorithm, || "not looked at in insecure mode".to_owned());
    observer.passed(Step::Signature, || "not looked at in insecure mode".to_owned());
    json::object(&payload).map_err(|_| Reason::Payload.into())
}

fn decode(segment: &str) -> Result<Vec<u8>, Reason> {
    TOKEN.decode(segment).map_err(|_| Reason::Encoding)
}

/// The header's members but `alg`. Keys that it offers or points to (`jku`, `jwk`, `x5u`, `x5c`) are never looked at.
fn judge_header(secure: &Secure, header: &Map<String, Value>) -> Result<(), Reason> {
    if header.contains_key("crit") || header.contains_key("zip") {
        return Err(Reason::Extension);
    }
    let found = match header.get("typ") {
        None => None,
        Some(Value::String(name)) => Some(media_type(name)),
        Some(_) => return Err(Reason::TokenType),
    };
    let fits = match (&secure.token_type, &found) {
        (Some(demanded), found) => found.as_ref() == Some(demanded),
        (None, Some(found)) => !found.ends_with("+jwt") || found == "at+jwt",
        (None, None) => true,
    };
    if fits { Ok(()) } else { Err(Reason::TokenType) }
}

/// `typ` in the form in which it is compared: without `application/`, in lower case (RFC 7515 §4.1.9).
pub(crate) fn media_type(name: &str) -> String {
    let mut name = name.to_ascii_lowercase();
    if let Some(rest) = name.strip_prefix("application/") {
        name = rest.to_owned();
    }
    name
}
