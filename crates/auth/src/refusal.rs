//! Why a token was refused: the text that clients see, a label for metrics, and what to do about it.

use std::{borrow::Cow, fmt};

use serde_json::Value;

use crate::Algorithm;

/// Longest quotation of a claim's value in a message, in characters (spec 01 §5).
pub const QUOTED_CHARS: usize = 64;

/// A token was refused. `Display` is exactly the claim error text of spec 01 §5, which may be shown to the client. It
/// quotes a claim's value where the specification says so, and never holds any other part of the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    reason: Reason,
    /// The value of the claim that the message quotes, as JSON, cut.
    quoted: Option<String>,
}

/// The closed list of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Longer than `AUTH_TOKEN_MAX_BYTES`.
    TooLong,
    /// Not two dots (or, in insecure mode, one or two).
    Segments,
    /// A segment is not canonical base64url.
    Encoding,
    /// The header is no JSON object with distinct member names.
    Header,
    /// The header demands an extension (`crit`) or compression (`zip`).
    Extension,
    /// `typ` names another purpose, or not the one that `AUTH_JWT_TYP` demands.
    TokenType,
    /// `alg` is not the configured one.
    Algorithm(Algorithm),
    /// The signature does not match.
    Signature,
    /// The payload is no JSON object with distinct member names.
    Payload,
    /// A claim that has to be there is not.
    Missing(Claim),
    /// `iat` is no NumericDate.
    IssuedAt,
    /// `iat` lies in the future.
    IssuedInFuture,
    /// `iat` lies further back than `AUTH_JWT_MAX_AGE`.
    TooOld,
    /// `exp` is no NumericDate.
    ExpiresAt,
    /// `exp` is past.
    Expired,
    /// `nbf` is no NumericDate.
    NotBefore,
    /// `nbf` lies in the future.
    NotYetValid,
    /// `iss` is none of `AUTH_JWT_ISS`.
    Issuer,
    /// `aud` holds none of `AUTH_JWT_AUD`.
    Audience,
    /// No usable `sub` or `user_id`.
    UserId,
    /// No object under the name that `AUTH_JWT_NAMESPACE` gives.
    Namespace,
}

/// Registered claims that may be required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// `iat`
    IssuedAt,
    /// `exp`
    ExpiresAt,
    /// `iss`
    Issuer,
    /// `aud`
    Audience,
}

/// What is checked, in the order of checking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its length.
    Size,
    /// Its segments and their encoding.
    Segments,
    /// Its header.
    Header,
    /// `alg` in the header.
    Algorithm,
    /// Its signature.
    Signature,
    /// Its payload, as JSON.
    Payload,
    /// `iat`.
    IssuedAt,
    /// `exp`.
    Expiry,
    /// `nbf`.
    NotBefore,
    /// `iss`.
    Issuer,
    /// `aud`.
    Audience,
    /// `sub` or `user_id`.
    User,
}

impl Refusal {
    pub(crate) fn quoting(reason: Reason, value: &Value) -> Refusal {
        Refusal { reason, quoted: Some(value.to_string().chars().take(QUOTED_CHARS).collect()) }
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Refusal {
        Refusal { reason, quoted: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            Reason::TooLong
            | Reason::Segments
            | Reason::Encoding
            | Reason::Header
            | Reason::Extension
            | Reason::TokenType
            | Reason::Payload => "Invalid token",
            Reason::Algorithm(_) => "Signing algorithm mismatch",
            Reason::Signature => "Invalid token signature",
            Reason::Missing(claim) => return write!(f, "Missing required \"{}\" claim", claim.name()),
            Reason::IssuedAt | Reason::IssuedInFuture | Reason::TooOld => {
                return self.invalid_claim(f, "iat");
            }
            Reason::ExpiresAt | Reason::Expired => "Expired token",
            Reason::NotBefore | Reason::NotYetValid => "Token is not yet valid",
            Reason::Issuer => return self.invalid_claim(f, "iss"),
            Reason::Audience => return self.invalid_claim(f, "aud"),
            Reason::UserId | Reason::Namespace => "Missing or invalid 'user_id'",
        })
    }
}

impl Refusal {
    fn invalid_claim(&self, f: &mut fmt::Formatter<'_>, claim: &str) -> fmt::Result {
        write!(f, "Invalid \"{claim}\" claim value: {}", self.quoted.as_deref().unwrap_or_default())
    }
}

impl std::error::Error for Refusal {}

impl Claim {
    /// Its name in a token.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Claim::IssuedAt => "iat",
            Claim::ExpiresAt => "exp",
            Claim::Issuer => "iss",
            Claim::Audience => "aud",
        }
    }
}

impl Reason {
    /// A short word for metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Reason::TooLong => "too_long",
            Reason::Segments => "segments",
            Reason::Encoding => "encoding",
            Reason::Header => "header",
            Reason::Extension => "extension",
            Reason::TokenType => "token_type",
            Reason::Algorithm(_) => "algorithm",
            Reason::Signature => "signature",
            Reason::Payload => "payload",
            Reason::Missing(_) => "missing_claim",
            Reason::IssuedAt | Reason::IssuedInFuture => "issued_at",
            Reason::TooOld => "too_old",
            Reason::ExpiresAt | Reason::Expired => "expired",
            Reason::NotBefore | Reason::NotYetValid => "not_before",
            Reason::Issuer => "issuer",
            Reason::Audience => "audience",
            Reason::UserId | Reason::Namespace => "user_id",
        }
    }

    /// The step that failed.
    #[must_use]
    pub const fn step(self) -> Step {
        match self {
            Reason::TooLong => Step::Size,
            Reason::Segments | Reason::Encoding => Step::Segments,
            Reason::Header | Reason::Extension | Reason::TokenType => Step::Header,
            Reason::Algorithm(_) => Step::Algorithm,
            Reason::Signature => Step::Signature,
            Reason::Payload => Step::Payload,
            Reason::Missing(Claim::IssuedAt) | Reason::IssuedAt | Reason::IssuedInFuture | Reason::TooOld => {
                Step::IssuedAt
            }
            Reason::Missing(Claim::ExpiresAt) | Reason::ExpiresAt | Reason::Expired => Step::Expiry,
            Reason::NotBefore | Reason::NotYetValid => Step::NotBefore,
            Reason::Missing(Claim::Issuer) | Reason::Issuer => Step::Issuer,
            Reason::Missing(Claim::Audience) | Reason::Audience => Step::Audience,
            Reason::UserId | Reason::Namespace => Step::User,
        }
    }

    /// What went wrong and how to mend it, for the operator. Holds no part of the token.
    #[must_use]
    pub fn advice(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Reason::TooLong => {
                "The token is longer than AUTH_TOKEN_MAX_BYTES allows. Put less into its claims."
            }
            Reason::Segments => {
                "A token has three segments with a dot between them. Was it cut when it was copied, or is it no JWT (an \
                 encrypted one has five)?"
            }
            Reason::Encoding => {
                "Each segment has to be base64url without padding or blanks. Was the token altered when it was copied?"
            }
            Reason::Header => {
                "The first segment has to be a JSON object in which no name occurs twice. Is this a JWT at all?"
            }
            Reason::Extension => {
                "The header asks for an extension (crit) or compression (zip), which are not supported. Let the issuer \
                 leave them out."
            }
            Reason::TokenType => {
                "The header's typ says that the token is meant for something else. Let the issuer set typ to JWT, or \
                 check AUTH_JWT_TYP."
            }
            Reason::Algorithm(expected) => {
                return Cow::Owned(format!(
                    "AUTH_JWT_ALG is {expected} and the token's alg is not. Let the issuer sign with {expected}, or \
                     configure the issuer's algorithm and key."
                ));
            }
            Reason::Signature => {
                "The token was not signed with the configured key, or was altered since. Check that AUTH_JWT_KEY belongs \
                 to the issuer, and AUTH_JWT_KEY_IS_BASE64_ENCODED if the key is a secret."
            }
            Reason::Payload => "The second segment has to be a JSON object in which no name occurs twice.",
            Reason::Missing(Claim::IssuedAt) => "Let the issuer add iat, the time of issue in seconds.",
            Reason::Missing(Claim::ExpiresAt) => "Let the issuer add exp, the time of expiry in seconds.",
            Reason::Missing(Claim::Issuer) => {
                "AUTH_JWT_ISS is set, so tokens need iss. Add it, or unset AUTH_JWT_ISS."
            }
            Reason::Missing(Claim::Audience) => {
                "AUTH_JWT_AUD is set, so tokens need aud. Add it, or unset AUTH_JWT_AUD."
            }
            Reason::IssuedAt => {
                "iat has to be a number of seconds since 1970, not negative and not a string."
            }
            Reason::IssuedInFuture => {
                "The token was issued in the future. Compare the clocks of issuer and service, and see whether iat is in \
                 seconds, not milliseconds; AUTH_JWT_LEEWAY allows for small differences."
            }
            Reason::TooOld => "The token is older than AUTH_JWT_MAX_AGE. Get a fresh one.",
            Reason::ExpiresAt => {
                "exp has to be a number of seconds since 1970, not negative and not a string."
            }
            Reason::Expired => {
                "The token has expired. Get a fresh one, and see whether the service's clock is right."
            }
            Reason::NotBefore => {
                "nbf has to be a number of seconds since 1970, not negative and not a string."
            }
            Reason::NotYetValid => {
                "nbf lies in the future. Wait, or compare the clocks of issuer and service; AUTH_JWT_LEEWAY allows for \
                 small differences."
            }
            Reason::Issuer => "iss has to be a string equal to AUTH_JWT_ISS (or to one of its items).",
            Reason::Audience => {
                "aud has to be AUTH_JWT_AUD (or one of its items), or an array that holds it."
            }
            Reason::UserId => {
                "The token has to name its user: sub (or user_id) has to be a string that is not blank; a number has to be \
                 written as a string. With AUTH_JWT_NAMESPACE it is looked for inside that claim only."
            }
            Reason::Namespace => {
                "AUTH_JWT_NAMESPACE names a claim that this token does not have, or that is no object. Put sub into it, or \
                 unset AUTH_JWT_NAMESPACE."
            }
        })
    }
}

impl Step {
    /// All steps in order.
    pub const ALL: [Step; 12] = [
        Step::Size,
        Step::Segments,
        Step::Header,
        Step::Algorithm,
        Step::Signature,
        Step::Payload,
        Step::IssuedAt,
        Step::Expiry,
        Step::NotBefore,
        Step::Issuer,
        Step::Audience,
        Step::User,
    ];

    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Step::Size => "size",
            Step::Segments => "segments",
            Step::Header => "header",
            Step::Algorithm => "algorithm",
            Step::Signature => "signature",
            Step::Payload => "payload",
            Step::IssuedAt => "issued at",
            Step::Expiry => "expiry",
            Step::NotBefore => "not before",
            Step::Issuer => "issuer",
            Step::Audience => "audience",
            Step::User => "user",
        }
    }
}
