//! What public key a DER document holds: `SubjectPublicKeyInfo`, `RSAPublicKey`, or the key of an X.509 certificate,
//! whose dates, names and signature are of no concern here (spec 01 §3).

use super::{
    KeyError,
    der::{BIT_STRING, CONTEXT_0, Der, INTEGER, NULL, NotDer, OBJECT_IDENTIFIER, SEQUENCE},
};
use crate::algorithm::Curve;

/// 1.2.840.113549.1.1.1
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.2.840.113549.1.1.10
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
/// 1.2.840.10045.2.1
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.3.101.112
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// 1.2.840.10045.3.1.7
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// 1.3.132.0.34
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
/// 1.3.132.0.35
const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];

/// A public key, not yet checked against an algorithm.
pub(crate) enum PublicKey<'a> {
    /// An `RSAPublicKey` document.
    Rsa {
        pkcs1: &'a [u8],
        /// Size of the modulus.
        bits: usize,
        /// Its certificate or key info says that it is for RSASSA-PSS only.
        pss_only: bool,
    },
    /// A point, uncompressed or compressed.
    Ec { point: &'a [u8], curve: Curve },
    /// 32 bytes.
    Ed25519(&'a [u8]),
    /// An EC key on a curve that no supported algorithm uses.
    OtherCurve,
    /// A key of another kind: DSA, X25519, Ed448, …
    Other,
}

/// Reads the content of a PEM block with this label.
pub(crate) fn identify<'a>(label: &str, der: &'a [u8]) -> Result<PublicKey<'a>, KeyError> {
    let mut document = Der::new(der);
    let key = match label {
        "PUBLIC KEY" => key_info(&mut document)?,
        "RSA PUBLIC KEY" => return rsa(der, false).map_err(KeyError::from),
        "CERTIFICATE" => {
            let mut certificate = document.enter(SEQUENCE)?;
            let key = certificate_key(&mut certificate)?;
            certificate.enter(SEQUENCE)?;
            certificate.take(BIT_STRING)?;
            certificate.end()?;
            key
        }
        _ => return Err(KeyError::UnknownBlock),
    };
    document.end()?;
    Ok(key)
}

/// `TBSCertificate` up to and including its `subjectPublicKeyInfo`.
fn certificate_key<'a>(certificate: &mut Der<'a>) -> Result<PublicKey<'a>, NotDer> {
    let mut body = certificate.enter(SEQUENCE)?;
    if body.peek() == Some(CONTEXT_0) {
        body.enter(CONTEXT_0)?;
    }
    body.take(INTEGER)?; // serial number
    for _signature_issuer_validity_subject in 0..4 {
        body.enter(SEQUENCE)?;
    }
    key_info(&mut body)
}

/// `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7).
fn key_info<'a>(document: &mut Der<'a>) -> Result<PublicKey<'a>, NotDer> {
    let mut info = document.enter(SEQUENCE)?;
    let mut algorithm = info.enter(SEQUENCE)?;
    let key = info.bits()?;
    info.end()?;
    match algorithm.take(OBJECT_IDENTIFIER)? {
        RSA => {
            if !algorithm.is_empty() {
                algorithm.take(NULL)?;
            }
            algorithm.end()?;
            rsa(key, false)
        }
        // Parameters would restrict the hash and salt (RFC 4055 §3.1); keys made without them fit all three sizes.
        RSA_PSS if algorithm.is_empty() => rsa(key, true),
        EC => Ok(match algorithm.take(OBJECT_IDENTIFIER)? {
            P256 => PublicKey::Ec { point: key, curve: Curve::P256 },
            P384 => PublicKey::Ec { point: key, curve: Curve::P384 },
            P521 => PublicKey::Ec { point: key, curve: Curve::P521 },
            _ => PublicKey::OtherCurve,
        }),
        ED25519 if key.len() == 32 => Ok(PublicKey::Ed25519(key)),
        ED25519 => Err(NotDer),
        _ => Ok(PublicKey::Other),
    }
}

/// `RSAPublicKey` (RFC 8017 §A.1.1).
fn rsa(pkcs1: &[u8], pss_only: bool) -> Result<PublicKey<'_>, NotDer> {
    let mut document = Der::new(pkcs1);
    let mut key = document.enter(SEQUENCE)?;
    document.end()?;
    let modulus = key.positive_integer()?;
    key.positive_integer()?; // public exponent
    key.end()?;
    let first = modulus.first().ok_or(NotDer)?;
    let bits = modulus.len() * 8 - first.leading_zeros() as usize;
    Ok(PublicKey::Rsa { pkcs1, bits, pss_only })
}
