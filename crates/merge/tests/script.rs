//! A small language for the test vectors. Each line is a transaction on the row with the vector's own key in a table
//! `(id, value, other)`, or says what is expected at the end:
//!
//! ```text
//! A@1000: insert v0 0                          a client's transaction: tag, operations
//! B@2000: update value=b clear A@1000; delete  operations are separated by `;`
//! PG: update value=pg                          Postgres' own
//! untracked old 1                              the row was there before its table was synced
//! resend A@1000                                the client sends the transaction again
//! orders: 0 1 2 / 0 2 1                        the lines' orders to try, if not just as written
//! row: b 0                                     the final row, or `none`
//! tags: A@1000 PG@1                            the final tags; PG@n is the tag of line n, X@f is in the future
//! columns: A@1000 PG@1                         the tags of `value` and `other`
//! last: PG@1                                   the row's last tag; not checked if missing
//! ```
//!
//! `null` is NULL.

use bytes::Bytes;
use change::{ClientId, ClientLsn, ClientOp, ClientOpKind, ClientTransaction, Field, RelationId, Tag, Tags};

use super::model::Model;

/// The moment that `f` stands for: 2100-01-01, milliseconds since the epoch.
pub const FUTURE: i64 = 4_102_444_800_000;

/// The non-key columns, in table order after the key.
pub const COLUMNS: [&str; 2] = ["value", "other"];

/// A transaction.
#[derive(Clone, Debug)]
pub enum Step {
    /// Of a client. The relation and the key are still to be filled in.
    Client(ClientTransaction),
    /// Of Postgres itself: its line, its operations.
    Native(usize, Vec<Native>),
    /// From before the table was synced.
    Untracked(Vec<Field>),
}

/// What Postgres itself does to the row.
#[derive(Clone, Debug)]
pub enum Native {
    /// The non-key values.
    Insert(Vec<Field>),
    /// Indexes into [`COLUMNS`] and values.
    Update(Vec<(usize, Field)>),
    /// The row goes.
    Delete,
}

/// What has to come out.
#[derive(Debug, Default)]
struct Expected {
    row: Option<Vec<Field>>,
    tags: Vec<String>,
    columns: Vec<String>,
    last: Option<String>,
}

/// Reads `script`, has `run` play the steps in each order, and compares what comes out.
pub fn play(script: &str, mut run: impl FnMut(&[Step]) -> Model) {
    let (mut steps, mut orders, mut expected) = (Vec::new(), Vec::new(), Expected::default());
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (head, rest) = line.split_once(' ').unwrap_or((line, ""));
        match head {
            "orders:" => orders = rest.split('/').map(order).collect(),
            "row:" if rest == "none" => expected.row = None,
            "row:" => expected.row = Some(rest.split_whitespace().map(field).collect()),
            "tags:" => expected.tags = words(rest),
            "columns:" => expected.columns = words(rest),
            "last:" => expected.last = Some(rest.to_owned()),
            "untracked" => steps.push(Step::Untracked(rest.split_whitespace().map(field).collect())),
            "resend" => {
                let sent = |s: &&Step| matches!(s, Step::Client(tx) if tag_of(tx) == tag(rest));
                let again = steps.iter().find(sent).expect("something to send again").clone();
                steps.push(again);
            }
            "PG:" => steps.push(Step::Native(steps.len(), rest.split(';').map(native).collect())),
            _ => steps.push(Step::Client(transaction(head.trim_end_matches(':'), rest, steps.len()))),
        }
    }
    if orders.is_empty() {
        orders.push((0..steps.len()).collect());
    }
    for order in orders {
        let steps: Vec<Step> = order.iter().map(|n: &usize| steps[*n].clone()).collect();
        let model = run(&steps);
        compare(&model, &expected, &order);
    }
}

fn compare(model: &Model, expected: &Expected, order: &[usize]) {
    let resolve = |text: &String| model.resolve(text);
    let row = model.state.is_alive().then(|| model.state.values().expect("values")[1..].to_vec());
    assert_eq!(shown(row.as_deref()), shown(expected.row.as_deref()), "the row, in the order {order:?}");
    let tags: Tags = expected.tags.iter().map(resolve).collect();
    assert_eq!(model.state.tags, tags, "tags in the order {order:?}");
    if !expected.columns.is_empty() {
        let columns: Vec<Option<Tag>> = expected.columns.iter().map(|text| Some(resolve(text))).collect();
        assert_eq!(model.state.column_tags[1..], columns, "column tags in the order {order:?}");
    }
    if let Some(last) = &expected.last {
        assert_eq!(model.state.last_tag, Some(resolve(last)), "last tag in the order {order:?}");
    }
}

/// Values as text, since they don't print themselves.
pub fn shown(row: Option<&[Field]>) -> Option<Vec<String>> {
    let show = |field: &Field| match field {
        Field::Absent => "(absent)".to_owned(),
        Field::Null => "null".to_owned(),
        Field::Value(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    };
    row.map(|row| row.iter().map(show).collect())
}

/// The tag of a transaction.
pub fn tag_of(tx: &ClientTransaction) -> Tag {
    Tag::client(&tx.client, tx.timestamp_ms as i64)
}

/// A client's tag, or `postgres_1@0`.
fn tag(text: &str) -> Tag {
    text.replace("@f", &format!("@{FUTURE}")).parse().expect("a tag")
}

fn transaction(head: &str, ops: &str, line: usize) -> ClientTransaction {
    let tag = tag(head);
    let client: ClientId = tag.origin.client().expect("a client").clone();
    ClientTransaction {
        client,
        lsn: ClientLsn::new(Bytes::copy_from_slice(&(line as u32 + 1).to_be_bytes())).expect("a position"),
        timestamp_ms: tag.ms as u64,
        ops: ops.split(';').map(|op| client_op(op.trim())).collect(),
    }
}

fn client_op(text: &str) -> ClientOp {
    let (op, clear) = text.split_once("clear").unwrap_or((text, ""));
    let (kind, rest) = op.trim().split_once(' ').unwrap_or((op.trim(), ""));
    let mut values = vec![Field::Absent; 1 + COLUMNS.len()];
    let mut written = vec![false; values.len()];
    let kind = match kind {
        "insert" => {
            for (column, word) in rest.split_whitespace().enumerate() {
                values[column + 1] = field(word);
            }
            written[1..].fill(true);
            ClientOpKind::Insert
        }
        "update" => {
            for (column, value) in assignments(rest) {
                values[column + 1] = value;
                written[column + 1] = true;
            }
            ClientOpKind::Update
        }
        "delete" => ClientOpKind::Delete,
        "compensation" => ClientOpKind::Compensation,
        other => panic!("no such operation: {other}"),
    };
    let clear = clear.split_whitespace().map(tag).collect();
    ClientOp { relation: RelationId(0), kind, values, written, clear }
}

fn native(text: &str) -> Native {
    let (kind, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    match kind {
        "insert" => Native::Insert(rest.split_whitespace().map(field).collect()),
        "update" => Native::Update(assignments(rest).collect()),
        "delete" => Native::Delete,
        other => panic!("no such operation: {other}"),
    }
}

fn assignments(text: &str) -> impl Iterator<Item = (usize, Field)> {
    text.split_whitespace().map(|assignment| {
        let (name, value) = assignment.split_once('=').expect("column=value");
        (COLUMNS.iter().position(|column| *column == name).expect("a column"), field(value))
    })
}

fn field(word: &str) -> Field {
    match word {
        "null" => Field::Null,
        word => Field::Value(Bytes::copy_from_slice(word.as_bytes())),
    }
}

fn order(text: &str) -> Vec<usize> {
    text.split_whitespace().map(|n| n.parse().expect("a line number")).collect()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
