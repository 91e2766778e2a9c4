//! Settings of a session, and what passes untouched.

use super::super::Ddlx;
use crate::{Exchange, Frame, Guarding, Intercept, Reported};

fn machine() -> Ddlx {
    Ddlx::electric(&Reported::default(), Guarding::default())
}

fn given(machine: &mut Ddlx, text: &[u8]) -> Vec<u8> {
    let mut out = Exchange::default();
    machine.from_client(Frame::new(b'Q', text), &mut out);
    out.to_server.to_vec()
}

#[test]
fn settings_that_change_how_a_text_is_read_are_followed() {
    let mut machine = machine();
    let text = b"SELECT '\\'; ELECTRIC ENABLE t; --'\0";
    assert_ne!(given(&mut machine, text), Frame::new(b'Q', text).wire()[..]);
    let mut out = Exchange::default();
    let report = Frame::new(b'S', b"standard_conforming_strings\0off\0");
    assert!(machine.minds_server(b'S'));
    machine.from_server(report.clone(), &mut out);
    assert_eq!(out.to_client, report.wire()[..]);
    assert_eq!(given(&mut machine, text), Frame::new(b'Q', text).wire()[..]);
}

#[test]
fn what_is_no_text_is_left_to_postgres() {
    for body in [&b"ELECTRIC ENABLE t"[..], b"ELECTRIC ENABLE t\0x\0", b"", b"\0", b"ELECTRIC \0ENABLE t\0"] {
        assert_eq!(given(&mut machine(), body), Frame::new(b'Q', body).wire()[..]);
    }
    for (tag, body) in
        [(b'P', &b"a\0ELECTRIC ENABLE t"[..]), (b'P', b""), (b'B', b"x"), (b'C', b""), (b'E', b"")]
    {
        let mut out = Exchange::default();
        machine().from_client(Frame::new(tag, body), &mut out);
        assert_eq!(out.to_server, Frame::new(tag, body).wire()[..]);
    }
}

#[test]
fn little_is_minded_where_nothing_is_known() {
    let mut machine = machine();
    assert!(!machine.minds_client(b'B') && !machine.minds_client(b'd') && !machine.minds_client(b'D'));
    given(&mut machine, b"SELECT 'electric'\0");
    for tag in [b'C', b'T', b'D', b'd', b'N', b'1', b'2', b'n'] {
        assert!(!machine.minds_server(tag), "{}", char::from(tag));
    }
    let mut out = Exchange::default();
    machine.from_client(Frame::new(b'P', b"\0ELECTRIC ENABLE t\0\0\0"), &mut out);
    assert!(machine.minds_client(b'B'));
}

#[test]
fn who_guards_is_looked_at_with_every_statement() {
    let guarding = Guarding::default();
    let mut machine = Ddlx::electric(&Reported::default(), guarding.clone());
    let text = b"BEGIN; DROP TABLE t; COMMIT\0";
    assert_eq!(given(&mut machine, text), Frame::new(b'Q', text).wire()[..]);
    guarding.set(true);
    assert!(given(&mut machine, text).len() > text.len() + Frame::HEADER);
}
