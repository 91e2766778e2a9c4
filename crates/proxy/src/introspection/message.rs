//! The few messages that introspection reads and makes. What is not of its form is read as far as it goes.

use bytes::{BufMut as _, BytesMut};

use crate::Frame;

/// The names of a RowDescription's columns, in order.
pub fn column_names(body: &[u8]) -> Vec<&[u8]> {
    let mut names = Vec::new();
    let mut rest = body.get(2..).unwrap_or_default();
    while let Some((name, after)) = text(rest) {
        names.push(name);
        // The table, the column's number in it, type, length, modifier, format.
        rest = after.get(18..).unwrap_or_default();
    }
    names
}

/// The values of a DataRow, in order; `None` is NULL.
pub fn values(body: &[u8]) -> Vec<Option<&[u8]>> {
    let mut values = Vec::new();
    let mut rest = body.get(2..).unwrap_or_default();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        match usize::try_from(i32::from_be_bytes(*length)) {
            Ok(length) => {
                let Some((value, after)) = after.split_at_checked(length) else { break };
                values.push(Some(value));
                rest = after;
            }
            Err(_) => {
                values.push(None);
                rest = after;
            }
        }
    }
    values
}

/// A DataRow with these values.
pub fn data_row(values: &[Option<&[u8]>]) -> Frame {
    let mut body = BytesMut::new();
    body.put_u16(values.len() as u16);
    for value in values {
        match value {
            Some(value) => {
                body.put_i32(value.len() as i32);
                body.put_slice(value);
            }
            None => body.put_i32(-1),
        }
    }
    Frame::new(b'D', &body)
}

/// A text up to its zero byte, and what follows that.
pub fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// Asks for the columns of a portal.
pub fn describe_portal(portal: &[u8]) -> Frame {
    Frame::new(b'D', &named(b'P', portal))
}

/// Whether an ErrorResponse is the last message of its session.
pub fn is_fatal(body: &[u8]) -> bool {
    fields(body).any(|field| matches!(field, b"VFATAL" | b"VPANIC"))
}

/// An ErrorResponse as the client gets it: whoever tries to write learns why that can't be done.
pub fn advised(frame: Frame) -> Frame {
    const HINT: &[u8] = b"HThe user name prisma is for generating clients' code, which only reads. Migrate as any other user.\0\0";
    let refused = fields(frame.body()).any(|field| field == b"C25006");
    let hinted = fields(frame.body()).any(|field| field.first() == Some(&b'H'));
    match frame.body().strip_suffix(b"\0") {
        Some(body) if refused && !hinted => Frame::new(b'E', &[body, HINT].concat()),
        _ => frame,
    }
}

/// The fields of an ErrorResponse: a letter and a text each.
fn fields(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (field, after) = text(rest)?;
        rest = after;
        (!field.is_empty()).then_some(field)
    })
}

/// One query of our own by the extended protocol, without Sync, under names that no client uses; nothing of it stays. Results come
/// as text. A simple query would make the client's unnamed statement go away.
pub fn query(sql: &str, parameters: &[&[u8]], out: &mut BytesMut) {
    const NAME: &[u8] = b"tieline_introspection";
    // One that a client's own error left behind.
    out.extend_from_slice(Frame::new(b'C', &named(b'S', NAME)).wire());
    let mut parse = BytesMut::new();
    put_text(&mut parse, NAME);
    put_text(&mut parse, sql.as_bytes());
    parse.put_u16(0);
    out.extend_from_slice(Frame::new(b'P', &parse).wire());
    let mut bind = BytesMut::new();
    put_text(&mut bind, NAME);
    put_text(&mut bind, NAME);
    bind.put_u16(0);
    bind.put_u16(parameters.len() as u16);
    for parameter in parameters {
        bind.put_i32(parameter.len() as i32);
        bind.put_slice(parameter);
    }
    bind.put_u16(0);
    out.extend_from_slice(Frame::new(b'B', &bind).wire());
    let mut execute = BytesMut::new();
    put_text(&mut execute, NAME);
    execute.put_u32(0);
    out.extend_from_slice(Frame::new(b'E', &execute).wire());
    for kind in [b'P', b'S'] {
        out.extend_from_slice(Frame::new(b'C', &named(kind, NAME)).wire());
    }
}

/// Ends a round.
pub fn sync() -> Frame {
    Frame::new(b'S', b"")
}

fn named(kind: u8, name: &[u8]) -> BytesMut {
    let mut body = BytesMut::new();
    body.put_u8(kind);
    put_text(&mut body, name);
    body
}

fn put_text(body: &mut BytesMut, text: &[u8]) {
    body.put_slice(text);
    body.put_u8(0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read() {
        let mut body = vec![0, 2];
        for name in ["table_name", "namespace"] {
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(&[0; 19]);
        }
        assert_eq!(column_names(&body), [&b"table_name"[..], b"namespace"]);
    }

    #[test]
    fn the_severity_tells_of_the_last_message() {
        assert!(is_fatal(b"SFATAL\0VFATAL\0C57P01\0\0"));
        assert!(!is_fatal(b"SERROR\0VERROR\0MVFATAL\0\0"));
    }

    #[test]
    fn writers_get_a_hint() {
        let advised = |body: &[u8]| advised(Frame::new(b'E', body)).body().to_vec();
        assert!(advised(b"SERROR\0C25006\0\0").ends_with(b"any other user.\0\0"));
        for body in [&b"SERROR\0C42601\0\0"[..], b"C25006\0Hmine\0\0", b""] {
            assert_eq!(advised(body), body);
        }
    }

    proptest! {
        #[test]
        fn rows_are_read_as_they_are_made(row in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..9)), 0..6)) {
            let row: Vec<_> = row.iter().map(|value| value.as_deref()).collect();
            let frame = data_row(&row);
            prop_assert_eq!(values(frame.body()), row);
        }

        #[test]
        fn anything_can_be_read(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = (column_names(&body), values(&body), text(&body), is_fatal(&body), advised(Frame::new(b'E', &body)));
        }
    }
}
