//! What a client sees through the machine is what it would see of a Postgres that knew DDLX, whatever it sends and
//! however messages cross.

use proptest::{prelude::*, sample::select};

use super::{
    super::{
        Ddlx,
        fields::{Fields, HINT},
    },
    model::{Effects, Server},
};
use crate::{Exchange, Frame, Guarding, Intercept, Reported};

const STATEMENTS: &[&str] = &[
    "SELECT 'é'",
    "INSERT x",
    "UPDATE FAIL x",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "/* é */ SYNTAX",
    "ALTER TABLE \"é\" ENABLE ELECTRIC",
    "ELECTRIC DISABLE t",
    "ELECTRIC GRANT SELECT ON t TO 'a'",
    "ELECTRIC é",
    "ALTER TABLE t ENABLE ELECTRIC JUNK",
    "CALL electric.electrify('t')",
    "ALTER TABLE t ADD c int",
    "DROP TABLE REFUSED",
    "DO FAIL",
    "CREATE INDEX CONCURRENTLY i",
    "",
];

/// Sends everything straight to the model.
fn direct(script: &[Frame], unguarded: bool) -> (Vec<Frame>, Effects) {
    let mut server = Server::native(unguarded);
    for frame in script {
        server.receive(frame.clone());
        server.step();
    }
    let seen = server.outbox.drain(..).collect();
    (seen, server.committed().clone())
}

/// Sends everything through the machine; `schedule` says who goes next.
fn proxied(script: &[Frame], unguarded: bool, schedule: &[u8]) -> (Vec<Frame>, Effects) {
    let guarding = Guarding::default();
    guarding.set(unguarded);
    let mut machine = Ddlx::electric(&Reported::default(), guarding);
    let mut server = Server::plain();
    let mut client = script.iter().cloned();
    let (mut seen, mut turns, mut out) = (Vec::new(), schedule.iter().cycle(), Exchange::default());
    let mut sent_all = false;
    loop {
        match turns.next().map_or(0, |turn| turn % 3) {
            0 if !sent_all => match client.next() {
                Some(frame) if machine.minds_client(frame.tag()) => machine.from_client(frame, &mut out),
                Some(frame) => out.server(&frame),
                None => sent_all = true,
            },
            2 if !server.outbox.is_empty() => {
                let frame = server.outbox.pop_front().unwrap();
                if machine.minds_server(frame.tag()) {
                    machine.from_server(frame, &mut out);
                } else {
                    out.client(&frame);
                }
            }
            _ => {
                server.step();
                if sent_all && server.is_idle() && server.outbox.is_empty() {
                    return (seen, server.committed().clone());
                }
                if sent_all && server.is_idle() {
                    // Nothing else is left to do.
                    let frame = server.outbox.pop_front().unwrap();
                    if machine.minds_server(frame.tag()) {
                        machine.from_server(frame, &mut out);
                    } else {
                        out.client(&frame);
                    }
                }
            }
        }
        for frame in frames(&out.to_server) {
            server.receive(frame);
        }
        out.to_server.clear();
        seen.extend(frames(&out.to_client));
        out.to_client.clear();
    }
}

fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let length = 1 + u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
        frames.push(Frame::from_wire(bytes[..length].to_vec().into()).unwrap());
        bytes = &bytes[length..];
    }
    frames
}

/// As a person reads it. Hints are not compared.
fn shown(frames: &[Frame]) -> Vec<String> {
    frames
        .iter()
        .map(|frame| {
            let frame = if matches!(frame.tag(), b'E' | b'N') {
                let mut fields = Fields::of(frame);
                fields.remove(HINT);
                fields.frame()
            } else {
                frame.clone()
            };
            format!(
                "{} {}",
                char::from(frame.tag()),
                String::from_utf8_lossy(frame.body()).replace('\0', "|")
            )
        })
        .collect()
}

fn query(text: &str) -> Frame {
    Frame::new(b'Q', format!("{text}\0").as_bytes())
}

fn parse(label: &str, text: &str) -> Frame {
    Frame::new(b'P', format!("{label}\0{text}\0\0\0").as_bytes())
}

fn bind(portal: &str, label: &str) -> Frame {
    Frame::new(b'B', format!("{portal}\0{label}\0\0\0\0\0\0\0").as_bytes())
}

fn execute(portal: &str) -> Frame {
    Frame::new(b'E', format!("{portal}\0\0\0\0\0").as_bytes())
}

fn sync() -> Frame {
    Frame::new(b'S', b"")
}

fn label() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", "a", "b"])
}

fn statement() -> impl Strategy<Value = &'static str> {
    select(STATEMENTS.to_vec())
}

/// Messages that belong together, as drivers send them, and single ones in any order.
fn messages() -> impl Strategy<Value = Vec<Frame>> {
    let string = prop::collection::vec(prop_oneof![12 => statement(), 1 => Just("COPY t FROM STDIN")], 1..6)
        .prop_map(|statements| {
            let copies = statements.iter().filter(|statement| statement.starts_with("COPY")).count();
            let mut frames = vec![query(&statements.join("; "))];
            // Postgres leaves aside what data it has not asked for.
            for _ in 0..copies {
                frames.extend([Frame::new(b'd', b"1\n"), Frame::new(b'c', b"")]);
            }
            frames
        });
    let whole = (label(), label(), statement()).prop_map(|(name, portal, text)| {
        let describe = Frame::new(b'D', format!("P{portal}\0").as_bytes());
        vec![parse(name, text), bind(portal, name), describe, execute(portal), sync()]
    });
    let copy = (any::<bool>()).prop_map(|done| {
        let end = if done { Frame::new(b'c', b"") } else { Frame::new(b'f', b"no\0") };
        vec![
            sync(),
            parse("", "COPY t FROM STDIN"),
            bind("", ""),
            execute(""),
            sync(),
            Frame::new(b'd', b"1\n"),
            end,
            sync(),
            // Run once more, it would want data.
            Frame::new(b'C', b"S\0"),
            sync(),
        ]
    });
    let single = prop_oneof![
        2 => (label(), statement()).prop_map(|(name, text)| parse(name, text)),
        3 => (label(), label()).prop_map(|(portal, name)| bind(portal, name)),
        3 => label().prop_map(execute),
        1 => (select(vec!["S", "P"]), label()).prop_map(|(kind, name)| Frame::new(b'D', format!("{kind}{name}\0").as_bytes())),
        1 => (select(vec!["S", "P"]), label()).prop_map(|(kind, name)| Frame::new(b'C', format!("{kind}{name}\0").as_bytes())),
        1 => Just(Frame::new(b'H', b"")),
        2 => Just(sync()),
    ]
    .prop_map(|frame| vec![frame]);
    let call = Just(vec![sync(), Frame::new(b'F', b"\0\0\0\0")]);
    // Nobody sends a string where Sync is due.
    let string = string.prop_map(|mut frames| {
        frames.insert(0, sync());
        frames
    });
    prop_oneof![4 => string, 4 => whole, 1 => copy, 6 => single, 1 => call]
}

fn script() -> impl Strategy<Value = Vec<Frame>> {
    prop::collection::vec(messages(), 0..10).prop_map(|groups| {
        let mut script: Vec<Frame> = groups.concat();
        script.push(sync());
        script
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_client_sees_a_postgres_that_knows_ddlx(script in script(), schedule in prop::collection::vec(any::<u8>(), 1..40)) {
        let (expected, effects) = direct(&script, false);
        let (seen, done) = proxied(&script, false, &[&schedule[..], &[0, 1, 2]].concat());
        prop_assert_eq!(shown(&seen), shown(&expected));
        prop_assert_eq!(done, effects);
    }

    #[test]
    fn a_client_sees_a_postgres_that_guards_its_schema(script in script(), schedule in prop::collection::vec(any::<u8>(), 1..40)) {
        let (expected, effects) = direct(&script, true);
        let (seen, done) = proxied(&script, true, &[&schedule[..], &[0, 1, 2]].concat());
        prop_assert_eq!(shown(&seen), shown(&expected));
        prop_assert_eq!(done, effects);
    }
}
