//! What is in the files, byte by byte. Numbers are little-endian; a *varint* is LEB128, at most 64 bits; *text* is a varint of its
//! length in bytes and UTF-8; an *optional text* is a varint 0, or its length plus one and UTF-8.
//!
//! **The folder** holds `lock`, which whoever uses the folder has locked (`flock`), and the segments, each a file
//! `<sequence>.journal` with the sequence number as 20 decimal digits. Numbers grow; the transactions of one segment follow those of the
//! one before it. Other files are none of the journal's.
//!
//! **A segment** is
//!
//! ```text
//! magic "TLJOURNL"   8 bytes
//! version            u32, 2
//! header             a frame (below), without a kind:
//!                      sequence u64 · start u64 · timeline u32 · database u32 · system text · schema optional text
//! records            frames, each of one of the kinds 1 to 4
//! index, trailer     only of a sealed segment
//! ```
//!
//! The first two never change their place, so that every release can tell what it can't read. Segments of version 1 are read, and never
//! added to; they differ in what is said of changes below. `start` is the position that
//! everything in the segment lies after; `schema` the version of the schema there; `timeline` that of the write-ahead
//! log there; `system` and `database` say whose journal it is. A segment counts only up to the `start` of the next one: what
//! lies after that was never durable and has been written again.
//!
//! **A frame** is
//!
//! ```text
//! length   u32    of the payload, 1 to 16,777,216 bytes
//! crc      u32    crc32c of the payload
//! payload         its first byte is the kind
//! ```
//!
//! **Kinds**
//!
//! | kind | | after the kind |
//! | --- | --- | --- |
//! | 1 | transaction | its body, or the last part of it |
//! | 2 | part | a part of the body of a transaction that is longer than a frame; a frame of kind 2 or 1 follows |
//! | 3 | reached | `position u64`: there are no other transactions up to here |
//! | 4 | timeline | `timeline u32`: the write-ahead log goes on in this one |
//! | 5 | index | only at the end |
//!
//! Positions of transactions grow strictly, those of `reached` don't shrink.
//!
//! **The body of a transaction** is
//!
//! ```text
//! lsn u64 · schema · migration optional text · xid u64 · commit_ms u64 · origin · changes varint · each change
//! ```
//!
//! The *schema* is the version of the schema after it: a varint 0 if it is the same as before, 1 if there is none, else its length plus two, and
//! UTF-8; `migration` is the version of the migration that the transaction carries. An *origin* is one byte with the length of a client's id and the id, or 0 for Postgres itself. A *change* is one byte (1 insert, 2 update,
//! 3 delete; since version 2, 16 more if the client that wrote it did not know how the row stood), the relation as varint, the old row (update, delete), the new row and the tags (insert, update). A *row* is a varint with
//! the number of columns, then for each column a varint: 0 is NULL, 1 the value that the old row has in this column (only in the new row
//! of an update), *n* + 2 a value of *n* bytes, which follow. *Tags* are a varint with their number, then for each `ms i64` and its origin.
//!
//! **The index** of a sealed segment says where its chunks are: runs of whole records of about 128 KiB, which are what is read at once.
//!
//! ```text
//! end u64 · timeline u32 · schema optional text          as they are after the last record
//! chunks varint · for each: length varint · span varint · transactions varint · schema
//! ```
//!
//! Chunks follow each other from the end of the header to the index. `span` is how far the last position in the chunk lies after the last one in the
//! chunk before it (or after `start`). `schema` is that before the chunk, written as in a transaction, compared with the one before the previous chunk
//! (the header's for the first). The **trailer** are the last 16 bytes of the file: the
//! offset of the index frame as u64, crc32c of those 8 bytes as u32, and "TLJX".

pub(crate) mod frame;
pub(crate) mod index;
pub(crate) mod record;
pub(crate) mod segment;
pub(crate) mod wire;

/// Bytes are not what the format says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The version that is written, and the newest that is read. Older ones are, too.
pub(crate) const VERSION: u32 = 2;

/// Kinds of frames.
pub(crate) mod kind {
    pub(crate) const TRANSACTION: u8 = 1;
    pub(crate) const PART: u8 = 2;
    pub(crate) const REACHED: u8 = 3;
    pub(crate) const TIMELINE: u8 = 4;
    pub(crate) const INDEX: u8 = 5;
}
