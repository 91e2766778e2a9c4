//! The state machine.

use std::sync::Arc;

use super::{
    encoding::Encoding,
    errors::translated,
    guard::{GUARD, LABEL},
    lexer::Dialect,
    pending::{Item, Pending, Step},
    prepared::{Changing, Known, Prepared},
    reading::{Reading, Target, What},
    rewriting::Rewriting,
    simple::{Simple, command_complete},
};
use crate::{Exchange, Frame, Guarding, Intercept, Reported};

/// Translates DDLX in a session, and watches over the schema where nobody else does.
#[derive(Debug)]
pub struct Ddlx {
    reported: Reported,
    dialect: Dialect,
    /// `None` in a shadow database.
    guarding: Option<Guarding>,
    pending: Pending,
    prepared: Prepared,
    /// Kept only where the guard is here.
    changing: Changing,
    /// The answer of an Execute that the guard looks at.
    withheld: Option<Frame>,
    /// The client has begun something in the extended protocol that it has not ended with Sync.
    open: bool,
}

impl Ddlx {
    /// For a session with a database that is synced. `guarding` is looked at with every statement.
    #[must_use]
    pub fn electric(reported: &Reported, guarding: Guarding) -> Ddlx {
        Ddlx::new(reported, Some(guarding))
    }

    /// For a session with a database that has no schema `electric`: whatever would use it succeeds and does nothing (spec
    /// 04 §9.6).
    #[must_use]
    pub fn shadow(reported: &Reported) -> Ddlx {
        Ddlx::new(reported, None)
    }

    fn new(reported: &Reported, guarding: Option<Guarding>) -> Ddlx {
        Ddlx {
            reported: reported.clone(),
            dialect: dialect(reported),
            guarding,
            pending: Pending::default(),
            prepared: Prepared::default(),
            changing: Changing::default(),
            withheld: None,
            open: false,
        }
    }

    fn target(&self) -> Target {
        match &self.guarding {
            Some(guarding) => Target::Synced { guarded: guarding.is_needed() },
            None => Target::Shadow,
        }
    }

    fn read(&self, text: &[u8]) -> Reading {
        Reading::of(text, self.dialect, self.target())
    }

    /// Whether names of statements and portals have to be followed.
    fn follows_names(&self) -> bool {
        self.pending.knows() || !self.prepared.is_empty() || !self.changing.is_empty()
    }

    fn query(&mut self, frame: &Frame, out: &mut Exchange) {
        let was_open = std::mem::take(&mut self.open);
        let text = frame.body().strip_suffix(b"\0").filter(|text| !text.contains(&0));
        let reading = text.filter(|_| !self.pending.is_skipping()).map(|text| (text, self.read(text)));
        let Some((text, Reading { found, count })) = reading.filter(|(_, reading)| !reading.found.is_empty())
        else {
            self.pending.push(Item::Query(None));
            return out.server(frame);
        };
        if let ([only], 1, false) = (&found[..], count, was_open)
            && only.what == What::Changing
            && !only.has_parameters
        {
            return self.alone(text, out);
        }
        let (rewriting, given) = Rewriting::new(text, &found, true, self.dialect.encoding);
        self.pending.push(Item::Query(Some(Box::new(Simple::new(rewriting)))));
        match given {
            Some(given) => out.server(&Frame::new(b'Q', &[&given[..], b"\0"].concat())),
            None => out.server(frame),
        }
    }

    /// Runs a string of one statement that may change the schema. In a string together with the guard it would stand in a
    /// transaction block, where some statements can't run; in the extended protocol it shares a transaction with what comes
    /// before Sync, unless it commits by itself.
    fn alone(&mut self, text: &[u8], out: &mut Exchange) {
        // As a string would, it leaves no unnamed statement or portal behind.
        self.send(&Frame::new(b'C', b"S\0"), Item::Hidden(Step::Close), out);
        self.send(&Frame::new(b'C', b"P\0"), Item::Hidden(Step::Close), out);
        self.hidden(text, true, Item::Execute { portal: None, guarded: true }, out);
        self.hidden(GUARD.as_bytes(), false, Item::Hidden(Step::Guard), out);
        self.send(&Frame::new(b'S', b""), Item::Sync, out);
    }

    /// Runs a text that the client has not sent in this way, and leaves nothing behind.
    fn hidden(&mut self, text: &[u8], describe: bool, execute: Item, out: &mut Exchange) {
        let close = |kind: &[u8]| Frame::new(b'C', &[kind, LABEL, b"\0"].concat());
        let parse = Frame::new(b'P', &[LABEL, b"\0", text, b"\0\0\0"].concat());
        // Without parameters, with results as text.
        let bind = Frame::new(b'B', &[LABEL, b"\0", LABEL, b"\0\0\0\0\0\0\0"].concat());
        let run = Frame::new(b'E', &[LABEL, b"\0\0\0\0\0"].concat());
        // After an error the last one may still be there.
        self.send(&close(b"S"), Item::Hidden(Step::Close), out);
        self.send(&parse, Item::Hidden(Step::Parse), out);
        self.send(&bind, Item::Hidden(Step::Bind), out);
        if describe {
            self.send(&Frame::new(b'D', &[b"P", LABEL, b"\0"].concat()), Item::Hidden(Step::Describe), out);
        }
        self.send(&run, execute, out);
        self.send(&close(b"P"), Item::Hidden(Step::Close), out);
        self.send(&close(b"S"), Item::Hidden(Step::Close), out);
    }

    fn send(&mut self, frame: &Frame, item: Item, out: &mut Exchange) {
        out.server(frame);
        self.pending.push(item);
    }

    fn parse(&mut self, frame: &Frame, out: &mut Exchange) {
        self.open = true;
        let Some((label, rest)) = split_text(frame.body()) else { return out.server(frame) };
        let Some((text, types)) = split_text(rest) else { return out.server(frame) };
        let found = self.read(text).found;
        let changing = found.iter().any(|found| found.what == What::Changing);
        self.changing.parse(label, changing);
        let tag = found.iter().find_map(|found| match found.what {
            What::Replaced(_, tag) | What::Tagged(tag) => Some(tag),
            What::Wrong(_) | What::Changing => None,
        });
        let (rewriting, given) = Rewriting::new(text, &found, false, self.dialect.encoding);
        let known = tag.is_some() || rewriting.wrong.is_some();
        let known = known.then(|| Arc::new(Known { tag, rewriting }));
        let item = (known.is_some() || self.follows_names()).then(|| Box::new((label.into(), known)));
        self.pending.push(Item::Parse(item));
        match given {
            Some(given) => out.server(&Frame::new(b'P', &[label, b"\0", &given, b"\0", types].concat())),
            None => out.server(frame),
        }
    }

    fn bind(&mut self, frame: &Frame) {
        let labels = split_text(frame.body()).and_then(|(portal, rest)| Some((portal, split_text(rest)?.0)));
        let Some((portal, statement)) = labels else { return };
        self.changing.bind(portal, statement);
        self.pending.push(Item::Bind(Box::new((portal.into(), statement.into()))));
    }

    fn close(&mut self, frame: &Frame) {
        let Some((kind, rest)) = frame.body().split_first() else { return };
        let Some((label, _)) = split_text(rest) else { return };
        self.changing.close(*kind, label);
        self.pending.push(Item::Close(Box::new((*kind, label.into()))));
    }

    fn execute(&mut self, frame: &Frame, out: &mut Exchange) {
        self.open = true;
        out.server(frame);
        let label = split_text(frame.body()).map(|(label, _)| label).unwrap_or_default();
        let guarded = self.changing.has_portal(label) && !self.pending.is_skipping();
        let portal = self.follows_names().then(|| label.into());
        self.pending.push(Item::Execute { portal, guarded });
        if guarded {
            self.hidden(GUARD.as_bytes(), false, Item::Hidden(Step::Guard), out);
        }
    }

    /// An Execute is done, or has stopped for the time being.
    fn executed(&mut self, frame: Frame, out: &mut Exchange) {
        match self.pending.head_mut() {
            Some(Item::Query(Some(simple))) if frame.tag() == b'C' => simple.completed(frame, out),
            Some(Item::Execute { portal, guarded }) => {
                let known = portal.as_ref().and_then(|portal| self.prepared.portal(portal));
                let tag = known.and_then(|known| known.tag).filter(|_| frame.tag() == b'C');
                let frame = tag.map_or(frame, command_complete);
                if *guarded {
                    self.withheld = Some(frame);
                } else {
                    out.client(&frame);
                }
                self.pending.pop();
            }
            Some(Item::Hidden(Step::Guard)) => {
                self.pending.pop();
                if let Some(frame) = self.withheld.take() {
                    out.client(&frame);
                }
            }
            _ => out.client(&frame),
        }
    }

    /// ParseComplete, BindComplete, CloseComplete.
    fn completed(&mut self, frame: &Frame, out: &mut Exchange) {
        let fits = match (frame.tag(), self.pending.head()) {
            (b'1', Some(Item::Hidden(step))) => *step == Step::Parse,
            (b'2', Some(Item::Hidden(step))) => *step == Step::Bind,
            (b'3', Some(Item::Hidden(step))) => *step == Step::Close,
            (b'1', Some(Item::Parse(_))) | (b'2', Some(Item::Bind(_))) | (b'3', Some(Item::Close(_))) => true,
            _ => false,
        };
        if !fits {
            return out.client(frame);
        }
        match self.pending.pop() {
            Some(Item::Hidden(_)) => return,
            Some(Item::Parse(Some(parse))) => self.prepared.parsed(parse.0, parse.1),
            Some(Item::Bind(bind)) => self.prepared.bound(bind.0, &bind.1),
            Some(Item::Close(close)) => self.prepared.closed(close.0, &close.1),
            _ => {}
        }
        out.client(frame);
    }

    /// RowDescription or NoData.
    fn described(&mut self, frame: &Frame, out: &mut Exchange) {
        let asked_here = matches!(self.pending.head(), Some(Item::Hidden(Step::Describe)));
        if asked_here {
            self.pending.pop();
        }
        if !asked_here || frame.tag() == b'T' {
            out.client(frame);
        }
    }

    /// An error or a notice.
    fn told(&mut self, frame: &Frame, out: &mut Exchange) {
        let translation = match self.pending.head() {
            Some(Item::Query(Some(simple))) => Some(simple.told(frame)),
            Some(Item::Parse(Some(parse))) => {
                parse.1.as_ref().map(|known| translated(frame, Some(&known.rewriting), true))
            }
            Some(Item::Execute { portal: Some(portal), .. }) => {
                self.prepared.portal(portal).map(|known| translated(frame, Some(&known.rewriting), true))
            }
            Some(Item::Hidden(Step::Guard)) => Some(translated(frame, None, true)),
            _ => None,
        };
        out.client(translation.as_ref().unwrap_or(frame));
        if frame.tag() == b'E' {
            self.withheld = None;
            self.pending.failed();
        }
    }

    fn ready(&mut self, frame: &Frame, out: &mut Exchange) {
        self.pending.ready();
        if frame.body() == b"I" {
            self.prepared.transaction_ended();
            if self.pending.head().is_none() && !self.open {
                self.changing.transaction_ended();
            }
        }
        out.client(frame);
    }
}

impl Intercept for Ddlx {
    fn from_client(&mut self, frame: Frame, out: &mut Exchange) {
        match frame.tag() {
            b'Q' => return self.query(&frame, out),
            b'P' => return self.parse(&frame, out),
            b'E' => return self.execute(&frame, out),
            b'B' => self.bind(&frame),
            b'C' => self.close(&frame),
            b'F' => self.pending.push(Item::FunctionCall),
            b'c' | b'f' => self.pending.push(Item::CopyEnd),
            b'S' => {
                self.open = false;
                self.pending.push(Item::Sync);
            }
            _ => {}
        }
        out.server(&frame);
    }

    fn from_server(&mut self, frame: Frame, out: &mut Exchange) {
        match frame.tag() {
            b'C' | b'I' | b's' => self.executed(frame, out),
            b'1' | b'2' | b'3' => self.completed(&frame, out),
            b'T' | b'n' => self.described(&frame, out),
            b'E' | b'N' => self.told(&frame, out),
            b'Z' => self.ready(&frame, out),
            b'S' => {
                self.reported.note(&frame);
                self.dialect = dialect(&self.reported);
                out.client(&frame);
            }
            b'G' => {
                self.pending.copy_in();
                out.client(&frame);
            }
            _ => out.client(&frame),
        }
    }

    fn minds_client(&self, tag: u8) -> bool {
        match tag {
            b'Q' | b'P' | b'E' | b'F' | b'S' | b'c' | b'f' => true,
            // Bind may be long.
            b'B' | b'C' => self.follows_names(),
            _ => false,
        }
    }

    fn minds_server(&self, tag: u8) -> bool {
        let head = self.pending.head();
        match tag {
            b'Z' | b'E' | b'S' => true,
            b'C' | b'I' | b's' => {
                matches!(head, Some(Item::Query(Some(_)) | Item::Execute { .. } | Item::Hidden(Step::Guard)))
            }
            b'1' => matches!(head, Some(Item::Parse(_) | Item::Hidden(Step::Parse))),
            b'2' => matches!(head, Some(Item::Bind(_) | Item::Hidden(Step::Bind))),
            b'3' => matches!(head, Some(Item::Close(_) | Item::Hidden(Step::Close))),
            b'T' | b'n' => matches!(head, Some(Item::Hidden(Step::Describe))),
            b'N' => matches!(
                head,
                Some(
                    Item::Query(Some(_))
                        | Item::Parse(Some(_))
                        | Item::Execute { portal: Some(_), .. }
                        | Item::Hidden(Step::Guard)
                )
            ),
            b'G' => matches!(head, Some(Item::Execute { .. })),
            _ => false,
        }
    }
}

fn dialect(reported: &Reported) -> Dialect {
    let name = |name| reported.get(name).unwrap_or_default();
    Dialect {
        standard_strings: name("standard_conforming_strings") != "off",
        encoding: Encoding::of(name("client_encoding"), name("server_encoding")),
    }
}

/// What is before the first zero byte, and what is after it.
fn split_text(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = body.iter().position(|byte| *byte == 0)?;
    Some((body.get(..end)?, body.get(end + 1..)?))
}
