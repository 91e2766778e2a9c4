//! The upgrade request of a client: the checks of spec 02 §2.2 in their order, and the answer.

use axum::http::{HeaderMap, Method, Version, header, request::Parts};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use tungstenite::handshake::derive_accept_key;

/// What a well-formed request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// `Sec-WebSocket-Accept`.
    pub accept: String,
    /// `Sec-WebSocket-Protocol`, as the client wrote it.
    pub protocol: String,
}

/// Why a request is not upgraded. The text is the body of the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not RFC 6455.
    #[error("Bad request")]
    BadRequest,
    /// Nothing of the form `electric.<major>.<minor>` is offered.
    #[error("Missing satellite websocket subprotocol")]
    NoProtocol,
    /// Only versions outside the range are offered.
    #[error("Cannot connect satellite version {0}: this server requires >= 0.10.0 and <= 0.12.1")]
    Version(ProtocolVersion),
}

/// A version of the protocol, as `<major>.<minor>.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProtocolVersion {
    major: u64,
    minor: u64,
}

impl std::fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.0", self.major, self.minor)
    }
}

impl ProtocolVersion {
    /// Reads `electric.<major>.<minor>`, exactly.
    fn parse(offer: &str) -> Option<ProtocolVersion> {
        let version = offer.strip_prefix("electric.").filter(|version| version.len() < 20)?;
        let (major, minor) = version.split_once('.')?;
        let number = |text: &str| {
            let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
            if plain { text.parse().ok() } else { None }
        };
        Some(ProtocolVersion { major: number(major)?, minor: number(minor)? })
    }

    /// The range is a property of the protocol, not of the product.
    fn is_accepted(self) -> bool {
        self.major == 0 && (10..=12).contains(&self.minor)
    }
}

/// Judges a request.
///
/// # Errors
/// [`Refused`]: the first check that fails.
pub fn check(request: &Parts) -> Result<Accepted, Refused> {
    let accept = accept(request)?;
    let protocol = choose_protocol(&request.headers)?;
    Ok(Accepted { accept, protocol })
}

/// Judges a request for any WebSocket, whatever is to be spoken on it. The answer is `Sec-WebSocket-Accept`.
///
/// # Errors
/// [`Refused::BadRequest`].
pub fn accept(request: &Parts) -> Result<String, Refused> {
    websocket_key(request).map(derive_accept_key).ok_or(Refused::BadRequest)
}

/// The key of a valid RFC 6455 request.
fn websocket_key(request: &Parts) -> Option<&[u8]> {
    let headers = &request.headers;
    let only = |name| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).map(axum::http::HeaderValue::as_bytes)
    };
    let key = only(header::SEC_WEBSOCKET_KEY)?;
    let valid = request.version == Version::HTTP_11
        && request.method == Method::GET
        && headers.contains_key(header::HOST)
        && tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
        && tokens(headers, &header::UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"))
        && only(header::SEC_WEBSOCKET_VERSION) == Some(b"13".as_slice())
        && BASE64_STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16);
    valid.then_some(key)
}

/// The highest acceptable offer, wherever it stands.
fn choose_protocol(headers: &HeaderMap) -> Result<String, Refused> {
    let offers = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|offer| Some((ProtocolVersion::parse(offer)?, offer)));
    let (acceptable, others): (Vec<_>, Vec<_>) = offers.partition(|(version, _)| version.is_accepted());
    match (acceptable.into_iter().max(), others.into_iter().max()) {
        (Some((_, offer)), _) => Ok(offer.to_owned()),
        (None, Some((version, _))) => Err(Refused::Version(version)),
        (None, None) => Err(Refused::NoProtocol),
    }
}

/// The items of a comma-separated header, all its lines together.
fn tokens<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|token| token.trim_matches([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    const GOOD: [(&str, &str); 6] = [
        ("host", "localhost:5133"),
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "electric.0.12"),
    ];

    fn judge(headers: &[(&str, &str)]) -> Result<Accepted, Refused> {
        let mut request = Request::get("/ws");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0)
    }

    fn offering(lines: &[&str]) -> Result<String, Refused> {
        let mut headers = GOOD[..5].to_vec();
        headers.extend(lines.iter().map(|line| ("sec-websocket-protocol", *line)));
        judge(&headers).map(|accepted| accepted.protocol)
    }

    #[test]
    fn a_good_request_is_confirmed() {
        // The key and its answer are those of RFC 6455 §1.3.
        let expected = Accepted {
            accept: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned(),
            protocol: "electric.0.12".to_owned(),
        };
        assert_eq!(judge(&GOOD), Ok(expected));
    }

    #[test]
    fn every_part_is_required() {
        for missing in 0..5 {
            let mut headers = GOOD.to_vec();
            headers.remove(missing);
            assert_eq!(judge(&headers), Err(Refused::BadRequest), "{missing}");
        }
        for (name, value) in [
            ("sec-websocket-version", "8"),
            ("sec-websocket-key", "short"),
            ("upgrade", "h2c"),
            ("connection", "close"),
        ] {
            let mut headers: Vec<_> = GOOD.into_iter().filter(|(n, _)| *n != name).collect();
            headers.push((name, value));
            assert_eq!(judge(&headers), Err(Refused::BadRequest), "{name}: {value}");
        }
    }

    #[test]
    fn the_highest_acceptable_offer_wins() {
        let cases: [(&[&str], &str); 6] = [
            (&["electric.0.12"], "electric.0.12"),
            (&["electric.0.10"], "electric.0.10"),
            (&["electric.0.10, electric.0.11"], "electric.0.11"),
            (&["foo,electric.0.12 ,bar"], "electric.0.12"),
            (&["electric.0.9", "electric.0.12", "electric.1.0"], "electric.0.12"),
            (&["chat", "electric.0.11"], "electric.0.11"),
        ];
        for (lines, expected) in cases {
            assert_eq!(offering(lines).as_deref(), Ok(expected), "{lines:?}");
        }
    }

    #[test]
    fn refusals_have_their_texts() {
        for lines in [
            &[][..],
            &["electric.0.12.1"],
            &["electric."],
            &["electric"],
            &["ELECTRIC.0.12"],
            &["electric.0.012"],
            &["electric.0.12345678901234567890"],
            &["chat"],
        ] {
            let text = offering(lines).unwrap_err().to_string();
            assert_eq!(text, "Missing satellite websocket subprotocol", "{lines:?}");
        }
        for (offer, version) in
            [("electric.0.9", "0.9.0"), ("electric.1.0", "1.0.0"), ("electric.99.0", "99.0.0")]
        {
            let text = offering(&[offer]).unwrap_err().to_string();
            let expected = format!(
                "Cannot connect satellite version {version}: this server requires >= 0.10.0 and <= 0.12.1"
            );
            assert_eq!(text, expected);
        }
    }
}
