//! The packets that a connection begins with, before there are messages with types (spec 04 §9.1, §9.2).

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::{Frame, refusal::Refusal};

/// Bytes of the shortest packet: its length and a code.
const SHORTEST: usize = 8;

/// Postgres takes no longer one.
const LONGEST: usize = 10_000;

/// What a cancel request begins with.
pub const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSSENC: u32 = 80_877_104;

/// The version of the protocol that is spoken here, 3.0.
const VERSION: u32 = 3 << 16;

/// What a client begins with.
#[derive(Clone, PartialEq, Eq)]
pub enum Packet {
    /// It would like TLS.
    Ssl,
    /// It would like GSSAPI encryption.
    GssEnc,
    /// It wants a statement of another session cancelled.
    Cancel(CancelKey),
    /// It wants a session.
    Startup(Startup),
}

/// What a client shows to have a statement cancelled.
#[derive(Clone, PartialEq, Eq)]
pub struct CancelKey {
    /// The server process of the session.
    pub process: u32,
    /// What only the session's client knows.
    pub secret: Bytes,
}

/// What a client says of the session that it wants.
#[derive(Clone, PartialEq, Eq)]
pub struct Startup {
    /// The role; any name will do here.
    pub user: Bytes,
    /// The database; the user's name if the client named none.
    pub database: Bytes,
    /// Everything else that Postgres 3.0 knows, in the client's order.
    pub parameters: Vec<(Bytes, Bytes)>,
    /// Protocol options, which are not known here.
    pub unknown: Vec<Bytes>,
    /// Whether a later minor version was asked for.
    pub later: bool,
}

/// The length that a packet begins with, if it can be one.
#[must_use]
pub fn length(prefix: [u8; 4]) -> Option<usize> {
    let length = usize::try_from(u32::from_be_bytes(prefix)).ok()?;
    (SHORTEST..=LONGEST).contains(&length).then_some(length)
}

impl Packet {
    /// Reads a packet without its length, of the size that [`length`] allows.
    ///
    /// # Errors
    /// What Postgres would say to it.
    pub fn parse(packet: &Bytes) -> Result<Packet, Refusal> {
        let invalid = || Refusal::new("08P01", "invalid startup packet");
        let code = packet.first_chunk::<4>().map(|code| u32::from_be_bytes(*code)).ok_or_else(invalid)?;
        let body = packet.slice(4..);
        match code {
            SSL => Ok(Packet::Ssl),
            GSSENC => Ok(Packet::GssEnc),
            CANCEL => {
                let process =
                    body.first_chunk::<4>().map(|id| u32::from_be_bytes(*id)).ok_or_else(invalid)?;
                // Up to 256 bytes from Postgres 18 on.
                let secret = body.slice(4..);
                if !(4..=256).contains(&secret.len()) {
                    return Err(invalid());
                }
                Ok(Packet::Cancel(CancelKey { process, secret }))
            }
            version if version >> 16 == VERSION >> 16 => Startup::parse(&body, version).map(Packet::Startup),
            version => Err(Refusal {
                code: "0A000",
                message: format!(
                    "unsupported frontend protocol {}.{}: server supports 3.0 to 3.0",
                    version >> 16,
                    version & 0xFFFF
                )
                .into(),
                hint: None,
            }),
        }
    }
}

impl Startup {
    /// Reads pairs of texts, each ended by a zero byte, and a zero byte after them. Of several users or databases the last
    /// counts, as with Postgres.
    fn parse(body: &Bytes, version: u32) -> Result<Startup, Refusal> {
        let layout =
            || Refusal::new("08P01", "invalid startup packet layout: expected terminator as last byte");
        let (mut user, mut database) = (Bytes::new(), Bytes::new());
        let (mut parameters, mut unknown) = (Vec::new(), Vec::new());
        let mut rest = body.clone();
        loop {
            let name = take_text(&mut rest).ok_or_else(layout)?;
            if name.is_empty() {
                break;
            }
            let value = take_text(&mut rest).ok_or_else(layout)?;
            match &name[..] {
                b"user" => user = value,
                b"database" => database = value,
                _ if name.starts_with(b"_pq_.") => unknown.push(name),
                _ => parameters.push((name, value)),
            }
        }
        if !rest.is_empty() {
            return Err(layout());
        }
        if user.is_empty() {
            return Err(Refusal::new("28000", "no PostgreSQL user name specified in startup packet"));
        }
        if database.is_empty() {
            database = user.clone();
        }
        Ok(Startup { user, database, parameters, unknown, later: version > VERSION })
    }

    /// The answer to a client that asked for more than 3.0.
    #[must_use]
    pub fn negotiation(&self) -> Option<Frame> {
        if !self.later && self.unknown.is_empty() {
            return None;
        }
        let mut body = BytesMut::new();
        body.put_u32(VERSION);
        // The packet's bound is also one on these.
        body.put_u32(self.unknown.len() as u32);
        for name in &self.unknown {
            body.put_slice(name);
            body.put_u8(0);
        }
        Some(Frame::new(b'v', &body))
    }
}

/// A text up to its zero byte.
fn take_text(rest: &mut Bytes) -> Option<Bytes> {
    let end = rest.iter().position(|byte| *byte == 0)?;
    let text = rest.split_to(end);
    // Its zero byte.
    let _ = rest.split_to(1);
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(code: u32, body: &[u8]) -> Bytes {
        let mut packet = BytesMut::new();
        packet.put_u32(code);
        packet.put_slice(body);
        packet.freeze()
    }

    fn startup(version: u32, pairs: &[(&str, &str)]) -> Startup {
        let mut body = Vec::new();
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        body.push(0);
        match Packet::parse(&packet(version, &body)) {
            Ok(Packet::Startup(startup)) => startup,
            _ => panic!("a start-up packet"),
        }
    }

    fn refused(bytes: &Bytes) -> Refusal {
        Packet::parse(bytes).err().expect("a refusal")
    }

    #[test]
    fn requests_are_told_apart() {
        assert!(Packet::parse(&packet(SSL, b"")) == Ok(Packet::Ssl));
        assert!(Packet::parse(&packet(GSSENC, b"")) == Ok(Packet::GssEnc));
        let key = CancelKey { process: 7, secret: Bytes::from_static(b"four") };
        assert!(Packet::parse(&packet(CANCEL, b"\0\0\0\x07four")) == Ok(Packet::Cancel(key)));
        for body in [&b"\0\0\0\x07"[..], b"\0\0", &[1; 300]] {
            assert_eq!(refused(&packet(CANCEL, body)).code, "08P01");
        }
    }

    #[test]
    fn a_session_needs_a_user_only() {
        let asked = startup(VERSION, &[("user", "me"), ("application_name", "psql"), ("options", "-c a=b")]);
        assert_eq!((&asked.user[..], &asked.database[..]), (&b"me"[..], &b"me"[..]));
        let parameters: Vec<(&[u8], &[u8])> =
            asked.parameters.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        assert_eq!(parameters, [(&b"application_name"[..], &b"psql"[..]), (b"options", b"-c a=b")]);
        assert_eq!(asked.negotiation(), None);
        let asked = startup(VERSION, &[("database", ""), ("user", "a"), ("user", "b"), ("database", "d")]);
        assert_eq!((&asked.user[..], &asked.database[..]), (&b"b"[..], &b"d"[..]));
        assert_eq!(refused(&packet(VERSION, b"database\0d\0\0")).code, "28000");
        assert_eq!(refused(&packet(VERSION, b"user\0\0\0")).code, "28000");
    }

    #[test]
    fn later_versions_are_brought_down_to_ours() {
        let asked = startup(VERSION | 2, &[("user", "me"), ("_pq_.compression", "on"), ("x", "y")]);
        let mut expected = vec![0, 3, 0, 0, 0, 0, 0, 1];
        expected.extend_from_slice(b"_pq_.compression\0");
        assert_eq!(asked.negotiation(), Some(Frame::new(b'v', &expected)));
        assert_eq!(asked.parameters.len(), 1);
        assert!(startup(VERSION | 1, &[("user", "me")]).negotiation().is_some());
        for (version, message) in [(2 << 16, "2.0"), (4 << 16 | 1, "4.1"), (0, "0.0")] {
            let refusal = refused(&packet(version, b"user\0me\0\0"));
            assert_eq!(refusal.code, "0A000");
            assert!(refusal.message.contains(&format!("unsupported frontend protocol {message}:")));
        }
    }

    #[test]
    fn the_layout_is_that_of_postgres() {
        for body in
            [&b""[..], b"user", b"user\0", b"user\0me\0", b"user\0me", b"user\0me\0\0\0", b"user\0me\0\0x"]
        {
            assert_eq!(refused(&packet(VERSION, body)).code, "08P01", "{body:?}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        for (size, allowed) in
            [(0u32, false), (7, false), (8, true), (10_000, true), (10_001, false), (u32::MAX, false)]
        {
            assert_eq!(length(size.to_be_bytes()).is_some(), allowed, "{size}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes: Vec<u8>, version in prop::sample::select(vec![VERSION, SSL, CANCEL, GSSENC])) {
            let _ = Packet::parse(&Bytes::from(bytes.clone()));
            let _ = Packet::parse(&packet(version, &bytes));
        }

        #[test]
        fn what_is_said_is_read(pairs in prop::collection::vec(("[a-z]{1,8}", "[^\0]{0,12}"), 0..10)) {
            let mut said: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            said.push(("user", "me"));
            let asked = startup(VERSION, &said);
            let read: Vec<(Bytes, Bytes)> = asked.parameters;
            let expected: Vec<(Bytes, Bytes)> = said.iter().filter(|(n, _)| !["user", "database"].contains(n))
                .map(|(n, v)| (Bytes::copy_from_slice(n.as_bytes()), Bytes::copy_from_slice(v.as_bytes()))).collect();
            prop_assert_eq!(read, expected);
        }
    }
}
