//! What is wrong with a setting, and how to mend it. Never quotes a key.

use crate::{Algorithm, KeyError, RSA_MAX_BITS, RSA_MIN_BITS, settings::AUTH_JWT_KEY};

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    variable: &'static str,
    message: String,
}

impl ConfigError {
    pub(crate) fn new(variable: &'static str, message: String) -> ConfigError {
        ConfigError { variable, message }
    }

    /// A wrong value, quoted; for variables that hold no key. What looks like a key in the wrong place is not quoted.
    pub(crate) fn invalid(variable: &'static str, value: &str, allowed: &str) -> ConfigError {
        let shown = if value.contains("-----BEGIN") { "…" } else { value };
        ConfigError::new(variable, format!("{variable} has invalid value: {shown:?}. {allowed}"))
    }

    /// The key can't be used with the algorithm.
    pub(crate) fn key(algorithm: Algorithm, error: KeyError) -> ConfigError {
        let message = match error {
            KeyError::TooShort { needed, found } => format!(
                "AUTH_JWT_KEY has to be at least {needed} bytes long for {algorithm}. It has {found}. Make a strong one with: \
                 tieline keys generate --alg {algorithm}"
            ),
            KeyError::TooSmall(bits) => format!(
                "AUTH_JWT_KEY holds an RSA key of {bits} bits. At least {RSA_MIN_BITS} bits are needed. Make a strong one with: \
                 tieline keys generate --alg {algorithm}"
            ),
            KeyError::TooLarge(bits) => {
                format!(
                    "AUTH_JWT_KEY holds an RSA key of {bits} bits. At most {RSA_MAX_BITS} bits are supported"
                )
            }
            KeyError::Private => {
                "AUTH_JWT_KEY holds a private key. The service needs the public key only, and a private key \
                 should never leave the issuer of tokens. Extract the public half and use that:\n\n    \
                 openssl pkey -in private.pem -pubout -out public.pem"
                    .to_owned()
            }
            other => format!(
                "AUTH_JWT_KEY is not a valid key for AUTH_JWT_ALG={algorithm} or it has invalid format. {other}. It has to be \
                 a public key in PEM form, which looks like this:\n\n    \
                 -----BEGIN PUBLIC KEY-----\n    \
                 lines of base64 text\n    \
                 -----END PUBLIC KEY-----"
            ),
        };
        ConfigError::new(AUTH_JWT_KEY, message)
    }

    /// Says that the key came from a file.
    pub(crate) fn of_file(mut self) -> ConfigError {
        self.message.push_str("\n\n(The key was read from the file that AUTH_JWT_KEY_FILE names.)");
        self
    }

    /// The variable that is to be mended.
    #[must_use]
    pub fn variable(&self) -> &'static str {
        self.variable
    }
}
