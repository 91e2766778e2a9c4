//! The environment variables of this crate: one constant for each name, and one line of documentation from which
//! `--help` and the reference page are made.

/// One environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// What holds when it is unset, empty or blank, in words.
    pub default: &'static str,
    /// What it does, in a sentence.
    pub doc: &'static str,
}

macro_rules! settings {
    ($($name:ident $default:literal $doc:literal)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`: ", $doc)]
            pub const $name: &str = stringify!($name);
        )*
        /// All settings of authentication (spec 01 §2), in the order of the reference.
        pub const SETTINGS: &[Setting] = &[$(Setting { name: $name, default: $default, doc: $doc }),*];
    };
}

settings! {
    AUTH_MODE "`secure`"
        "`secure` verifies tokens; `insecure` ignores their signatures and is for development and tests only."
    AUTH_JWT_ALG "required in secure mode"
        "Algorithm that tokens are signed with: `HS256 HS384 HS512 RS256 RS384 RS512 ES256 ES384 ES512 EdDSA PS256 PS384 PS512`."
    AUTH_JWT_KEY "required in secure mode"
        "Key that verifies tokens: a secret of at least 32, 48 or 64 bytes for `HS*`, else a public key or certificate in PEM form."
    AUTH_JWT_KEY_FILE "none"
        "File that holds the key, instead of `AUTH_JWT_KEY`; for secrets of Docker and Kubernetes."
    AUTH_JWT_KEY_IS_BASE64_ENCODED "`false`"
        "Whether the key is base64 of the real one."
    AUTH_JWT_NAMESPACE "none"
        "Name of the claim under which `sub` and your own claims live."
    AUTH_JWT_ISS "any issuer"
        "Required value of the claim `iss`; a comma-separated list means any of them."
    AUTH_JWT_AUD "any audience"
        "Required value of the claim `aud`; a comma-separated list means any of them."
    AUTH_JWT_TYP "any usual type"
        "Required value of the header's `typ`, such as `JWT` or `at+jwt`."
    AUTH_JWT_LEEWAY "`2s`"
        "How far clocks may differ when `iat`, `nbf` and `exp` are judged, up to 300s."
    AUTH_JWT_MAX_AGE "`off`"
        "Refuse tokens that were issued longer ago than this."
    AUTH_TOKEN_EXPIRY "`enforce`"
        "`enforce` closes a live connection when its token expires; `connect-only` looks at expiry only when a token is presented."
    AUTH_TOKEN_MAX_BYTES "`16384`"
        "Longest token in bytes, up to 65536."
}

/// Sources of keys that other services know; refused with advice rather than ignored.
pub(crate) const AUTH_JWKS_URL: &str = "AUTH_JWKS_URL";
pub(crate) const AUTH_JWKS_FILE: &str = "AUTH_JWKS_FILE";
