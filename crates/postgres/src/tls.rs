//! TLS to Postgres (spec 07 §3, with §0): when it is used, what is verified, and what SCRAM is bound to.

use std::{
    fmt, fs, io,
    sync::{Arc, OnceLock},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};

use crate::url::{SslMode, UrlOptions};

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsPolicy {
    /// Never.
    Disabled,
    /// If the server can; otherwise, or if that fails, in plain text.
    Opportunistic,
    /// Always.
    Required,
}

/// What is checked of the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Nothing: it encrypts, but proves nothing about who is at the other end.
    None,
    /// That a trusted authority issued it.
    Authority,
    /// That, and that it was issued for this host.
    AuthorityAndHost,
}

/// The TLS side of a connection string. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    /// Whether to encrypt.
    pub policy: TlsPolicy,
    /// What to verify.
    pub verification: Verification,
    roots: Option<String>,
    client: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("policy", &self.policy).field("verification", &self.verification).finish()
    }
}

/// The trusted authorities can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file can't be read.
    #[error("sslrootcert {path:?} can't be read: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file holds no certificate.
    #[error("sslrootcert {0:?} holds no certificate in PEM form")]
    Empty(String),
    /// The TLS library refuses the settings.
    #[error("TLS can't be set up: {0}")]
    Setup(String),
}

impl Tls {
    /// Decides by the table of spec 07 §3. `DATABASE_REQUIRE_SSL` wins over `sslmode`; without either TLS is required.
    /// A verify mode or `sslrootcert` is never given up for a plain connection: the second value is a warning if that
    /// overrides `DATABASE_REQUIRE_SSL=false`.
    #[must_use]
    pub fn decide(require_ssl: Option<bool>, options: &UrlOptions) -> (Tls, Option<String>) {
        let verification = match (options.ssl_mode, &options.ssl_root_cert) {
            (Some(SslMode::VerifyFull), _) => Verification::AuthorityAndHost,
            (Some(SslMode::VerifyCa), _) => Verification::Authority,
            (Some(SslMode::Disable), _) | (_, None) => Verification::None,
            (_, Some(roots)) if roots == "system" => Verification::AuthorityAndHost,
            (_, Some(_)) => Verification::Authority,
        };
        let mut warning = None;
        let policy = match (require_ssl, options.ssl_mode) {
            (Some(true), _) => TlsPolicy::Required,
            (Some(false), _) if verification != Verification::None => {
                warning = Some(
                    "asks for a verified certificate, so that DATABASE_REQUIRE_SSL=false is ignored"
                        .to_owned(),
                );
                TlsPolicy::Required
            }
            (_, Some(SslMode::Disable)) => TlsPolicy::Disabled,
            (Some(false), _) => TlsPolicy::Opportunistic,
            (None, Some(SslMode::Allow | SslMode::Prefer)) if verification == Verification::None => {
                TlsPolicy::Opportunistic
            }
            (None, _) => TlsPolicy::Required,
        };
        let tls = Tls { policy, verification, roots: options.ssl_root_cert.clone(), client: Arc::default() };
        (tls, warning)
    }

    /// The client side of the TLS library, set up at the first call.
    ///
    /// # Errors
    /// [`RootsError`] if the trusted authorities can't be loaded.
    pub fn client(&self) -> Result<Arc<ClientConfig>, RootsError> {
        if let Some(client) = self.client.get() {
            return Ok(Arc::clone(client));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match self.verification {
            Verification::None => Arc::new(Unverified(Arc::clone(&provider))),
            Verification::Authority => Arc::new(AnyHost(self.authorities(&provider)?)),
            Verification::AuthorityAndHost => self.authorities(&provider)?,
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| RootsError::Setup(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Arc::clone(self.client.get_or_init(|| Arc::new(config))))
    }

    fn authorities(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, RootsError> {
        let mut roots = RootCertStore::empty();
        match self.roots.as_deref() {
            None | Some("system") => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => {
                let pem =
                    fs::read(path).map_err(|source| RootsError::Read { path: path.to_owned(), source })?;
                let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
                roots.add_parsable_certificates(certificates);
                if roots.is_empty() {
                    return Err(RootsError::Empty(path.to_owned()));
                }
            }
        }
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| RootsError::Setup(error.to_string()))
    }
}

/// Accepts any certificate, but still checks that the peer holds its key.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

/// Checks the authority and leaves the host name aside (`verify-ca`).
#[derive(Debug)]
struct AnyHost(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The host is compared last, after everything about the authority.
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// What SCRAM's `tls-server-end-point` binding is made of: the certificate's hash under the hash function of its own
/// signature, SHA-256 where that is weaker (RFC 5929 §4.1). `None` if the signature names no single hash function.
#[must_use]
pub fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

    // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { algorithm OBJECT IDENTIFIER, … }, … }
    let (certificate_body, _) = der_element(certificate, 0x30)?;
    let (_, rest) = der_element(certificate_body, 0x30)?;
    let (algorithm, _) = der_element(rest, 0x30)?;
    let (oid, _) = der_element(algorithm, 0x06)?;
    const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01];
    const ECDSA_SHA2: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03];
    const ECDSA_SHA1: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x01];
    let hash: &Algorithm = match (oid.strip_prefix(RSA), oid.strip_prefix(ECDSA_SHA2)) {
        (Some([4 | 5 | 11]), _) | (_, Some([2])) => &SHA256,
        (Some([12]), _) | (_, Some([3])) => &SHA384,
        (Some([13]), _) | (_, Some([4])) => &SHA512,
        _ if oid == ECDSA_SHA1 => &SHA256,
        _ => return None,
    };
    Some(digest(hash, certificate).as_ref().to_vec())
}

/// The content of a DER element with this tag, and what follows it.
fn der_element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7F => (usize::from(length), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x0F))?;
            (digits.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (first == tag).then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::url::DatabaseUrl;

    fn decide(require_ssl: Option<bool>, query: &str) -> (TlsPolicy, Verification) {
        let url = DatabaseUrl::parse(&format!("postgres://me@h/d?{query}")).unwrap();
        let (tls, _) = Tls::decide(require_ssl, &url.options);
        (tls.policy, tls.verification)
    }

    #[test]
    fn follows_the_table_of_settings() {
        use TlsPolicy::{Disabled, Opportunistic, Required};
        use Verification::{Authority, AuthorityAndHost, None as Nothing};
        for (require_ssl, query, expected) in [
            (None, "", (Required, Nothing)),
            (None, "sslmode=require", (Required, Nothing)),
            (None, "sslmode=prefer", (Opportunistic, Nothing)),
            (None, "sslmode=allow", (Opportunistic, Nothing)),
            (None, "sslmode=disable", (Disabled, Nothing)),
            (Some(true), "sslmode=disable", (Required, Nothing)),
            (Some(true), "sslmode=prefer", (Required, Nothing)),
            (Some(false), "", (Opportunistic, Nothing)),
            (Some(false), "sslmode=require", (Opportunistic, Nothing)),
            (Some(false), "sslmode=disable", (Disabled, Nothing)),
            (None, "sslmode=verify-ca", (Required, Authority)),
            (None, "sslmode=verify-full", (Required, AuthorityAndHost)),
            (Some(false), "sslmode=verify-full", (Required, AuthorityAndHost)),
            (None, "sslrootcert=/ca.pem", (Required, Authority)),
            (None, "sslrootcert=system", (Required, AuthorityAndHost)),
            (None, "sslmode=prefer&sslrootcert=/ca.pem", (Required, Authority)),
        ] {
            assert_eq!(decide(require_ssl, query), expected, "{require_ssl:?} {query}");
        }
    }

    #[test]
    fn names_a_file_of_authorities_that_can_not_be_used() {
        let url = DatabaseUrl::parse("postgres://me@h/d?sslrootcert=/no/such.pem").unwrap();
        let error = Tls::decide(None, &url.options).0.client().unwrap_err();
        assert!(error.to_string().starts_with("sslrootcert \"/no/such.pem\" can't be read"), "{error}");
    }

    #[test]
    fn binds_to_the_hash_of_the_certificate() {
        // SEQUENCE { SEQUENCE {}, SEQUENCE { OID ecdsa-with-SHA384 } }
        let certificate = [0x30, 14, 0x30, 0, 0x30, 10, 6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x03];
        assert_eq!(end_point(&certificate).map(|hash| hash.len()), Some(48));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_certificate_or_not(bytes: Vec<u8>) {
            let _ = end_point(&bytes);
        }
    }
}
