//! The claims of a token whose origin is settled (spec 01 §5).

use serde_json::{Map, Value};

use crate::{
    AuthConfig, Identity, TokenExpiry,
    config::Policy,
    refusal::{Claim, Reason, Refusal, Step},
    verifier::Observer,
};

/// Largest NumericDate: 2^53 − 1 seconds, up to which doubles count whole seconds.
const MAX_DATE: f64 = 9_007_199_254_740_991.0;

/// Judges the claims in the order of the specification and makes the identity.
pub(crate) fn judge(
    config: &AuthConfig,
    payload: Map<String, Value>,
    now_ms: u64,
    observer: &mut impl Observer,
) -> Result<Identity, Refusal> {
    let clock = Clock { now: (now_ms / 1000) as f64, leeway: config.leeway.as_secs_f64() };
    let secure = match &config.policy {
        Policy::Secure(secure) => Some(secure),
        Policy::Insecure => None,
    };
    let required = |claim| if secure.is_some() { Err(Refusal::from(Reason::Missing(claim))) } else { Ok(()) };

    let issued_at = match payload.get("iat") {
        None => required(Claim::IssuedAt).map(|()| None)?,
        Some(value) => {
            Some(issued_at(config, clock, value).map_err(|reason| Refusal::quoting(reason, value))?)
        }
    };
    observer.passed(Step::IssuedAt, || clock.in_words(issued_at));

    let expires_at = match payload.get("exp") {
        None => required(Claim::ExpiresAt).map(|()| None)?,
        Some(value) => match numeric_date(value) {
            None => return Err(Reason::ExpiresAt.into()),
            Some(date) if clock.now > date + clock.leeway => return Err(Reason::Expired.into()),
            date => date,
        },
    };
    observer.passed(Step::Expiry, || clock.in_words(expires_at));

    let not_before = match payload.get("nbf") {
        None => None,
        Some(value) => match numeric_date(value) {
            None => return Err(Reason::NotBefore.into()),
            Some(date) if date > clock.now + clock.leeway => return Err(Reason::NotYetValid.into()),
            date => date,
        },
    };
    observer.passed(Step::NotBefore, || clock.in_words(not_before));

    if let Some(secure) = secure {
        judge_party(&secure.issuers, &payload, Claim::Issuer, false)?;
        observer.passed(Step::Issuer, || party_in_words(&secure.issuers, "AUTH_JWT_ISS"));
        judge_party(&secure.audiences, &payload, Claim::Audience, true)?;
        observer.passed(Step::Audience, || party_in_words(&secure.audiences, "AUTH_JWT_AUD"));
    } else {
        observer.passed(Step::Issuer, || "not looked at in insecure mode".to_owned());
        observer.passed(Step::Audience, || "not looked at in insecure mode".to_owned());
    }

    let jti = payload.get("jti").and_then(Value::as_str).map(str::to_owned);
    let claims = custom_claims(config, payload)?;
    let user_id = user_id(&claims).ok_or(Reason::UserId)?.to_owned();
    observer.passed(Step::User, || format!("{user_id:?}"));

    let leeway_ms = u64::try_from(config.leeway.as_millis()).unwrap_or(u64::MAX);
    let expires_at_ms = expires_at.map(milliseconds);
    let deadline_ms = match config.expiry {
        TokenExpiry::Enforce => expires_at_ms.map(|ms| ms.saturating_add(leeway_ms)),
        TokenExpiry::ConnectOnly => None,
    };
    Ok(Identity {
        user_id,
        expires_at_ms,
        issued_at_ms: issued_at.map(milliseconds),
        jti,
        claims: Value::Object(claims),
        deadline_ms,
    })
}

/// Seconds since the epoch, and how far other clocks may be off.
#[derive(Clone, Copy)]
struct Clock {
    now: f64,
    leeway: f64,
}

impl Clock {
    fn in_words(self, date: Option<f64>) -> String {
        match date {
            None => "not given".to_owned(),
            Some(date) if date >= self.now => format!("{date}, in {} s", date - self.now),
            Some(date) => format!("{date}, {} s ago", self.now - date),
        }
    }
}

fn issued_at(config: &AuthConfig, clock: Clock, value: &Value) -> Result<f64, Reason> {
    let date = numeric_date(value).ok_or(Reason::IssuedAt)?;
    if date > clock.now + clock.leeway {
        return Err(Reason::IssuedInFuture);
    }
    match config.max_age {
        Some(max_age) if clock.now > date + max_age.as_secs_f64() + clock.leeway => Err(Reason::TooOld),
        _ => Ok(date),
    }
}

/// A JSON number from 0 to 2^53 − 1; nothing else is a date.
fn numeric_date(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64().filter(|date| (0.0..=MAX_DATE).contains(date)),
        _ => None,
    }
}

/// Cut to whole milliseconds; at most 2^53 × 1000, which fits.
fn milliseconds(date: f64) -> u64 {
    date.trunc() as u64 * 1000 + (date.fract() * 1000.0) as u64
}

/// Checks `iss` or `aud` against the accepted values; an empty list accepts everything.
fn judge_party(
    accepted: &[String],
    payload: &Map<String, Value>,
    claim: Claim,
    may_be_array: bool,
) -> Result<(), Refusal> {
    if accepted.is_empty() {
        return Ok(());
    }
    let value = payload.get(claim.name()).ok_or(Reason::Missing(claim))?;
    let is_accepted =
        |value: &Value| value.as_str().is_some_and(|text| accepted.iter().any(|one| one == text));
    let fits = match value {
        Value::Array(items) if may_be_array => items.iter().any(is_accepted),
        value => is_accepted(value),
    };
    let reason = if claim == Claim::Issuer { Reason::Issuer } else { Reason::Audience };
    if fits { Ok(()) } else { Err(Refusal::quoting(reason, value)) }
}

fn party_in_words(accepted: &[String], setting: &str) -> String {
    if accepted.is_empty() { format!("any, {setting} is not set") } else { format!("as {setting} says") }
}

/// The object in which the user is named: the payload, or the claim that the namespace names.
fn custom_claims(config: &AuthConfig, mut payload: Map<String, Value>) -> Result<Map<String, Value>, Reason> {
    match &config.namespace {
        None => Ok(payload),
        Some(name) => match payload.remove(name) {
            Some(Value::Object(claims)) => Ok(claims),
            _ => Err(Reason::Namespace),
        },
    }
}

/// `sub`, or `user_id` if that is absent or null; a string that is neither blank nor holds U+0000.
fn user_id(claims: &Map<String, Value>) -> Option<&str> {
    let value = claims.get("sub").filter(|sub| !sub.is_null()).or_else(|| claims.get("user_id"))?;
    value.as_str().filter(|id| !id.trim().is_empty() && !id.contains('\0'))
}
