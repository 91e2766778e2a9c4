//! TLS towards clients, when the service has a certificate.

use std::{fmt, io, path::Path, sync::Arc};

use postgres::{socket::Socket, tls::end_point};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// The name of what is spoken inside TLS; clients that begin with TLS at once name it.
const ALPN: &[u8] = b"postgresql";

/// A certificate with its key, ready for use. Cheap to clone; its `Debug` is blank.
#[derive(Clone)]
pub struct Certificate {
    acceptor: TlsAcceptor,
    end_point: Option<Arc<[u8]>>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(…)")
    }
}

/// The files can't be used. The texts name no content.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The certificate's file.
    #[error("{0}")]
    Certificate(String),
    /// The key's file.
    #[error("{0}")]
    Key(String),
}

impl Certificate {
    /// Loads a chain of certificates, the server's own first, and its private key, both in PEM form.
    ///
    /// # Errors
    /// [`CertificateError`] tells which of the two is at fault, in words that follow the name of its setting.
    pub fn load(chain: &Path, key: &Path) -> Result<Certificate, CertificateError> {
        let certificates = CertificateDer::pem_file_iter(chain)
            .and_then(Iterator::collect::<Result<Vec<_>, pem::Error>>)
            .map_err(|error| CertificateError::Certificate(describe(chain, &error)))?;
        let Some(own) = certificates.first() else {
            let fault = format!("names a file without a certificate in PEM form: {chain:?}");
            return Err(CertificateError::Certificate(fault));
        };
        let end_point = end_point(own).map(Arc::from);
        let key_file = key;
        let key = PrivateKeyDer::from_pem_file(key_file)
            .map_err(|error| CertificateError::Key(describe(key_file, &error)))?;
        let unusable = |error: rustls::Error| {
            CertificateError::Key(format!("names a key that can't be used with the certificate: {error}"))
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Certificate { acceptor: TlsAcceptor::from(Arc::new(config)), end_point })
    }

    /// Encrypts a connection. With `at_once` the client has to say by name that it wants Postgres' protocol.
    ///
    /// # Errors
    /// The handshake's.
    pub(crate) async fn accept(&self, tcp: TcpStream, at_once: bool) -> io::Result<Socket> {
        let stream = self.acceptor.accept(tcp).await?;
        if at_once && stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "TLS at once, for something else"));
        }
        Ok(Socket::Tls(Box::new(stream.into())))
    }

    /// What the certificate makes of SCRAM's `tls-server-end-point`.
    pub(crate) fn end_point(&self) -> Option<&[u8]> {
        self.end_point.as_deref()
    }
}

fn describe(file: &Path, error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => {
            format!("names a file that does not hold what it should, in PEM form: {file:?}")
        }
        pem::Error::Io(error) => format!("names a file that can't be read: {file:?} ({error})"),
        _ => format!("names a file that is not in PEM form: {file:?}"),
    }
}
