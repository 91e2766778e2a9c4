//! Settings of the migrations proxy (spec 07 §1.4, with §0).

use std::path::PathBuf;

use postgres::url::Secret;
use proxy::{Certificate, CertificateError, Credentials};

use super::{
    parse::{self, ProxyPort},
    setting as s,
    source::{Notice, Source},
};

/// The migrations proxy, where it is on.
#[derive(Debug)]
pub struct ProxyConfig {
    /// Zero, which no setting can say, lets the system choose: for tests.
    pub port: u16,
    /// Whether it is to be reached through `HTTP_PORT` as well.
    pub tunnel: bool,
    /// The password, and how it is asked for.
    pub credentials: Credentials,
    /// TLS, if there is a certificate.
    pub certificate: Option<Certificate>,
    /// Most sessions at once.
    pub sessions: usize,
}

/// How clients prove that they know the password.
#[derive(Clone, Copy)]
enum Method {
    Scram,
    Md5,
}

/// Reads and judges everything, even if there is no password and so no proxy.
pub fn read(source: &mut Source<'_>) -> Option<ProxyConfig> {
    let password = source.text(s::PG_PROXY_PASSWORD).map(Secret::from);
    let ProxyPort { port, tunnel } = source.read(s::PG_PROXY_PORT, parse::proxy_port).unwrap_or_default();
    let words = [("scram-sha-256", Method::Scram), ("md5", Method::Md5)];
    let shown = ["scram-sha-256", "md5"];
    let method = source.read(s::TIELINE_PROXY_AUTH, |value| parse::word(value, &words, &shown));
    let sessions = source.read(s::TIELINE_PROXY_CONNECTIONS, |value| parse::integer(value, 1..=10_000));
    let certificate = read_certificate(source);
    let Some(password) = password else {
        source.notice(Notice::Info("PG_PROXY_PASSWORD is unset: the migrations proxy is off.".to_owned()));
        return None;
    };
    let credentials = match method.unwrap_or(Method::Scram) {
        Method::Scram => Credentials::scram(&password),
        Method::Md5 => Credentials::md5(password),
    };
    let credentials =
        credentials.map_err(|empty| source.fault(s::PG_PROXY_PASSWORD, &empty.to_string())).ok()?;
    Some(ProxyConfig { port, tunnel, credentials, certificate, sessions: sessions.unwrap_or(20) as usize })
}

/// The certificate, if both of its files are named.
fn read_certificate(source: &mut Source<'_>) -> Option<Certificate> {
    let chain = source.text(s::TIELINE_PROXY_TLS_CERT_FILE).map(PathBuf::from);
    let key = source.text(s::TIELINE_PROXY_TLS_KEY_FILE).map(PathBuf::from);
    match (chain, key) {
        (None, None) => None,
        (Some(chain), Some(key)) => match Certificate::load(&chain, &key) {
            Ok(certificate) => Some(certificate),
            Err(CertificateError::Certificate(fault)) => {
                source.fault(s::TIELINE_PROXY_TLS_CERT_FILE, &fault);
                None
            }
            Err(CertificateError::Key(fault)) => {
                source.fault(s::TIELINE_PROXY_TLS_KEY_FILE, &fault);
                None
            }
        },
        (Some(_), None) => {
            source.fault(s::TIELINE_PROXY_TLS_KEY_FILE, "not set, though the certificate is");
            None
        }
        (None, Some(_)) => {
            source.fault(s::TIELINE_PROXY_TLS_CERT_FILE, "not set, though its key is");
            None
        }
    }
}
