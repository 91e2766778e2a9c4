//! The rows of a read, in the text form of `COPY`.

use bytes::Bytes;
use change::{Tag, Tags};
use postgres_protocol::message::backend;
use smallvec::SmallVec;

use super::pool::{OpenSnapshot, SnapshotError};
use crate::{
    tag_text::parse_tags,
    wire::{ServerError, WireError},
};

/// A line is not the row that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Postgres returned a row that is not of the form that was asked for")]
pub struct MalformedRow;

/// The values of a row in table column order.
pub type Values<'a> = SmallVec<[Option<&'a [u8]>; 32]>;

/// The rows of one read, while they arrive.
pub struct RowStream<'s> {
    snapshot: &'s mut OpenSnapshot,
    reader: RowReader,
    failure: Option<ServerError>,
    is_done: bool,
}

impl<'s> RowStream<'s> {
    pub(super) fn new(snapshot: &'s mut OpenSnapshot, reader: RowReader) -> RowStream<'s> {
        RowStream { snapshot, reader, failure: None, is_done: false }
    }

    /// Hands the next rows to `take`: those that have been received, at most `limit`, waiting for one if there is none. The
    /// values are in table column order. Returns how many rows there were; zero at the end.
    ///
    /// # Errors
    /// [`SnapshotError`]; the snapshot is of no use any more.
    pub async fn next_rows(
        &mut self,
        limit: usize,
        mut take: impl FnMut(&[Option<&[u8]>], &Tags),
    ) -> Result<usize, SnapshotError> {
        let mut count = 0;
        while !self.is_done && count < limit {
            let wire = self.snapshot.wire()?;
            let Some(frame) = wire.buffered()? else {
                if count > 0 {
                    break;
                }
                wire.fill().await.map_err(WireError::from)?;
                continue;
            };
            match frame.tag {
                backend::COPY_DATA_TAG => {
                    self.reader.read(&frame.body, &mut take)?;
                    count += 1;
                }
                backend::ERROR_RESPONSE_TAG => self.failure = Some(frame.server_error()),
                backend::READY_FOR_QUERY_TAG => {
                    self.is_done = true;
                    self.snapshot.read_is_over(self.failure.is_none());
                    if let Some(failure) = self.failure.take() {
                        return Err(WireError::Server(failure).into());
                    }
                }
                _ => {}
            }
        }
        Ok(count)
    }
}

/// Takes lines apart.
#[derive(Debug)]
pub(super) struct RowReader {
    /// Number of columns of the table.
    width: usize,
    /// The columns in the line, as indexes into the table's.
    columns: Vec<usize>,
    has_tags: bool,
    /// Neighbours often have the same tags: those of the line before, and their text.
    tags: Tags,
    tags_text: Vec<u8>,
    unescaped: Vec<u8>,
}

impl RowReader {
    pub(super) fn new(width: usize, columns: Vec<usize>, has_tags: bool) -> RowReader {
        let tags = if has_tags { Tags::from_iter([Tag::EPOCH]) } else { Tags::new() };
        RowReader { width, columns, has_tags, tags, tags_text: b"\\N".to_vec(), unescaped: Vec::new() }
    }

    /// Takes one line apart and hands its values on.
    fn read(
        &mut self,
        line: &Bytes,
        take: &mut impl FnMut(&[Option<&[u8]>], &Tags),
    ) -> Result<(), MalformedRow> {
        let mut line = line.strip_suffix(b"\n").ok_or(MalformedRow)?;
        if self.has_tags {
            let end = line.iter().position(|byte| *byte == b'\t').ok_or(MalformedRow)?;
            let (tags, rest) = line.split_at(end);
            self.read_tags(tags)?;
            line = rest.get(1..).unwrap_or_default();
        }
        let mut values: Values<'_> = SmallVec::from_elem(None, self.width);
        let mut columns = self.columns.iter();
        let mut place = |value| {
            let slot = columns.next().and_then(|column| values.get_mut(*column));
            *slot.ok_or(MalformedRow)? = value;
            Ok(())
        };
        if line.contains(&b'\\') {
            // All values without their escapes, one after the other, then pointed into.
            self.unescaped.clear();
            let mut ends: SmallVec<[Option<(usize, usize)>; 32]> = SmallVec::new();
            for field in line.split(|byte| *byte == b'\t') {
                let start = self.unescaped.len();
                ends.push(match field {
                    b"\\N" => None,
                    field => {
                        unescape(field, &mut self.unescaped)?;
                        Some((start, self.unescaped.len()))
                    }
                });
            }
            for end in ends {
                place(end.and_then(|(start, end)| self.unescaped.get(start..end)))?;
            }
        } else {
            for field in line.split(|byte| *byte == b'\t') {
                place(Some(field))?;
            }
        }
        if columns.next().is_some() {
            return Err(MalformedRow);
        }
        take(&values, &self.tags);
        Ok(())
    }

    fn read_tags(&mut self, text: &[u8]) -> Result<(), MalformedRow> {
        if text == self.tags_text {
            return Ok(());
        }
        self.tags = match text {
            b"\\N" => Tags::from_iter([Tag::EPOCH]),
            escaped => {
                self.unescaped.clear();
                unescape(escaped, &mut self.unescaped)?;
                let tags = parse_tags(&self.unescaped).map_err(|_| MalformedRow)?;
                // A living row has tags. Where triggers were switched off it may have lost them.
                if tags.is_empty() { Tags::from_iter([Tag::EPOCH]) } else { tags }
            }
        };
        self.tags_text.clear();
        self.tags_text.extend_from_slice(text);
        Ok(())
    }
}

/// Takes out the escapes that `COPY` puts in.
fn unescape(field: &[u8], out: &mut Vec<u8>) -> Result<(), MalformedRow> {
    let mut rest = field;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let (plain, escaped) = rest.split_at(at);
        out.extend_from_slice(plain);
        let (byte, tail) = escaped.get(1..).and_then(<[u8]>::split_first).ok_or(MalformedRow)?;
        out.push(match byte {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            other => *other,
        });
        rest = tail;
    }
    out.extend_from_slice(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(reader: &mut RowReader, line: &str) -> Result<(Vec<Option<String>>, String), MalformedRow> {
        let mut found = None;
        let text = |value: &Option<&[u8]>| value.map(|v| String::from_utf8_lossy(v).into_owned());
        reader.read(&Bytes::copy_from_slice(line.as_bytes()), &mut |values, tags| {
            let tags: Vec<String> = tags.iter().map(Tag::to_string).collect();
            found = Some((values.iter().map(text).collect(), tags.join(" ")));
        })?;
        found.ok_or(MalformedRow)
    }

    #[test]
    fn reads_lines_of_rows() {
        let mut rows = RowReader::new(3, vec![0, 1, 2], true);
        let s = |text: &str| Some(text.to_owned());
        assert_eq!(
            read(&mut rows, "\\N\ta\t\\N\t\n"),
            Ok((vec![s("a"), None, s("")], "postgres_1@0".to_owned()))
        );
        let native = r#"{"(\\"2023-06-06 00:00:00+00\\",)"}"#;
        for _ in 0..2 {
            assert_eq!(
                read(&mut rows, &format!("{native}\ta\\tb\tc\\\\\td\n")),
                Ok((vec![s("a\tb"), s("c\\"), s("d")], "postgres_1@1686009600000".to_owned()))
            );
        }
        assert_eq!(read(&mut rows, "{}\ta\tb\tc\n").map(|row| row.1), Ok("postgres_1@0".to_owned()));
        for bad in
            ["", "\\N\ta\tb\tc", "\\N\ta\tb\n", "\\N\ta\tb\tc\td\n", "x\ta\tb\tc\n", "\\N\ta\tb\tc\\\n"]
        {
            assert_eq!(read(&mut rows, bad), Err(MalformedRow), "{bad:?}");
        }
    }

    #[test]
    fn some_columns_come_in_the_width_of_the_table() {
        let mut keys = RowReader::new(4, vec![1, 3], false);
        let row = read(&mut keys, "a\tb\n").unwrap();
        assert_eq!(row, (vec![None, Some("a".into()), None, Some("b".into())], String::new()));
    }

    proptest! {
        #[test]
        fn values_come_back(values in prop::collection::vec(prop::option::of("[a-z\\\\\t\n\r\u{8}\u{b}\u{c}é]{0,12}"), 1..5)) {
            let escape = |text: &String| {
                let pairs = [("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"), ("\u{8}", "\\b"), ("\u{b}", "\\v"), ("\u{c}", "\\f")];
                pairs.iter().fold(text.clone(), |text, (raw, escaped)| text.replace(raw, escaped))
            };
            let fields: Vec<String> = values.iter().map(|v| v.as_ref().map_or("\\N".to_owned(), escape)).collect();
            let mut reader = RowReader::new(values.len(), (0..values.len()).collect(), false);
            let row = read(&mut reader, &format!("{}\n", fields.join("\t"))).unwrap();
            prop_assert_eq!(row.0, values);
        }

        #[test]
        fn any_line_is_a_row_or_not(line in "[a\\\\\t\n{}\"(),N]{0,30}") {
            let mut reader = RowReader::new(2, vec![0, 1], true);
            let _ = read(&mut reader, &line);
        }
    }
}
