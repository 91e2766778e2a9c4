//! Where the key comes from and what has to be undone before it is one (spec 01 §2, §3).

use std::{fs::File, io::Read as _, path::Path};

use zeroize::Zeroizing;

use super::{
    ConfigError,
    reader::{Lookup, Reader, is_blank},
};
use crate::{Algorithm, Family, VerificationKey, base64_text, key::pem, settings as s, values};

/// Most bytes of a key file that are read.
const MAX_FILE: u64 = 64 * 1024;

/// A configured key, as it stands.
struct Source {
    value: Zeroizing<Vec<u8>>,
    from_file: bool,
}

impl Source {
    fn error(&self, error: ConfigError) -> ConfigError {
        if self.from_file { error.of_file() } else { error }
    }
}

/// Reads the key for this algorithm. `None` if something is wrong, of which the reader knows. Without an algorithm only
/// what does not depend on it is checked.
pub(super) fn read(reader: &mut Reader<'_>, algorithm: Option<Algorithm>) -> Option<VerificationKey> {
    let source = find(reader);
    let encoded = is_encoded(reader);
    let secret = algorithm.is_some_and(|algorithm| algorithm.family() == Family::Hmac);
    let source = undo_base64(reader, source?, encoded?, secret)?;
    let algorithm = algorithm?;
    let key = if secret {
        if pem::looks_like_pem(&source.value) && !pem::holds_private_key(&source.value) {
            reader.warn(format!(
                "AUTH_JWT_KEY is a public key or certificate, but AUTH_JWT_ALG={algorithm} uses it as a secret: whoever \
                 knows this public key can sign tokens. Set AUTH_JWT_ALG to the algorithm that the key is for."
            ));
        }
        VerificationKey::from_secret(algorithm, &source.value)
    } else {
        VerificationKey::from_pem(algorithm, &source.value)
    };
    key.map_err(|error| reader.error(source.error(ConfigError::key(algorithm, error)))).ok()
}

/// The configured key as bytes, base64 undone if so configured, for signing with a shared secret.
///
/// # Errors
/// What is wrong with the settings of the key, or that there is none.
pub fn configured_secret(lookup: Lookup<'_>) -> Result<Zeroizing<Vec<u8>>, Vec<ConfigError>> {
    let mut reader = Reader::new(lookup);
    let source = find(&mut reader);
    let encoded = is_encoded(&mut reader);
    let value = match (source, encoded) {
        (Some(source), Some(encoded)) => {
            undo_base64(&mut reader, source, encoded, true).map(|source| source.value)
        }
        _ => None,
    };
    reader.finish(value).map(|(value, _)| value)
}

fn find(reader: &mut Reader<'_>) -> Option<Source> {
    let value = reader.bytes(s::AUTH_JWT_KEY);
    let file = reader.bytes(s::AUTH_JWT_KEY_FILE);
    let jwks = [s::AUTH_JWKS_URL, s::AUTH_JWKS_FILE].into_iter().find(|name| reader.bytes(name).is_some());
    let clash = |a: &'static str, b: &str| {
        ConfigError::new(
            a,
            format!("{a} and {b} are both set. Keep the one that holds the right key and unset the other"),
        )
    };
    let error = match (value, file, jwks) {
        (Some(value), None, None) => return Some(Source { value, from_file: false }),
        (None, Some(path), None) => match read_file(&path) {
            Ok(value) => return Some(Source { value, from_file: true }),
            Err(message) => ConfigError::new(s::AUTH_JWT_KEY_FILE, message),
        },
        (Some(_), Some(_), _) => clash(s::AUTH_JWT_KEY, s::AUTH_JWT_KEY_FILE),
        (Some(_), None, Some(jwks)) => clash(s::AUTH_JWT_KEY, jwks),
        (None, Some(_), Some(jwks)) => clash(s::AUTH_JWT_KEY_FILE, jwks),
        (None, None, Some(jwks)) => ConfigError::new(
            s::AUTH_JWT_KEY,
            format!(
                "AUTH_JWT_KEY not set. {jwks} is not supported by this version: set AUTH_JWT_KEY or AUTH_JWT_KEY_FILE to the \
                 public key of the issuer, and unset {jwks}"
            ),
        ),
        (None, None, None) => ConfigError::new(
            s::AUTH_JWT_KEY,
            "AUTH_JWT_KEY not set. It has to hold the key that verifies tokens (or AUTH_JWT_KEY_FILE the name of a file with \
             it). Make one with: tieline keys generate --alg ES256"
                .to_owned(),
        ),
    };
    reader.error(error);
    None
}

/// `None` if the setting is wrong.
fn is_encoded(reader: &mut Reader<'_>) -> Option<bool> {
    if reader.bytes(s::AUTH_JWT_KEY_IS_BASE64_ENCODED).is_none() {
        return Some(false);
    }
    let allowed = "Must be true or false (or 1, 0, yes, no, on, off)";
    reader.parse(s::AUTH_JWT_KEY_IS_BASE64_ENCODED, values::boolean, allowed)
}

fn undo_base64(reader: &mut Reader<'_>, source: Source, encoded: bool, secret: bool) -> Option<Source> {
    if !encoded {
        return Some(source);
    }
    if !secret && pem::begins_with_pem(&source.value) {
        reader.warn(
            "AUTH_JWT_KEY_IS_BASE64_ENCODED is set, but AUTH_JWT_KEY is plain PEM text and is used as it is. Unset \
             AUTH_JWT_KEY_IS_BASE64_ENCODED."
                .to_owned(),
        );
        return Some(source);
    }
    if let Some(value) = base64_text::decode_key(&source.value) {
        return Some(Source { value, ..source });
    }
    reader.error(source.error(ConfigError::new(
        s::AUTH_JWT_KEY,
        "AUTH_JWT_KEY has invalid base64 encoding. Correct it, or unset AUTH_JWT_KEY_IS_BASE64_ENCODED if it is the key itself"
            .to_owned(),
    )));
    None
}

/// The content of a key file without its last line end. The error does not name the file: a key that was put into the
/// wrong variable would be shown.
fn read_file(path: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
    let fault = |what: &str| {
        format!("AUTH_JWT_KEY_FILE names a file that {what}. It has to hold the key and nothing else")
    };
    let path = std::str::from_utf8(path).map_err(|_| fault("can't be found: the name is no UTF-8"))?;
    let mut value = Zeroizing::new(Vec::new());
    File::open(Path::new(path))
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut value))
        .map_err(|error| fault(&format!("can't be read: {error}")))?;
    if value.len() as u64 > MAX_FILE {
        return Err(fault("is larger than 64 KiB"));
    }
    if value.last() == Some(&b'\n') {
        value.pop();
        if value.last() == Some(&b'\r') {
            value.pop();
        }
    }
    if is_blank(&value) { Err(fault("is empty")) } else { Ok(value) }
}
