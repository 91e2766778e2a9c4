//! Keys that verify signatures, each checked for form and strength when it is read (spec 01 §3).

mod der;
pub(crate) mod pem;
mod public;
mod signing;

use std::fmt;

use aws_lc_rs::{
    hmac,
    signature::{self, ParsedPublicKey, VerificationAlgorithm},
};

pub use self::signing::{GeneratedKey, SigningError, SigningKey};
use self::{der::NotDer, public::PublicKey};
use crate::algorithm::{Algorithm, Curve, Family};

/// Smallest RSA modulus in bits.
pub const RSA_MIN_BITS: usize = 2048;
/// Largest RSA modulus in bits; beyond it one verification would take too long.
pub const RSA_MAX_BITS: usize = 8192;

/// A key that verifies signatures of one algorithm.
#[derive(Clone)]
pub struct VerificationKey {
    algorithm: Algorithm,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Secret(Box<hmac::Key>),
    Public {
        key: ParsedPublicKey,
        /// The only length in bytes that a signature can have.
        signature_len: usize,
    },
}

/// Why a key can't be used. Never holds any part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// An HMAC secret below the strength rule.
    #[error("the secret is {found} bytes long, at least {needed} are needed")]
    TooShort {
        /// Bytes it must have.
        needed: usize,
        /// Bytes it has.
        found: usize,
    },
    /// No PEM block in the value.
    #[error("It holds no PEM block (-----BEGIN …)")]
    NotPem,
    /// More than one PEM block.
    #[error("It holds more than one PEM block: keep only the public key that tokens are signed for")]
    SeveralBlocks,
    /// A PEM block that is no public key.
    #[error("Its PEM block is neither PUBLIC KEY, RSA PUBLIC KEY nor CERTIFICATE")]
    UnknownBlock,
    /// A PEM block that can't be decoded.
    #[error("Its PEM block is damaged: copy the whole key again, with its BEGIN and END lines")]
    Damaged,
    /// A private key.
    #[error("It is a private key")]
    Private,
    /// A key of another type or curve than the algorithm needs.
    #[error("It is {0}")]
    OtherType(&'static str),
    /// An RSA key below [`RSA_MIN_BITS`].
    #[error("the RSA key has {0} bits, at least {RSA_MIN_BITS} are needed")]
    TooSmall(usize),
    /// An RSA key above [`RSA_MAX_BITS`].
    #[error("the RSA key has {0} bits, at most {RSA_MAX_BITS} are supported")]
    TooLarge(usize),
}

/// The signature is not one of the key over the message. Deliberately says no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not match")]
pub struct BadSignature;

impl From<NotDer> for KeyError {
    fn from(_: NotDer) -> KeyError {
        KeyError::Damaged
    }
}

impl VerificationKey {
    /// A shared secret, used byte for byte.
    ///
    /// # Errors
    /// The secret is shorter than the algorithm's hash, or the algorithm needs no secret but a public key.
    pub fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Result<VerificationKey, KeyError> {
        let hash = hmac_algorithm(algorithm).ok_or(KeyError::NotPem)?;
        check_secret(algorithm, secret)?;
        Ok(VerificationKey { algorithm, material: Material::Secret(Box::new(hmac::Key::new(hash, secret))) })
    }

    /// A public key in PEM: `PUBLIC KEY`, `RSA PUBLIC KEY` or `CERTIFICATE`.
    ///
    /// # Errors
    /// It can't be read, is private, weak, or of another type than the algorithm needs.
    pub fn from_pem(algorithm: Algorithm, value: &[u8]) -> Result<VerificationKey, KeyError> {
        if pem::holds_private_key(value) {
            return Err(KeyError::Private);
        }
        let block = pem::parse(value)?;
        let (bytes, signature_len) = match (public::identify(&block.label, &block.der)?, algorithm.family()) {
            (PublicKey::Rsa { pss_only: true, .. }, Family::Rsa) if !algorithm.is_pss() => {
                return Err(KeyError::OtherType(
                    "an RSA key for PSS signatures only: use PS256, PS384 or PS512",
                ));
            }
            (PublicKey::Rsa { bits, .. }, Family::Rsa) if bits < RSA_MIN_BITS => {
                return Err(KeyError::TooSmall(bits));
            }
            (PublicKey::Rsa { bits, .. }, Family::Rsa) if bits > RSA_MAX_BITS => {
                return Err(KeyError::TooLarge(bits));
            }
            (PublicKey::Rsa { pkcs1, bits, .. }, Family::Rsa) => (pkcs1, bits.div_ceil(8)),
            (PublicKey::Ec { point, curve }, Family::Ec(needed)) if curve == needed => {
                (point, 2 * curve.coordinate_len())
            }
            (PublicKey::Ed25519(key), Family::Ed25519) => (key, 64),
            (other, _) => return Err(KeyError::OtherType(describe(&other))),
        };
        let method = public_key_algorithm(algorithm).ok_or(KeyError::Damaged)?;
        let key = ParsedPublicKey::new(method, bytes).map_err(|_| KeyError::Damaged)?;
        Ok(VerificationKey { algorithm, material: Material::Public { key, signature_len } })
    }

    /// The only algorithm it is used with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Checks a signature over a message; HMAC in constant time.
    ///
    /// # Errors
    /// The signature has another length than key and algorithm give, or does not match.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        match &self.material {
            Material::Secret(key) => hmac::verify(key, message, signature).map_err(|_| BadSignature),
            Material::Public { signature_len, .. } if signature.len() != *signature_len => Err(BadSignature),
            Material::Public { key, .. } => key.verify_sig(message, signature).map_err(|_| BadSignature),
        }
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn check_secret(algorithm: Algorithm, secret: &[u8]) -> Result<(), KeyError> {
    let needed = algorithm.hash_len();
    if secret.len() < needed { Err(KeyError::TooShort { needed, found: secret.len() }) } else { Ok(()) }
}

fn describe(key: &PublicKey<'_>) -> &'static str {
    match key {
        PublicKey::Rsa { .. } => "an RSA key",
        PublicKey::Ec { curve, .. } => match curve {
            Curve::P256 => "an EC key on curve P-256 (prime256v1)",
            Curve::P384 => "an EC key on curve P-384 (secp384r1)",
            Curve::P521 => "an EC key on curve P-521 (secp521r1)",
        },
        PublicKey::Ed25519(_) => "an Ed25519 key",
        PublicKey::OtherCurve => "an EC key on a curve that no supported algorithm uses",
        PublicKey::Other => "a key of a type that no supported algorithm uses",
    }
}

fn hmac_algorithm(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::Hs256 => Some(hmac::HMAC_SHA256),
        Algorithm::Hs384 => Some(hmac::HMAC_SHA384),
        Algorithm::Hs512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

fn public_key_algorithm(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
        Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
        Algorithm::Es512 => &signature::ECDSA_P521_SHA512_FIXED,
        Algorithm::EdDsa => &signature::ED25519,
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => return None,
    })
}
