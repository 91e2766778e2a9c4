//! A client that shows every message it gets.

use std::fmt::Write as _;

use bytes::BytesMut;
use postgres::{
    connection::{ConnectConfig, Purpose},
    wire::{Frame, Wire},
};
use postgres_protocol::message::frontend;

use crate::support::{Front, within};

/// Messages to Postgres, one after the other.
#[derive(Default)]
pub struct Script(BytesMut, usize);

impl Script {
    pub fn query(mut self, text: &str) -> Script {
        frontend::query(text, &mut self.0).unwrap();
        self.1 += 1;
        self
    }

    pub fn parse(mut self, name: &str, text: &str) -> Script {
        frontend::parse(name, text, [], &mut self.0).unwrap();
        self
    }

    pub fn bind(mut self, portal: &str, name: &str) -> Script {
        let nothing = |(), _: &mut BytesMut| Ok(postgres_protocol::IsNull::Yes);
        frontend::bind(portal, name, [], std::iter::empty::<()>(), nothing, [], &mut self.0).ok().unwrap();
        self
    }

    pub fn describe(mut self, kind: u8, name: &str) -> Script {
        frontend::describe(kind, name, &mut self.0).unwrap();
        self
    }

    pub fn execute(mut self, portal: &str) -> Script {
        frontend::execute(portal, 0, &mut self.0).unwrap();
        self
    }

    pub fn close(mut self, kind: u8, name: &str) -> Script {
        frontend::close(kind, name, &mut self.0).unwrap();
        self
    }

    pub fn flush(mut self) -> Script {
        frontend::flush(&mut self.0);
        self
    }

    pub fn sync(mut self) -> Script {
        frontend::sync(&mut self.0);
        self.1 += 1;
        self
    }

    /// Sync, of which Postgres takes no notice.
    pub fn idle_sync(mut self) -> Script {
        frontend::sync(&mut self.0);
        self
    }

    pub fn data(mut self, data: &str) -> Script {
        frontend::CopyData::new(data.as_bytes()).unwrap().write(&mut self.0);
        self
    }

    pub fn done(mut self) -> Script {
        frontend::copy_done(&mut self.0);
        self
    }

    /// Parse, Bind, Describe, Execute, as most drivers send them.
    pub fn run(self, text: &str) -> Script {
        self.parse("", text).bind("", "").describe(b'P', "").execute("")
    }
}

/// A session, message by message.
pub struct Raw(Wire);

impl Raw {
    pub async fn of(front: &Front) -> Raw {
        Raw::at(&front.url("app")).await
    }

    pub async fn at(url: &str) -> Raw {
        let (config, _) = ConnectConfig::parse(url, Some(false), None).unwrap();
        Raw(Wire::log_in(&config, Purpose::Tool, &[]).await.unwrap())
    }

    /// What comes back, until everything is answered.
    pub async fn play(&mut self, script: Script) -> String {
        let Script(messages, replies) = script;
        self.send(&messages).await;
        self.hear(replies, b'Z').await
    }

    /// What comes back up to a message of this type.
    pub async fn play_until(&mut self, script: Script, tag: u8) -> String {
        self.send(&script.0).await;
        self.hear(1, tag).await
    }

    pub async fn query(&mut self, text: &str) -> String {
        self.play(Script::default().query(text)).await
    }

    /// A string that is not UTF-8.
    pub async fn query_bytes(&mut self, text: &[u8]) -> String {
        let length = u32::try_from(text.len() + 5).unwrap().to_be_bytes();
        self.send(&[b"Q", &length[..], text, b"\0"].concat()).await;
        self.hear(1, b'Z').await
    }

    async fn send(&mut self, messages: &[u8]) {
        within(self.0.send(messages)).await.unwrap();
    }

    async fn hear(&mut self, mut count: usize, tag: u8) -> String {
        let mut heard = String::new();
        while count > 0 {
            match self.0.buffered().unwrap() {
                Some(frame) => {
                    count -= usize::from(frame.tag == tag);
                    show(&frame, &mut heard);
                }
                None => within(self.0.fill()).await.unwrap(),
            }
        }
        heard
    }
}

/// One line for a message. Left out of errors: what only says where in Postgres' code they are.
fn show(frame: &Frame, to: &mut String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let tag = char::from(frame.tag);
    match frame.tag {
        b'E' | b'N' => {
            write!(to, "{tag}").unwrap();
            for field in frame.body.split(|byte| *byte == 0).filter(|field| !field.is_empty()) {
                match field[0] {
                    b'S' | b'V' | b'F' | b'L' | b'R' => {}
                    // Where it came from changes with every line of the service's SQL; what matters is whether it is told.
                    b'W' => to.push_str(" | W"),
                    b'C' | b'M' => write!(to, " {}", text(&field[1..])).unwrap(),
                    kind => write!(to, " | {}: {}", char::from(kind), text(&field[1..])).unwrap(),
                }
            }
            to.push('\n');
        }
        b'D' => {
            let mut rest = &frame.body[2..];
            let mut values = Vec::new();
            while let Some((length, tail)) = rest.split_first_chunk::<4>() {
                let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
                values.push(text(&tail[..length]));
                rest = &tail[length..];
            }
            writeln!(to, "D {}", values.join(", ")).unwrap();
        }
        b'C' | b'Z' => writeln!(to, "{tag} {}", text(&frame.body).trim_end_matches('\0')).unwrap(),
        b'S' => {}
        _ => writeln!(to, "{tag}").unwrap(),
    }
}
