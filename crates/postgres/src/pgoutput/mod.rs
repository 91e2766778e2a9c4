//! The logical replication messages of Postgres' output plugin `pgoutput`, protocol version 1 with text tuples.
//!
//! [`Message::parse`] looks at one message without copying: names and values stay where they are. It accepts any bytes
//! and fails with [`Malformed`] on those that are no message; it never panics and never reads past the end.

mod reader;
mod tuple;

use change::Lsn;

pub(crate) use reader::Reader;
pub use tuple::{Datum, Place, Tuple};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A transaction begins. Transactions come whole, in the order of their commits.
    Begin(Begin),
    /// It is complete.
    Commit(Commit),
    /// It came from elsewhere to begin with. Nothing follows from that here.
    Origin,
    /// What a relation looks like from here on.
    Relation(Relation),
    /// The name of a type that is not built in. Not needed.
    Type,
    /// A row was inserted.
    Insert {
        /// The relation.
        relation: u32,
        /// The row.
        new: Tuple<'a>,
    },
    /// A row was updated.
    Update {
        /// The relation.
        relation: u32,
        /// The row before, as far as the replica identity has it.
        old: Option<OldTuple<'a>>,
        /// The row after.
        new: Tuple<'a>,
    },
    /// A row was deleted.
    Delete {
        /// The relation.
        relation: u32,
        /// The row, as far as the replica identity has it.
        old: OldTuple<'a>,
    },
    /// Relations were emptied.
    Truncate(Vec<u32>),
    /// A message of `pg_logical_emit_message`.
    Logical {
        /// Whether it belongs to the transaction around it.
        transactional: bool,
        /// Where it stands in the log.
        lsn: Lsn,
        /// Who it is meant for.
        prefix: &'a str,
    },
}

/// The head of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Where its commit record begins.
    pub final_lsn: Lsn,
    /// When it committed: microseconds since 2000-01-01 UTC.
    pub commit_us: i64,
    /// The lower half of its id.
    pub xid: u32,
}

/// The tail of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Where its commit record begins.
    pub lsn: Lsn,
    /// Where its commit record ends.
    pub end_lsn: Lsn,
    /// When it committed: microseconds since 2000-01-01 UTC.
    pub commit_us: i64,
}

/// What is known of a row that was updated or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldTuple<'a> {
    /// All of it: the relation has `REPLICA IDENTITY FULL`.
    Full(Tuple<'a>),
    /// The columns of the replica identity; the others are NULL.
    Key(Tuple<'a>),
}

/// A relation as the messages after this one describe its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Its object id.
    pub id: u32,
    /// Its schema.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether old rows are complete (`REPLICA IDENTITY FULL`).
    pub full_identity: bool,
    /// The names of its published columns, in the order of the tuples.
    pub columns: Vec<String>,
}

/// The bytes are no message of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the replication stream holds a malformed {0}")]
pub struct Malformed(pub &'static str);

impl<'a> Message<'a> {
    /// Reads one message.
    ///
    /// # Errors
    /// [`Malformed`] for an unknown kind, for missing or left-over bytes, and for names that are not UTF-8.
    pub fn parse(bytes: &'a [u8]) -> Result<Message<'a>, Malformed> {
        let mut reader = Reader::new(bytes);
        let message = Message::read(&mut reader)?;
        if reader.is_empty() { Ok(message) } else { Err(Malformed("message: bytes are left over")) }
    }

    fn read(reader: &mut Reader<'a>) -> Result<Message<'a>, Malformed> {
        Ok(match reader.u8()? {
            b'B' => {
                let (final_lsn, commit_us, xid) = (Lsn(reader.u64()?), reader.i64()?, reader.u32()?);
                Message::Begin(Begin { final_lsn, commit_us, xid })
            }
            b'C' => {
                let _flags = reader.u8()?;
                let (lsn, end_lsn, commit_us) = (Lsn(reader.u64()?), Lsn(reader.u64()?), reader.i64()?);
                Message::Commit(Commit { lsn, end_lsn, commit_us })
            }
            b'O' => {
                let (_lsn, _name) = (reader.u64()?, reader.text()?);
                Message::Origin
            }
            b'R' => Message::Relation(Relation::read(reader)?),
            b'Y' => {
                let (_id, _namespace, _name) = (reader.u32()?, reader.text()?, reader.text()?);
                Message::Type
            }
            b'I' => {
                let relation = reader.u32()?;
                reader.expect(b'N')?;
                Message::Insert { relation, new: Tuple::read(reader)? }
            }
            b'U' => {
                let relation = reader.u32()?;
                let old = match reader.u8()? {
                    b'N' => None,
                    kind => {
                        let old = OldTuple::read(kind, reader)?;
                        reader.expect(b'N')?;
                        Some(old)
                    }
                };
                Message::Update { relation, old, new: Tuple::read(reader)? }
            }
            b'D' => {
                let relation = reader.u32()?;
                let kind = reader.u8()?;
                Message::Delete { relation, old: OldTuple::read(kind, reader)? }
            }
            b'T' => {
                let count = reader.u32()? as usize;
                let _options = reader.u8()?;
                if reader.remaining() < count.saturating_mul(4) {
                    return Err(Malformed("truncate message"));
                }
                Message::Truncate((0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?)
            }
            b'M' => {
                let transactional = reader.u8()? & 1 == 1;
                let (lsn, prefix, length) = (Lsn(reader.u64()?), reader.text()?, reader.u32()?);
                let _content = reader.bytes(length as usize)?;
                Message::Logical { transactional, lsn, prefix }
            }
            _ => return Err(Malformed("message: its kind is unknown")),
        })
    }
}

impl Relation {
    fn read(reader: &mut Reader<'_>) -> Result<Relation, Malformed> {
        let id = reader.u32()?;
        let namespace = match reader.text()? {
            "" => "pg_catalog",
            name => name,
        };
        let (namespace, name) = (namespace.to_owned(), reader.text()?.to_owned());
        let full_identity = reader.u8()? == b'f';
        let count = reader.u16()?;
        let columns = (0..count)
            .map(|_| {
                let (_flags, name) = (reader.u8()?, reader.text()?);
                let (_type_oid, _type_modifier) = (reader.u32()?, reader.u32()?);
                Ok(name.to_owned())
            })
            .collect::<Result<_, _>>()?;
        Ok(Relation { id, namespace, name, full_identity, columns })
    }
}

impl<'a> OldTuple<'a> {
    fn read(kind: u8, reader: &mut Reader<'a>) -> Result<OldTuple<'a>, Malformed> {
        match kind {
            b'O' => Ok(OldTuple::Full(Tuple::read(reader)?)),
            b'K' => Ok(OldTuple::Key(Tuple::read(reader)?)),
            _ => Err(Malformed("old row")),
        }
    }

    /// The tuple, whichever it is.
    #[must_use]
    pub fn tuple(&self) -> Tuple<'a> {
        match self {
            OldTuple::Full(tuple) | OldTuple::Key(tuple) => *tuple,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn reads_the_messages_of_a_transaction() {
        let begin = message(&[b"B", &7u64.to_be_bytes(), &(-5i64).to_be_bytes(), &9u32.to_be_bytes()]);
        assert_eq!(
            Message::parse(&begin),
            Ok(Message::Begin(Begin { final_lsn: Lsn(7), commit_us: -5, xid: 9 }))
        );

        let relation = message(&[
            b"R",
            &16500u32.to_be_bytes(),
            b"public\0items\0f\0\x02",
            b"\x01id\0\0\0\x0b\x86\xff\xff\xff\xff",
            b"\x01note\0\0\0\0\x19\xff\xff\xff\xff",
        ]);
        let Ok(Message::Relation(relation)) = Message::parse(&relation) else { panic!() };
        assert_eq!((relation.namespace.as_str(), relation.name.as_str()), ("public", "items"));
        assert!(relation.full_identity);
        assert_eq!(relation.columns, ["id", "note"]);

        let update = message(&[
            b"U",
            &16500u32.to_be_bytes(),
            b"O\0\x02t\0\0\0\x01at\0\0\0\x02xxN\0\x02t\0\0\0\x01au",
        ]);
        let Ok(Message::Update { relation: 16500, old: Some(OldTuple::Full(old)), new }) =
            Message::parse(&update)
        else {
            panic!()
        };
        assert_eq!(old.iter().collect::<Vec<_>>(), [Datum::Text(b"a"), Datum::Text(b"xx")]);
        assert_eq!(new.iter().collect::<Vec<_>>(), [Datum::Text(b"a"), Datum::Unchanged]);

        let truncate =
            message(&[b"T", &2u32.to_be_bytes(), b"\x03", &1u32.to_be_bytes(), &2u32.to_be_bytes()]);
        assert_eq!(Message::parse(&truncate), Ok(Message::Truncate(vec![1, 2])));

        let logical = message(&[b"M\x01", &3u64.to_be_bytes(), b"electric.mark\0\0\0\0\x02hi"]);
        assert_eq!(
            Message::parse(&logical),
            Ok(Message::Logical { transactional: true, lsn: Lsn(3), prefix: "electric.mark" })
        );
    }

    #[test]
    fn refuses_what_is_cut_short_or_too_long() {
        let insert = message(&[b"I", &1u32.to_be_bytes(), b"N\0\x02nt\0\0\0\x03abc"]);
        assert!(Message::parse(&insert).is_ok());
        for end in 0..insert.len() {
            assert!(Message::parse(&insert[..end]).is_err(), "{end}");
        }
        assert!(Message::parse(&message(&[&insert, b"x"])).is_err());
        let truncate = message(&[b"T", &u32::MAX.to_be_bytes(), b"\0"]);
        assert!(Message::parse(&truncate).is_err());
    }

    /// Every tuple of a message, walked as the assembler does.
    pub(crate) fn walk(message: &Message<'_>) -> usize {
        match message {
            Message::Insert { new, .. } => new.iter().count(),
            Message::Update { old, new, .. } => {
                old.map_or(0, |old| old.tuple().iter().count()) + new.iter().count()
            }
            Message::Delete { old, .. } => old.tuple().iter().count(),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_not(
            kind in prop::sample::select(b"BCORYIUDTMx".to_vec()),
            mut bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(b'N'), Just(b't'), 0u8..8, any::<u8>()], 0..64),
        ) {
            bytes.insert(0, kind);
            if let Ok(message) = Message::parse(&bytes) {
                walk(&message);
            }
        }
    }
}
