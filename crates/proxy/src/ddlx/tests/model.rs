//! A model of Postgres, as far as its messages go. In one form it parses DDLX and guards its schema by itself: what a client
//! sees of it is what a client is to see through the proxy.

use std::collections::{HashMap, VecDeque};

use super::super::{
    guard::GUARD,
    lexer::Dialect,
    reading::{Reading, Target, What},
    statements::Statements,
};
use crate::Frame;

/// What a statement that has been run leaves behind.
pub type Effects = Vec<String>;

/// A session with the model.
#[derive(Debug, Default)]
pub struct Server {
    /// It knows DDLX, and looks after its schema by itself.
    native: bool,
    /// Nobody but the proxy looks after the schema.
    unguarded: bool,
    inbox: VecDeque<Frame>,
    pub outbox: VecDeque<Frame>,
    status: Status,
    /// A block that lasts until the end of the string.
    implicit: bool,
    skipping: bool,
    copying: Option<Copying>,
    statements: HashMap<Vec<u8>, String>,
    portals: HashMap<Vec<u8>, (String, bool)>,
    /// What the open transaction has done, and whether the guard would refuse it.
    open: Effects,
    refused: bool,
    /// The schema has changed since the guard last looked.
    changed: bool,
    committed: Effects,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Status {
    #[default]
    Idle,
    Transaction,
    Failed,
}

#[derive(Debug)]
struct Copying {
    /// In the extended protocol Sync is left aside, and there is no rest of the string.
    extended: bool,
    /// The rest of the string.
    rest: VecDeque<String>,
    source: String,
    failed: bool,
}

type Outcome = Result<(), Frame>;

impl Server {
    pub fn native(unguarded: bool) -> Server {
        Server { native: true, unguarded, ..Server::default() }
    }

    pub fn plain() -> Server {
        Server::default()
    }

    pub fn receive(&mut self, frame: Frame) {
        self.inbox.push_back(frame);
    }

    pub fn is_idle(&self) -> bool {
        self.inbox.is_empty()
    }

    pub fn committed(&self) -> &Effects {
        &self.committed
    }

    /// Handles a message.
    pub fn step(&mut self) {
        let Some(frame) = self.inbox.pop_front() else { return };
        if let Some(copying) = &mut self.copying {
            match frame.tag() {
                b'd' | b'H' => return,
                b'S' if copying.extended => return,
                b'f' => copying.failed = true,
                b'c' => {}
                _ => copying.failed = true,
            }
            return self.copied();
        }
        if self.skipping && frame.tag() != b'S' {
            return;
        }
        let body = frame.body().to_vec();
        let texts: Vec<&[u8]> = body.split(|byte| *byte == 0).collect();
        let text = |n: usize| String::from_utf8_lossy(texts[n]).into_owned();
        let extended = match frame.tag() {
            b'Q' => return self.query(&text(0)),
            b'S' => {
                self.skipping = false;
                if self.status == Status::Idle {
                    self.end(true);
                }
                return self.ready();
            }
            b'F' => {
                self.say(b'V', b"\xFF\xFF\xFF\xFF");
                return self.ready();
            }
            b'P' => self.parse(texts[0], &text(1)),
            b'B' => self.bind(texts[0], texts[1]),
            b'D' => self.describe(texts[0][0], &texts[0][1..]),
            b'E' => self.execute(texts[0]),
            b'C' => {
                match texts[0][0] {
                    b'S' => drop(self.statements.remove(&texts[0][1..])),
                    _ => drop(self.portals.remove(&texts[0][1..])),
                }
                self.say(b'3', b"");
                Ok(())
            }
            _ => return,
        };
        if let Err(error) = extended {
            self.fail(error);
            self.skipping = true;
        }
    }

    fn say(&mut self, tag: u8, body: &[u8]) {
        self.outbox.push_back(Frame::new(tag, body));
    }

    fn complete(&mut self, tag: &str) {
        self.say(b'C', &[tag.as_bytes(), b"\0"].concat());
    }

    fn ready(&mut self) {
        let status = match self.status {
            Status::Idle => b"I",
            Status::Transaction => b"T",
            Status::Failed => b"E",
        };
        self.say(b'Z', status);
    }

    fn fail(&mut self, error: Frame) {
        self.outbox.push_back(error);
        if self.status == Status::Idle {
            self.end(false);
        } else {
            self.status = Status::Failed;
        }
    }

    /// The transaction ends.
    fn end(&mut self, commit: bool) {
        let done = std::mem::take(&mut self.open);
        if commit {
            self.committed.extend(done);
        }
        self.refused = false;
        self.changed &= commit;
        self.implicit = false;
        self.status = Status::Idle;
        self.portals.clear();
    }

    fn query(&mut self, text: &str) {
        self.statements.remove(&b""[..]);
        let statements: VecDeque<String> = cut(text).into();
        if let Err(error) = self.analyse(text) {
            self.fail(error);
            return self.ready();
        }
        if statements.is_empty() {
            self.say(b'I', b"");
            return self.ready();
        }
        // Each statement of a string is an unnamed portal for a while.
        self.portals.remove(&b""[..]);
        self.implicit = statements.len() > 1;
        self.go_on(statements, text);
    }

    fn go_on(&mut self, mut rest: VecDeque<String>, source: &str) {
        while let Some(statement) = rest.pop_front() {
            if statement.starts_with("COPY") && self.status != Status::Failed {
                self.say(b'G', b"\0\0\0");
                self.copying =
                    Some(Copying { extended: false, rest, source: source.to_owned(), failed: false });
                return;
            }
            if let Err(error) = self.run(&statement, source, true) {
                self.fail(error);
                return self.ready();
            }
        }
        if self.status == Status::Idle {
            self.end(true);
        }
        self.implicit = false;
        self.ready();
    }

    fn copied(&mut self) {
        let Some(copying) = self.copying.take() else { return };
        if copying.failed {
            self.fail(error("57014", "COPY failed", None));
            match copying.extended {
                true => self.skipping = true,
                false => self.ready(),
            }
            return;
        }
        self.open.push("COPY".to_owned());
        self.complete("COPY 1");
        if !copying.extended {
            self.go_on(copying.rest, &copying.source);
        }
    }

    /// Refuses what can't be parsed.
    fn analyse(&self, text: &str) -> Outcome {
        for statement in Statements::new(text.as_bytes(), Dialect::default()) {
            let own = String::from_utf8_lossy(statement.text()).into_owned();
            let place = text[..statement.span.start].chars().count() + 1;
            if own.starts_with("SYNTAX") {
                return Err(error("42601", "syntax error at or near \"SYNTAX\"", Some(place)));
            }
            let known = ddlx(&own);
            if let Some(What::Wrong(misfit)) = known.as_ref().filter(|_| self.native) {
                let at = own[..misfit.at].chars().count() + 1;
                return Err(fields(&[
                    (b'S', "ERROR"),
                    (b'C', "42601"),
                    (b'M', "Invalid ELECTRIC statement"),
                    (b'D', &misfit.detail),
                    (b'p', &at.to_string()),
                    (b'q', &own),
                ]));
            }
            if !self.native && matches!(known, Some(What::Replaced(..) | What::Wrong(_))) {
                let word = own.to_ascii_uppercase().rfind("ELECTRIC").unwrap_or(0);
                let place = place + own[..word].chars().count();
                return Err(error("42601", "syntax error at or near \"ELECTRIC\"", Some(place)));
            }
        }
        Ok(())
    }

    fn parse(&mut self, label: &[u8], text: &str) -> Outcome {
        self.analyse(text)?;
        let statements = cut(text);
        if statements.len() > 1 {
            return Err(error("42601", "cannot insert multiple commands into a prepared statement", None));
        }
        if self.status == Status::Failed && !text.contains("ROLLBACK") {
            return Err(error("25P02", "current transaction is aborted", None));
        }
        if !label.is_empty() && self.statements.contains_key(label) {
            return Err(error("42P05", "prepared statement already exists", None));
        }
        self.statements.insert(label.to_vec(), text.to_owned());
        self.say(b'1', b"");
        Ok(())
    }

    fn bind(&mut self, portal: &[u8], statement: &[u8]) -> Outcome {
        let text = self
            .statements
            .get(statement)
            .ok_or_else(|| error("26000", "no such prepared statement", None))?;
        if self.status == Status::Failed && !text.contains("ROLLBACK") {
            return Err(error("25P02", "current transaction is aborted", None));
        }
        if !portal.is_empty() && self.portals.contains_key(portal) {
            return Err(error("42P03", "portal already exists", None));
        }
        self.portals.insert(portal.to_vec(), (text.clone(), false));
        self.say(b'2', b"");
        Ok(())
    }

    fn describe(&mut self, kind: u8, label: &[u8]) -> Outcome {
        let text = match kind {
            b'S' => self.statements.get(label).cloned(),
            _ => self.portals.get(label).map(|portal| portal.0.clone()),
        };
        let text = text.ok_or_else(|| error("26000", "nothing of that name", None))?;
        if kind == b'S' {
            self.say(b't', b"\0\0");
        }
        if text.starts_with("SELECT") {
            self.say(b'T', b"\0\0");
        } else {
            self.say(b'n', b"");
        }
        Ok(())
    }

    fn execute(&mut self, portal: &[u8]) -> Outcome {
        let (text, done) =
            self.portals.get_mut(portal).ok_or_else(|| error("34000", "no such portal", None))?;
        if std::mem::replace(done, true) {
            return Err(error("55000", "portal cannot be run", None));
        }
        let text = text.clone();
        let Some(statement) = cut(&text).into_iter().next() else {
            self.say(b'I', b"");
            return Ok(());
        };
        if statement.starts_with("COPY") && self.status != Status::Failed {
            self.say(b'G', b"\0\0\0");
            let rest = VecDeque::new();
            self.copying = Some(Copying { extended: true, rest, source: text, failed: false });
            return Ok(());
        }
        self.run(&statement, &text, false)?;
        // What can't run in a transaction is committed at once.
        if self.status == Status::Idle && alone(&statement) {
            self.end(true);
        }
        Ok(())
    }

    /// Runs a statement. In a simple string its result is described too.
    fn run(&mut self, statement: &str, source: &str, describe: bool) -> Outcome {
        let words: Vec<&str> = statement.split_whitespace().collect();
        let first = words[0];
        if self.status == Status::Failed && !["COMMIT", "ROLLBACK"].contains(&first) {
            return Err(error("25P02", "current transaction is aborted", None));
        }
        if statement.contains("FAIL") {
            let place = source.find("FAIL").map(|at| source[..at].chars().count() + 1);
            return Err(error("XX000", "it failed", place));
        }
        if statement == GUARD {
            assert!(!self.native, "the guard has not been asked for");
            return self.guard();
        }
        if alone(statement) && (self.status != Status::Idle || self.implicit) {
            return Err(error("25001", "it cannot run inside a transaction block", None));
        }
        let ddlx = ddlx(statement);
        match (first, &ddlx) {
            ("BEGIN", _) => {
                self.status = Status::Transaction;
                self.complete("BEGIN");
            }
            ("COMMIT" | "ROLLBACK", _) => {
                let commit = first == "COMMIT" && self.status != Status::Failed;
                let implicit = self.implicit;
                self.end(commit);
                self.implicit = implicit;
                self.complete(if commit { "COMMIT" } else { "ROLLBACK" });
            }
            ("SELECT", _) => {
                if describe {
                    self.say(b'T', b"\0\0");
                }
                self.say(b'D', b"\0\0");
                self.complete("SELECT 1");
            }
            (_, Some(What::Replaced(text, tag))) => {
                assert!(self.native, "can't be parsed");
                let text = String::from_utf8_lossy(text).into_owned();
                if text.contains("refuse") {
                    return Err(error("EX001", "unsupported", None));
                }
                self.notice("enabled", None);
                self.open.push(text);
                self.complete(tag);
            }
            ("CALL", _) if statement.contains("electric.") => {
                if statement.contains("refuse") {
                    return Err(with_context(&error("EX001", "unsupported", None)));
                }
                self.notice("enabled", Some("PL/pgSQL function"));
                self.open.push(statement.to_owned());
                let tag =
                    if self.native && statement.contains("electrify") { "ELECTRIC ENABLE" } else { "CALL" };
                self.complete(tag);
            }
            ("ALTER" | "CREATE" | "DROP" | "CALL" | "DO", _) => {
                self.open.push(statement.to_owned());
                self.refused |= statement.contains("REFUSED");
                self.changed = true;
                if self.native && self.unguarded {
                    self.guard()?;
                }
                self.complete(first);
            }
            _ => {
                self.open.push(statement.to_owned());
                self.complete(&format!("{first} 0 1"));
            }
        }
        Ok(())
    }

    /// What is asked after every change of the schema.
    fn guard(&mut self) -> Outcome {
        let native = self.native;
        if self.refused {
            self.refused = false;
            let refusal = error("EX004", "Cannot drop electrified table", None);
            return Err(if native { refusal } else { with_context(&refusal) });
        }
        if std::mem::take(&mut self.changed) {
            self.notice("captured", (!native).then_some("PL/pgSQL function"));
        }
        if !native {
            self.complete("DO");
        }
        Ok(())
    }

    fn notice(&mut self, message: &str, context: Option<&str>) {
        let mut notice = vec![(b'S', "NOTICE"), (b'C', "00000"), (b'M', message)];
        notice.extend(context.filter(|_| !self.native).map(|context| (b'W', context)));
        let frame = fields(&notice);
        self.say(b'N', frame.body());
    }
}

fn ddlx(statement: &str) -> Option<What> {
    let found =
        Reading::of(statement.as_bytes(), Dialect::default(), Target::Synced { guarded: false }).found;
    found.into_iter().next().map(|found| found.what)
}

fn alone(statement: &str) -> bool {
    statement.contains("CONCURRENTLY")
}

fn cut(text: &str) -> Vec<String> {
    Statements::new(text.as_bytes(), Dialect::default())
        .map(|statement| String::from_utf8_lossy(statement.text()).into_owned())
        .collect()
}

fn error(code: &str, message: &str, position: Option<usize>) -> Frame {
    let position = position.map(|position| position.to_string());
    let mut all = vec![(b'S', "ERROR"), (b'C', code), (b'M', message)];
    all.extend(position.as_deref().map(|position| (b'P', position)));
    fields(&all)
}

fn with_context(frame: &Frame) -> Frame {
    let body = frame.body();
    Frame::new(b'E', &[&body[..body.len() - 1], b"Wfunction\0\0"].concat())
}

fn fields(all: &[(u8, &str)]) -> Frame {
    let mut body = Vec::new();
    for (kind, value) in all {
        body.push(*kind);
        body.extend_from_slice(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    Frame::new(b'E', &body)
}
