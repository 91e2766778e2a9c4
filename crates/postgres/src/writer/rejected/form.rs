//! Operations as JSON, for people to read and for the writer to take up again.
//!
//! ```json
//! [{"op": "update", "table": "items", "row": {"id": "1", "note": "x", "done": null}, "wrote": ["note"], "saw": ["A@1000"]}]
//! ```
//!
//! Values are Postgres' text; a value that JSON in Postgres can't hold is `{"hex": "…"}`. Columns that an operation does not carry
//! are not there.

use bytes::Bytes;
use change::{ClientOp, ClientOpKind, ClientTransaction, Field, RefusedOp, RefusedTransaction};
use schema::{Schema, Table};
use serde_json::{Map, Value, json};

/// The most bytes of operations that are stored for one transaction.
pub const MAX_BYTES: usize = 1 << 20;

/// What is stored of a transaction's operations.
pub struct Stored {
    /// The JSON.
    pub text: String,
    /// Whether it is all of them.
    pub complete: bool,
}

/// The operations in their stored form: the first ones, if all are too large.
pub fn store(tx: &ClientTransaction, schema: &Schema) -> Stored {
    let ops = tx.ops.iter().map(|op| write(op, schema.table(op.relation).map(|table| &**table)));
    let mut stored = collect(ops, tx.ops.len());
    // Without its table an operation can't be told from others.
    stored.complete &= tx.ops.iter().all(|op| schema.table(op.relation).is_some());
    stored
}

/// The same for a transaction that was refused before Postgres was asked.
pub fn store_refused(tx: &RefusedTransaction) -> Stored {
    let write = |op: &RefusedOp| {
        let row: Map<String, Value> = op
            .row
            .iter()
            .map(|(name, value)| (name.clone(), value.value().map_or(Value::Null, text)))
            .collect();
        let saw: Vec<String> = op.saw.iter().map(ToString::to_string).collect();
        json!({ "op": word(op.kind), "table": op.table, "row": row, "wrote": op.wrote, "saw": saw })
    };
    collect(tx.ops.iter().map(write), tx.count)
}

/// Of `count` operations the first ones that there is room for.
fn collect(ops: impl Iterator<Item = Value>, count: usize) -> Stored {
    let mut text = String::from("[");
    let mut stored = 0;
    for op in ops {
        let one = op.to_string();
        if text.len() + one.len() + 2 > MAX_BYTES {
            break;
        }
        if stored > 0 {
            text.push(',');
        }
        text.push_str(&one);
        stored += 1;
    }
    text.push(']');
    Stored { text, complete: stored == count }
}

fn word(kind: ClientOpKind) -> &'static str {
    match kind {
        ClientOpKind::Insert => "insert",
        ClientOpKind::Update => "update",
        ClientOpKind::Delete => "delete",
        ClientOpKind::Compensation => "compensation",
    }
}

fn write(op: &ClientOp, table: Option<&Table>) -> Value {
    let kind = word(op.kind);
    let Some(table) = table else { return json!({ "op": kind, "table": null }) };
    let columns = || table.columns.iter().zip(&op.values);
    let row: Map<String, Value> = columns()
        .filter(|(_, value)| **value != Field::Absent)
        .map(|(column, value)| (column.name.clone(), value.value().map_or(Value::Null, text)))
        .collect();
    let wrote = table.columns.iter().zip(&op.written).filter(|(_, written)| **written);
    let wrote: Vec<&str> = wrote.map(|(column, _)| column.name.as_str()).collect();
    let saw: Vec<String> = op.clear.iter().map(ToString::to_string).collect();
    json!({ "op": kind, "table": table.name, "row": row, "wrote": wrote, "saw": saw })
}

fn text(value: &[u8]) -> Value {
    match std::str::from_utf8(value) {
        Ok(text) if !text.contains('\0') => text.into(),
        _ => json!({ "hex": value.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

/// Operations from their stored form, for the tables as they are now. `None` if those are not the tables that they were made
/// for, or if the form is not ours.
pub fn read(text: &str, schema: &Schema) -> Option<Vec<ClientOp>> {
    let ops: Vec<Value> = serde_json::from_str(text).ok()?;
    ops.iter().map(|op| read_op(op, schema)).collect()
}

/// Those of the operations that are of tables as they are now.
pub fn read_known(text: &str, schema: &Schema) -> Vec<ClientOp> {
    let ops: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    ops.iter().filter_map(|op| read_op(op, schema)).collect()
}

fn read_op(op: &Value, schema: &Schema) -> Option<ClientOp> {
    let kind = match op.get("op")?.as_str()? {
        "insert" => ClientOpKind::Insert,
        "update" => ClientOpKind::Update,
        "delete" => ClientOpKind::Delete,
        "compensation" => ClientOpKind::Compensation,
        _ => return None,
    };
    let table = schema.table_named(op.get("table")?.as_str()?)?;
    let place = |name: &str| table.columns.iter().position(|column| column.name == name);
    let mut values = vec![Field::Absent; table.columns.len()];
    let mut written = vec![false; table.columns.len()];
    for (name, value) in op.get("row")?.as_object()? {
        *values.get_mut(place(name)?)? = field(value)?;
    }
    for name in op.get("wrote")?.as_array()? {
        *written.get_mut(place(name.as_str()?)?)? = true;
    }
    let saw = op.get("saw")?.as_array()?.iter().map(|tag| tag.as_str()?.parse().ok());
    Some(ClientOp { relation: table.id, kind, values, written, clear: saw.collect::<Option<_>>()? })
}

fn field(value: &Value) -> Option<Field> {
    Some(match value {
        Value::Null => Field::Null,
        Value::String(text) => Field::Value(Bytes::copy_from_slice(text.as_bytes())),
        Value::Object(object) => Field::Value(from_hex(object.get("hex")?.as_str()?)?),
        _ => return None,
    })
}

fn from_hex(text: &str) -> Option<Bytes> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    };
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_go_in_and_come_out() {
        for bytes in [&b"text"[..], b"", b"\0", b"\xff\xfe", "\u{1F600}\"\\".as_bytes()] {
            assert!(field(&text(bytes)) == Some(Field::Value(Bytes::copy_from_slice(bytes))), "{bytes:?}");
        }
        assert!(field(&json!({ "hex": "0" })).is_none());
        assert!(field(&json!({ "hex": "é" })).is_none());
        assert!(field(&json!(5)).is_none());
    }
}
