//! Against the library's own client, over a stream in memory.

use std::io::{self, Read, Write};

use bytes::Bytes;
use proptest::prelude::*;
use tungstenite::{
    Message, WebSocket,
    protocol::{
        CloseFrame, Role,
        frame::{
            Frame,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

use super::{Decoder, Event, Outbox};

/// What the server sent, to be read in pieces, and what the client answers.
#[derive(Default)]
struct Wire {
    to_client: io::Cursor<Vec<u8>>,
    step: usize,
    from_client: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(self.step);
        self.to_client.read(&mut buffer[..room])
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.from_client.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn client(wire: Wire) -> WebSocket<Wire> {
    WebSocket::from_raw_socket(wire, Role::Client, None)
}

/// What one side does.
#[derive(Clone, Debug)]
enum Act {
    Binary(Vec<u8>),
    /// Several messages at once, or the fragments of one.
    Several(Vec<Vec<u8>>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Barrier,
}

/// Payloads around the lengths where the header's form changes, too.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![8 => 0..300usize, 1 => 124..128usize, 1 => 65_533..65_539usize];
    (len, any::<u8>()).prop_map(|(len, seed)| (0..len).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect())
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => payload().prop_map(Act::Binary),
        3 => prop::collection::vec(payload(), 0..5).prop_map(Act::Several),
        1 => prop::collection::vec(any::<u8>(), 0..=125).prop_map(Act::Ping),
        1 => prop::collection::vec(any::<u8>(), 0..=125).prop_map(Act::Pong),
        1 => Just(Act::Barrier),
    ];
    prop::collection::vec(act, 0..10)
}

/// Everything that waits, written through a buffer of this size.
fn drain(outbox: &mut Outbox, buffer: usize) -> Vec<u8> {
    let (mut bytes, mut scratch) = (Vec::new(), vec![0; buffer]);
    loop {
        let filled = outbox.fill(&mut scratch);
        if filled == 0 {
            return bytes;
        }
        bytes.extend_from_slice(&scratch[..filled]);
        outbox.advance(filled);
    }
}

/// All events of these bytes, in pieces.
fn decode(bytes: &[u8], step: usize) -> Vec<Event> {
    let mut decoder = Decoder::new(1 << 20);
    let mut events = Vec::new();
    for mut piece in bytes.chunks(step) {
        while let Some(event) = decoder.next(&mut piece).expect("a client keeps to the protocol") {
            events.push(event);
        }
    }
    events
}

proptest! {
    #[test]
    fn the_librarys_client_reads_what_the_outbox_writes(
        acts in acts(), code in prop_oneof![Just(1000u16), Just(1001), Just(1009), 3000..5000u16],
        reason in "[a-zé ]{0,40}", buffer in 1usize..5000, step in 1usize..5000,
    ) {
        let mut outbox = Outbox::default();
        let mut sent = Vec::new();
        for act in acts {
            match act {
                Act::Binary(payload) => {
                    sent.push(Message::binary(payload.clone()));
                    outbox.binary(payload.into());
                }
                Act::Several(payloads) => {
                    sent.extend(payloads.iter().cloned().map(Message::binary));
                    outbox.shared(payloads.into_iter().map(Bytes::from).collect());
                }
                Act::Ping(payload) => {
                    sent.push(Message::Ping(payload.clone().into()));
                    outbox.ping(payload.into());
                }
                Act::Pong(payload) => {
                    sent.push(Message::Pong(payload.clone().into()));
                    outbox.pong(payload.into());
                }
                Act::Barrier => outbox.barrier(),
            }
        }
        outbox.close(code, &reason);
        sent.push(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() })));

        let to_client = io::Cursor::new(drain(&mut outbox, buffer));
        let mut client = client(Wire { to_client, step, ..Wire::default() });
        for expected in &sent {
            prop_assert_eq!(&client.read().unwrap(), expected);
        }
        client.flush().ok();
        // Its answers come back: a pong for the last ping at least, and the close frame with the same code.
        let answers = decode(&client.get_ref().from_client, step);
        if let Some(Message::Ping(payload)) = sent.iter().rfind(|message| message.is_ping()) {
            prop_assert!(answers.contains(&Event::Pong(payload.clone())));
        }
        prop_assert_eq!(answers.last(), Some(&Event::Close(Some(code))));
    }

    #[test]
    fn the_decoder_reads_what_the_librarys_client_writes(
        acts in acts(), text in any::<bool>(), close in prop::option::of(("[a-zé]{0,40}", 3000..5000u16)),
        step in 1usize..5000,
    ) {
        let mut client = client(Wire::default());
        let mut expected = Vec::new();
        for act in acts {
            match act {
                Act::Binary(payload) => {
                    expected.push(Event::Binary(payload.clone().into()));
                    client.send(Message::binary(payload)).unwrap();
                }
                Act::Several(fragments) => {
                    for (i, fragment) in fragments.iter().enumerate() {
                        let kind = if i == 0 { Data::Binary } else { Data::Continue };
                        let last = i + 1 == fragments.len();
                        let frame = Frame::message(fragment.clone(), OpCode::Data(kind), last);
                        client.send(Message::Frame(frame)).unwrap();
                        // Control frames may stand between fragments.
                        if !last {
                            client.send(Message::Ping(Bytes::from_static(b"?"))).unwrap();
                            expected.push(Event::Ping(Bytes::from_static(b"?")));
                        }
                    }
                    if !fragments.is_empty() {
                        expected.push(Event::Binary(fragments.concat().into()));
                    }
                }
                Act::Ping(payload) => {
                    expected.push(Event::Ping(payload.clone().into()));
                    client.send(Message::Ping(payload.into())).unwrap();
                }
                Act::Pong(payload) => {
                    expected.push(Event::Pong(payload.clone().into()));
                    client.send(Message::Pong(payload.into())).unwrap();
                }
                Act::Barrier => {}
            }
        }
        if text {
            expected.push(Event::Text);
            client.send(Message::text("not spoken here")).unwrap();
        }
        let frame = close.map(|(reason, code)| CloseFrame { code: CloseCode::from(code), reason: reason.into() });
        expected.push(Event::Close(frame.as_ref().map(|frame| frame.code.into())));
        client.close(frame).unwrap();
        prop_assert_eq!(decode(&client.get_ref().from_client, step), expected);
    }
}
