//! Keys that sign: for `tieline keys generate`, `tieline token mint`, development mode and tests. The service itself
//! never signs anything.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der},
    error::Unspecified,
    hmac, rand,
    rsa::KeySize,
    signature::{
        self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding, RsaKeyPair,
    },
};
use base64::Engine as _;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{KeyError, check_secret, hmac_algorithm, pem};
use crate::{
    algorithm::{Algorithm, Curve, Family},
    base64_text::{STRICT_STANDARD, TOKEN},
};

/// A key that signs tokens with one algorithm.
pub struct SigningKey {
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    Secret(Box<hmac::Key>),
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// A fresh key in the forms in which it is stored and configured.
pub struct GeneratedKey {
    /// For HMAC the secret as text, otherwise PKCS#8 in PEM. To be kept where only the issuer of tokens can read it.
    pub private: Zeroizing<String>,
    /// SPKI in PEM; `None` for HMAC.
    pub public: Option<String>,
}

/// A key can't sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// The key is unusable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Not a private key in a form that is understood.
    #[error(
        "this is not an unencrypted private key in PEM form (PKCS#8, -----BEGIN PRIVATE KEY-----) for this algorithm; \
         `openssl pkcs8 -topk8 -nocrypt -in key.pem` converts older forms"
    )]
    NotPrivate,
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Library,
}

impl From<Unspecified> for SigningError {
    fn from(_: Unspecified) -> SigningError {
        SigningError::Library
    }
}

impl SigningKey {
    /// A shared secret, used byte for byte.
    ///
    /// # Errors
    /// The secret is shorter than the algorithm's hash, or the algorithm needs a private key instead.
    pub fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Result<SigningKey, SigningError> {
        let hash = hmac_algorithm(algorithm).ok_or(SigningError::NotPrivate)?;
        check_secret(algorithm, secret)?;
        Ok(SigningKey { algorithm, material: Material::Secret(Box::new(hmac::Key::new(hash, secret))) })
    }

    /// A private key in PEM: `PRIVATE KEY` (PKCS#8), and `RSA PRIVATE KEY`, `EC PRIVATE KEY`.
    ///
    /// # Errors
    /// It can't be read, or is of another type than the algorithm needs.
    pub fn from_pem(algorithm: Algorithm, value: &[u8]) -> Result<SigningKey, SigningError> {
        let block = pem::parse(value)?;
        let der: &[u8] = &block.der;
        let material = match (algorithm.family(), block.label.as_str()) {
            (Family::Ec(curve), "PRIVATE KEY") => {
                EcdsaKeyPair::from_pkcs8(ec_signing(curve), der).map(Material::Ec).ok()
            }
            (Family::Ec(curve), "EC PRIVATE KEY") => {
                EcdsaKeyPair::from_private_key_der(ec_signing(curve), der).map(Material::Ec).ok()
            }
            (Family::Rsa, "PRIVATE KEY") => RsaKeyPair::from_pkcs8(der).map(Material::Rsa).ok(),
            (Family::Rsa, "RSA PRIVATE KEY") => RsaKeyPair::from_der(der).map(Material::Rsa).ok(),
            (Family::Ed25519, "PRIVATE KEY") => {
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Material::Ed25519).ok()
            }
            _ => None,
        };
        Ok(SigningKey { algorithm, material: material.ok_or(SigningError::NotPrivate)? })
    }

    /// The usual algorithm for a private key in PEM: by its curve, `RS256` for RSA. `None` if it is none.
    #[must_use]
    pub fn algorithm_of_pem(value: &[u8]) -> Option<Algorithm> {
        [Algorithm::Es256, Algorithm::Es384, Algorithm::Es512, Algorithm::EdDsa, Algorithm::Rs256]
            .into_iter()
            .find(|algorithm| SigningKey::from_pem(*algorithm, value).is_ok())
    }

    /// The only algorithm it is used with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Signs a message, in the form that JWS wants (RFC 7518 §3).
    ///
    /// # Errors
    /// The cryptographic library failed.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        let rng = rand::SystemRandom::new();
        match &self.material {
            Material::Secret(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Material::Ec(key) => Ok(key.sign(&rng, message)?.as_ref().to_vec()),
            Material::Ed25519(key) => Ok(key.try_sign(message)?.as_ref().to_vec()),
            Material::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(rsa_encoding(self.algorithm)?, &rng, message, &mut signature)?;
                Ok(signature)
            }
        }
    }

    /// Makes a signed token of these claims.
    ///
    /// # Errors
    /// The cryptographic library failed.
    pub fn token(&self, claims: &Map<String, Value>, key_id: Option<&str>) -> Result<String, SigningError> {
        let mut token = unsigned_part(self.algorithm.name(), claims, key_id);
        let signature = self.sign(token.as_bytes())?;
        token.push('.');
        TOKEN.encode_string(signature, &mut token);
        Ok(token)
    }

    /// Makes a token without a signature, for insecure mode only.
    #[must_use]
    pub fn unsigned_token(claims: &Map<String, Value>, key_id: Option<&str>) -> String {
        unsigned_part("none", claims, key_id) + "."
    }

    /// Makes a fresh key. For HMAC a text of base64url characters that carries as many random bytes as the hash is long.
    ///
    /// # Errors
    /// The cryptographic library failed.
    pub fn generate(algorithm: Algorithm) -> Result<GeneratedKey, SigningError> {
        match algorithm.family() {
            Family::Hmac => {
                let mut secret = Zeroizing::new(vec![0; algorithm.hash_len()]);
                rand::fill(&mut secret)?;
                Ok(GeneratedKey { private: Zeroizing::new(TOKEN.encode(&*secret)), public: None })
            }
            Family::Ec(curve) => {
                let key = EcdsaKeyPair::generate(ec_signing(curve))?;
                pair(key.to_pkcs8v1()?.as_ref(), key.public_key().as_der()?)
            }
            Family::Ed25519 => {
                let key = Ed25519KeyPair::generate()?;
                pair(key.to_pkcs8v1()?.as_ref(), key.public_key().as_der()?)
            }
            Family::Rsa => {
                let key = RsaKeyPair::generate(KeySize::Rsa2048)?;
                let private: Pkcs8V1Der<'_> = key.as_der()?;
                pair(private.as_ref(), key.public_key().as_der()?)
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl fmt::Debug for GeneratedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeneratedKey").finish_non_exhaustive()
    }
}

fn unsigned_part(algorithm: &str, claims: &Map<String, Value>, key_id: Option<&str>) -> String {
    let mut header = json!({"alg": algorithm, "typ": "JWT"});
    if let (Some(key_id), Value::Object(members)) = (key_id, &mut header) {
        members.insert("kid".to_owned(), key_id.into());
    }
    let mut text = TOKEN.encode(header.to_string());
    text.push('.');
    TOKEN.encode_string(Value::Object(claims.clone()).to_string(), &mut text);
    text
}

#[allow(clippy::needless_pass_by_value, reason = "takes what the library hands out")]
fn pair(private: &[u8], public: PublicKeyX509Der<'_>) -> Result<GeneratedKey, SigningError> {
    Ok(GeneratedKey {
        private: Zeroizing::new(block("PRIVATE KEY", private)),
        public: Some(block("PUBLIC KEY", public.as_ref())),
    })
}

/// A PEM block with lines of 64 characters.
fn block(label: &str, der: &[u8]) -> String {
    let body = Zeroizing::new(STRICT_STANDARD.encode(der));
    let mut text = String::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 40);
    text.extend(["-----BEGIN ", label, "-----\n"]);
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        text.extend([line, "\n"]);
        rest = tail;
    }
    text.extend(["-----END ", label, "-----\n"]);
    text
}

fn ec_signing(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        Curve::P521 => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
    }
}

fn rsa_encoding(algorithm: Algorithm) -> Result<&'static dyn RsaEncoding, SigningError> {
    Ok(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
        _ => return Err(SigningError::NotPrivate),
    })
}
