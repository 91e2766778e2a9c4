//! How the vectors write rows and what a client sees.
//!
//! A row is a letter and a number, `u1`, which `@u1` stands for in SQL and where-clauses; one with the key (1, 5) is `o1.5`. An event
//! is `TX[I e1, U u1{name=Jo}, D c1, G c2]`, with ` +R` if it announces additional data, `ADD[…]`, `DATA A[…]`, or `UNSUB A[…]`;
//! with ` ?R`, it may announce additional data that turns out to be none.
//! Operations are sets; `{column=value}` narrows one down to a value, `{column=}` to NULL.

use std::fmt;

use testkit::satellite::{Op, Received, Row, ShapeData};

/// The id that a row's name stands for: the letter and the number are in it.
pub fn id(name: &str) -> String {
    let (letter, number) = name.split_at(1);
    format!("00000000-0000-40{:02x}-8000-{:0>12}", letter.as_bytes()[0], number)
}

/// The id of a subscription that a vector calls by a letter.
pub fn subscription_id(name: &str) -> String {
    format!("5ab5c819-0000-4000-8000-{:012x}", name.as_bytes()[0])
}

/// Replaces `@u1` by the row's id as an SQL literal.
pub fn with_ids(text: &str) -> String {
    let mut parts = text.split('@');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.chars().skip(1).take_while(char::is_ascii_digit).count();
        assert!(digits > 0, "no row's name after @ in {text}");
        let (name, rest) = part.split_at(1 + digits);
        out += &format!("'{}'{rest}", id(name));
    }
    out
}

/// The name of a row that came.
pub fn name(row: &Row) -> String {
    let text = |column: &str| {
        let value = row.get(column).and_then(Option::as_ref);
        value.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    match (text("id"), text("tenant"), text("no")) {
        (Some(id), ..) => {
            let letter = id.get(16..18).and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(b'?');
            let number = id.get(24..).unwrap_or_default().trim_start_matches('0');
            format!("{}{number}", char::from(letter))
        }
        (None, Some(tenant), Some(no)) => format!("o{tenant}.{no}"),
        _ => "?".into(),
    }
}

/// One operation, come or expected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    row: String,
    kind: char,
    /// Of an expected one: the column and value that it has to have.
    value: Option<(String, String)>,
}

/// One event, come or expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `TX`, `TX +R`, `ADD`, `DATA A`, `UNSUB A`.
    pub kind: String,
    /// Sorted.
    pub steps: Vec<Step>,
}

impl Event {
    /// Reads an expected event.
    pub fn parse(text: &str) -> Event {
        let open = text.find('[').unwrap_or_else(|| panic!("no [ in {text}"));
        let close = text.rfind(']').unwrap_or_else(|| panic!("no ] in {text}"));
        let list = text[open + 1..close].split(',').map(str::trim).filter(|step| !step.is_empty());
        let mut steps: Vec<_> = list.map(Step::parse).collect();
        steps.sort();
        Event { kind: format!("{}{}", text[..open].trim(), &text[close + 1..]).trim_end().to_owned(), steps }
    }

    /// Whether this is what was expected.
    pub fn is(&self, expected: &Event) -> bool {
        let same = |(got, wanted): (&Step, &Step)| {
            (&got.row, got.kind) == (&wanted.row, wanted.kind)
                && (wanted.value.is_none() || got.value == wanted.value)
        };
        self.kind == expected.kind
            && self.steps.len() == expected.steps.len()
            && self.steps.iter().zip(&expected.steps).all(same)
    }

    /// Whether additional data is to follow.
    pub fn announces(&self) -> bool {
        self.kind == "TX +R"
    }

    /// Writes down what came, with the values that `expected` asks for.
    pub fn of(received: &Received, expected: &Event) -> Event {
        let (kind, ops): (_, Vec<&Op>) = match received {
            Received::Transaction { begin, ops } => {
                (if begin.additional_data_ref == 0 { "TX" } else { "TX +R" }.into(), ops.iter().collect())
            }
            Received::Data { subscription, shapes, .. } => {
                let ops = shapes.iter().flat_map(|ShapeData { ops, .. }| ops);
                (format!("DATA {}", subscription_name(subscription)), ops.collect())
            }
            Received::Additional { ops, .. } => ("ADD".into(), ops.iter().collect()),
            Received::Gone { subscriptions, ops, .. } => {
                let names: Vec<_> = subscriptions.iter().map(|id| subscription_name(id)).collect();
                (format!("UNSUB {}", names.join("+")), ops.iter().collect())
            }
        };
        let mut steps: Vec<_> = ops.into_iter().map(|op| Step::of(op, expected)).collect();
        steps.sort_by(|a, b| (&a.row, a.kind).cmp(&(&b.row, b.kind)));
        Event { kind, steps }
    }
}

impl Step {
    fn parse(text: &str) -> Step {
        let (kind, rest) = text.split_once(' ').unwrap_or_else(|| panic!("no operation: {text}"));
        let (row, value) = match rest.split_once('{') {
            None => (rest, None),
            Some((row, value)) => {
                let (column, value) = value.trim_end_matches('}').split_once('=').expect("column=value");
                (row, Some((column.to_owned(), value.to_owned())))
            }
        };
        assert!(["I", "U", "D", "G"].contains(&kind), "no operation: {text}");
        Step { kind: kind.chars().next().expect("a letter"), row: row.to_owned(), value }
    }

    fn of(op: &Op, expected: &Event) -> Step {
        let kind = match op {
            Op::Insert { .. } => 'I',
            Op::Update { .. } => 'U',
            Op::Delete { .. } => 'D',
            Op::Gone { .. } => 'G',
            Op::Migrate(_) => 'M',
        };
        let Some((_, values)) = op.row() else { return Step { row: String::new(), kind, value: None } };
        let row = name(values);
        let column = expected.steps.iter().filter(|step| step.row == row).find_map(|step| step.value.clone());
        let value = column.map(|(column, _)| {
            let value = values.get(&column).cloned().flatten().unwrap_or_default();
            let value = String::from_utf8_lossy(&value).into_owned();
            (column, value)
        });
        Step { row, kind, value }
    }
}

fn subscription_name(id: &str) -> String {
    let byte = id.get(24..).and_then(|hex| u8::from_str_radix(hex, 16).ok());
    match byte.filter(|_| id.starts_with("5ab5c819-")) {
        Some(byte) => char::from(byte).to_string(),
        None => id.to_owned(),
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<_> = self.steps.iter().map(ToString::to_string).collect();
        let (kind, reference) =
            self.kind.split_once(" +R").map_or((self.kind.as_str(), ""), |(k, _)| (k, " +R"));
        write!(f, "{kind}[{}]{reference}", steps.join(", "))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.row)?;
        match &self.value {
            Some((column, value)) => write!(f, "{{{column}={value}}}"),
            None => Ok(()),
        }
    }
}
