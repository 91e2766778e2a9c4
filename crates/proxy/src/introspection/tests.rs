//! The state machine against a Postgres that only exists as far as it answers.

use proptest::prelude::*;

use super::Introspection;
use crate::{Exchange, Frame, Intercept as _};

/// A session, and what came out of it on either side: the types of messages.
#[derive(Default)]
struct Session {
    machine: Introspection,
    out: Exchange,
}

impl Session {
    /// Messages from the client; the answer is what Postgres gets.
    fn client(&mut self, tags: &str) -> String {
        for tag in tags.bytes() {
            self.machine.from_client(Frame::new(tag, b"P\0\0\0\0\0"), &mut self.out);
        }
        types(&self.out.to_server.split())
    }

    /// Messages from Postgres; the answer is what the client gets. `Z` is idle, `!` in a failed transaction.
    fn server(&mut self, tags: &str) -> String {
        for tag in tags.bytes() {
            let frame = match tag {
                b'Z' => Frame::new(b'Z', b"I"),
                b'!' => Frame::new(b'Z', b"E"),
                b'C' => Frame::new(b'C', b"SELECT 9\0"),
                b'T' => described("table_name"),
                b't' => described("other"),
                b'D' => Frame::new(b'D', &[0, 1, 0, 0, 0, 1, b't']),
                _ => Frame::new(tag, b""),
            };
            if self.machine.minds_server(frame.tag()) {
                self.machine.from_server(frame, &mut self.out);
            } else {
                self.out.client(&frame);
            }
        }
        types(&self.out.to_client.split())
    }
}

/// A RowDescription with one column.
fn described(name: &str) -> Frame {
    let mut body = vec![0, 1];
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(&[0; 19]);
    Frame::new(b'T', &body)
}

fn types(mut wire: &[u8]) -> String {
    let mut types = String::new();
    while let Some((tag, rest)) = wire.split_first() {
        types.push((*tag).into());
        let length = rest.first_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length) as usize);
        wire = rest.get(length..).unwrap_or_default();
    }
    types
}

/// What is asked before a round: two questions and a Sync. And the answers.
const ASKED: &str = "CPBECCCPBECCS";
const ANSWERED: &str = "312C33312DC33Z";

#[test]
fn asks_before_a_round_and_hides_the_answers() {
    let mut session = Session::default();
    assert_eq!(session.client("PDS"), format!("{ASKED}PDS"));
    assert_eq!(session.server(ANSWERED), "");
    assert_eq!(session.server("1TZ"), "1TZ");
    // The columns are asked for again with every Execute: what is behind a name may have changed.
    assert_eq!(session.client("BES"), format!("{ASKED}BDES"));
    assert_eq!(session.server(ANSWERED), "");
    assert_eq!(session.server("2TDDCZ"), "2CZ");
    // Rows that are about nothing that is hidden pass.
    assert_eq!(session.client("BES"), format!("{ASKED}BDES"));
    assert_eq!(session.server(&format!("{ANSWERED}2tDDCZ")), "2DDCZ");
}

#[test]
fn does_not_ask_within_a_round_or_behind_one() {
    let mut session = Session::default();
    assert_eq!(session.client("P"), format!("{ASKED}P"));
    assert_eq!(session.client("HBDES"), "HBDDES");
    // Another one, before the first is answered.
    assert_eq!(session.client("BES"), "BDES");
    assert_eq!(session.client("Q"), "Q");
    assert_eq!(session.server(&format!("{ANSWERED}12ttDCZ2TDCZTDCZ")), "12TDCZ2CZTCZ");
    assert_eq!(session.client("X"), "X");
    assert_eq!(session.client("S"), "S");
    assert_eq!(session.server("Z"), "Z");
}

#[test]
fn an_error_ends_a_round_at_its_sync() {
    let mut session = Session::default();
    assert_eq!(session.client("PBE"), format!("{ASKED}PBDE"));
    assert_eq!(session.server(&format!("{ANSWERED}E")), "E");
    // Postgres leaves these aside.
    assert_eq!(session.client("DEQES"), "DDEQDES");
    assert_eq!(session.server("Z"), "Z");
    assert_eq!(session.client("Q"), format!("{ASKED}Q"));
    assert_eq!(session.server(&format!("{ANSWERED}TDCTDEZ")), "TCTEZ");
    // In a failed transaction nothing can be asked.
    assert_eq!(session.client("Q"), format!("{ASKED}Q"));
    assert_eq!(session.server(&format!("{ANSWERED}E!")), "EZ");
    assert_eq!(session.client("PBES"), "PBDES");
    assert_eq!(session.server("E!"), "EZ");
    assert_eq!(session.client("Q"), "Q");
    assert_eq!(session.server("CZ"), "CZ");
    assert_eq!(session.client("Q"), format!("{ASKED}Q"));
}

#[test]
fn an_unanswered_question_hides_nothing_else() {
    let mut session = Session::default();
    session.client("Q");
    // Without schema `electric`: an error, and the rest of our round is left aside.
    assert_eq!(session.server("31EZTDCZ"), "TCZ");
    // What concerns the session as a whole is for the client.
    session.client("Q");
    assert_eq!(session.server("3N1AS"), "NAS");
    session.machine.from_server(Frame::new(b'E', b"SFATAL\0VFATAL\0C57P01\0\0"), &mut session.out);
    assert_eq!(types(&session.out.to_client), "E");
}

#[test]
fn copied_data_is_not_looked_at() {
    let mut session = Session::default();
    assert_eq!(session.client("Q"), format!("{ASKED}Q"));
    assert_eq!(session.server(&format!("{ANSWERED}G")), "G");
    assert_eq!(session.client("ddc"), "ddc");
    assert_eq!(session.server("CZ"), "CZ");
    // In the extended protocol, Postgres takes no Sync before the data's end.
    assert_eq!(session.client("PBES"), format!("{ASKED}PBDES"));
    assert_eq!(session.server(&format!("{ANSWERED}12nG")), "12G");
    assert_eq!(session.client("dScS"), "dScS");
    assert_eq!(session.server("CZ"), "CZ");
    assert_eq!(session.client("PBES"), format!("{ASKED}PBDES"));
    assert_eq!(session.server(&format!("{ANSWERED}12TDCZ")), "12CZ");
}

proptest! {
    /// Whatever comes, in whatever order: everything of the client's is passed on as it is, in its order.
    #[test]
    fn the_client_is_always_heard(
        messages in prop::collection::vec((any::<bool>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..20)), 0..60)
    ) {
        let (mut machine, mut out, mut said) = (Introspection::new(), Exchange::default(), Vec::new());
        for (from_client, tag, body) in messages {
            let choose = |tags: &'static [u8]| tags[usize::from(tag) % tags.len()];
            if from_client {
                let frame = Frame::new(choose(b"QPBDECSHXFdcf"), &body);
                said.push(frame.clone());
                machine.from_client(frame, &mut out);
            } else {
                machine.from_server(Frame::new(choose(b"TDCZEnts123GHINSAV"), &body), &mut out);
            }
        }
        let mut wire = &out.to_server[..];
        let mut said = said.iter().peekable();
        while let Some(rest) = wire.get(1..5) {
            let length = 1 + u32::from_be_bytes(rest.try_into().unwrap()) as usize;
            let (frame, after) = wire.split_at(length);
            said.next_if(|next| next.wire()[..] == *frame);
            wire = after;
        }
        prop_assert!(said.next().is_none());
    }
}
