//! Identifiers, each its own type so that none can stand for another.

use std::{borrow::Borrow, fmt, sync::Arc};

/// An identifier was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing was given.
    #[error("the id is empty")]
    Empty,
    /// Longer than the bound of its kind.
    #[error("the id is longer than {0} bytes")]
    TooLong(usize),
    /// Holds a character that its kind can't hold.
    #[error("the id holds a character that is not allowed in it")]
    Character,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id! {
    /// The installation id of a client, a UUID in practice. 1 to 64 bytes without `@` (which ends it in a tag) and
    /// without U+0000 (which Postgres can't hold). Chosen by the client and never trusted for access.
    ClientId
}

text_id! {
    /// Who a token speaks for: the claim `sub` (or `user_id`), untrimmed, case kept. Made from an accepted token only.
    UserId
}

text_id! {
    /// A subscription, named by the client; any text of any client is echoed exactly.
    SubscriptionId
}

text_id! {
    /// A shape request within a subscription, named by the client.
    RequestId
}

impl ClientId {
    /// Longest id in bytes (spec 02 §1).
    pub const MAX_LEN: usize = 64;

    /// Checks the rules above.
    ///
    /// # Errors
    /// [`InvalidId`] says which rule was broken.
    pub fn new(id: &str) -> Result<ClientId, InvalidId> {
        match id {
            "" => Err(InvalidId::Empty),
            _ if id.len() > Self::MAX_LEN => Err(InvalidId::TooLong(Self::MAX_LEN)),
            _ if id.contains(['@', '\0']) => Err(InvalidId::Character),
            _ => Ok(ClientId(id.into())),
        }
    }
}

impl UserId {
    /// Wraps a user id that token verification has judged already (spec 01 §5).
    #[must_use]
    pub fn new(id: &str) -> UserId {
        UserId(id.into())
    }
}

impl SubscriptionId {
    /// Wraps the client's text.
    #[must_use]
    pub fn new(id: &str) -> SubscriptionId {
        SubscriptionId(id.into())
    }
}

impl RequestId {
    /// Wraps the client's text.
    #[must_use]
    pub fn new(id: &str) -> RequestId {
        RequestId(id.into())
    }
}

/// A table, by its object id in Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationId(pub u32);

impl fmt::Display for RelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
