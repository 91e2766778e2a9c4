//! What a fuzzer does with arbitrary bytes; shared with `fuzz/`, which has no other code of its own.
//!
//! Each function takes any bytes and panics only if the crate breaks a promise.

use proxy::{Ddlx, Exchange, Frame, Guarding, Intercept, Reported};

/// Messages from both sides in any order. A message is a byte for its side, its type, a byte for its length, and its body.
pub fn session(bytes: &[u8]) {
    let Some((&choice, mut rest)) = bytes.split_first() else { return };
    let mut reported = Reported::default();
    let encoding = ["UTF8", "LATIN1", "SJIS", "GB18030", "EUC_JP", "BIG5"][usize::from(choice >> 4) % 6];
    reported.note(&Frame::new(b'S', format!("client_encoding\0{encoding}\0").as_bytes()));
    let strings = if choice & 1 == 0 { "on" } else { "off" };
    reported.note(&Frame::new(b'S', format!("standard_conforming_strings\0{strings}\0").as_bytes()));
    let guarding = Guarding::default();
    guarding.set(choice & 2 == 0);
    let mut machine =
        if choice & 12 == 0 { Ddlx::shadow(&reported) } else { Ddlx::electric(&reported, guarding.clone()) };
    let mut out = Exchange::default();
    while let [side, tag, length, tail @ ..] = rest {
        let (body, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = tail;
        let frame = Frame::new(*tag, body);
        let (mut to_server, mut to_client) = (&[][..], &[][..]);
        if side % 2 == 0 {
            // Without the word, and where nobody has to be watched, a message passes as it is.
            let plain = !guarding.is_needed()
                && !body.to_ascii_lowercase().windows(8).any(|part| part == b"electric");
            if !machine.minds_client(*tag) {
                continue;
            }
            machine.from_client(frame.clone(), &mut out);
            to_server = &out.to_server;
            if plain {
                assert_eq!(to_server, &frame.wire()[..]);
            }
        } else if machine.minds_server(*tag) {
            machine.from_server(frame.clone(), &mut out);
            to_client = &out.to_client;
            if matches!(tag, b'Z' | b'E') {
                assert!(!to_client.is_empty(), "the client waits for it");
            }
        }
        whole(to_server);
        whole(to_client);
        out.to_server.clear();
        out.to_client.clear();
    }
}

/// Nothing but whole messages.
fn whole(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let length = u32::from_be_bytes(bytes[1..5].try_into().expect("a length")) as usize + 1;
        assert!(Frame::from_wire(bytes[..length].to_vec().into()).is_some());
        bytes = &bytes[length..];
    }
}
