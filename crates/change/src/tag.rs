//! Tags: who wrote, and when (spec 05 §1.1).

use std::{cmp::Ordering, fmt, str::FromStr};

use smallvec::SmallVec;

use crate::ClientId;

/// The name under which Postgres' own writes are known on the wire. Stored in tags, so it never changes.
pub const POSTGRES_ORIGIN: &str = "postgres_1";

/// Who wrote.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A client, through the sync protocol.
    Client(ClientId),
    /// Postgres itself: any other session.
    Postgres,
}

impl Origin {
    /// The client, if it was one.
    #[must_use]
    pub fn client(&self) -> Option<&ClientId> {
        match self {
            Origin::Client(id) => Some(id),
            Origin::Postgres => None,
        }
    }

    /// The name on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Origin::Client(id) => id.as_str(),
            Origin::Postgres => POSTGRES_ORIGIN,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Postgres is greater than every client; clients compare byte by byte.
impl Ord for Origin {
    fn cmp(&self, other: &Origin) -> Ordering {
        match (self, other) {
            (Origin::Postgres, Origin::Postgres) => Ordering::Equal,
            (Origin::Postgres, Origin::Client(_)) => Ordering::Greater,
            (Origin::Client(_), Origin::Postgres) => Ordering::Less,
            (Origin::Client(a), Origin::Client(b)) => a.cmp(b),
        }
    }
}

impl PartialOrd for Origin {
    fn partial_cmp(&self, other: &Origin) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// One write: its moment in milliseconds since the Unix epoch and its origin. Ordered by moment, then origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// Milliseconds since the Unix epoch, by the writer's own clock.
    pub ms: i64,
    /// Who wrote.
    pub origin: Origin,
}

impl Tag {
    /// The tag of a row that sync never touched: Postgres at the epoch. Sorts before every real tag of today.
    pub const EPOCH: Tag = Tag { ms: 0, origin: Origin::Postgres };

    /// A client's tag.
    #[must_use]
    pub fn client(client: &ClientId, ms: i64) -> Tag {
        Tag { ms, origin: Origin::Client(client.clone()) }
    }

    /// A tag of Postgres' own.
    #[must_use]
    pub fn postgres(ms: i64) -> Tag {
        Tag { ms, origin: Origin::Postgres }
    }
}

/// The wire form, `origin@ms`.
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.origin, self.ms)
    }
}

/// The text is not of the form `origin@milliseconds`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a tag of the form origin@milliseconds")]
pub struct MalformedTag;

impl FromStr for Tag {
    type Err = MalformedTag;

    fn from_str(text: &str) -> Result<Tag, MalformedTag> {
        let (origin, ms) = text.split_once('@').ok_or(MalformedTag)?;
        let ms = ms.parse().map_err(|_| MalformedTag)?;
        let origin = match origin {
            POSTGRES_ORIGIN => Origin::Postgres,
            id => Origin::Client(ClientId::new(id).map_err(|_| MalformedTag)?),
        };
        Ok(Tag { ms, origin })
    }
}

/// A set of tags, sorted, no duplicates. A row whose set is empty is dead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(SmallVec<[Tag; 1]>);

impl Tags {
    /// The empty set.
    #[must_use]
    pub fn new() -> Tags {
        Tags::default()
    }

    /// Adds one.
    pub fn insert(&mut self, tag: Tag) {
        if let Err(at) = self.0.binary_search(&tag) {
            self.0.insert(at, tag);
        }
    }

    /// Takes one out, if it is there.
    pub fn remove(&mut self, tag: &Tag) {
        if let Ok(at) = self.0.binary_search(tag) {
            self.0.remove(at);
        }
    }

    /// Whether `tag` is in the set.
    #[must_use]
    pub fn contains(&self, tag: &Tag) -> bool {
        self.0.binary_search(tag).is_ok()
    }

    /// The tags, smallest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Tag> {
        self.0.iter()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many tags there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<Tag> for Tags {
    fn from_iter<I: IntoIterator<Item = Tag>>(tags: I) -> Tags {
        let mut set: SmallVec<[Tag; 1]> = tags.into_iter().collect();
        // Clients choose how many there are: sorting once keeps that from costing the square.
        set.sort_unstable();
        set.dedup();
        Tags(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_round_trips_and_orders_postgres_last() {
        let a: Tag = "fcb57d30-95ce-4d75-b295-c08c7a1e75d8@1674210220785".parse().unwrap();
        assert_eq!(a.to_string(), "fcb57d30-95ce-4d75-b295-c08c7a1e75d8@1674210220785");
        let pg: Tag = "postgres_1@1674210220785".parse().unwrap();
        assert_eq!(pg, Tag::postgres(1_674_210_220_785));
        assert!(a < pg && Tag::EPOCH < a);
        for bad in ["", "@1", "a", "a@", "a@x", "a@b@1"] {
            assert_eq!(bad.parse::<Tag>(), Err(MalformedTag), "{bad:?}");
        }
    }

    #[test]
    fn a_set_of_tags_is_a_set() {
        let tags: Tags = [Tag::postgres(2), Tag::postgres(1), Tag::postgres(2)].into_iter().collect();
        assert_eq!(tags.iter().map(|t| t.ms).collect::<Vec<_>>(), [1, 2]);
    }
}
