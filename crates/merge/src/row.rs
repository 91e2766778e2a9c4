//! What is known of one row.

use change::{Field, Tag, Tags};

/// The values of a row, or of the row that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// There never was such a row, or nothing is left of it.
    Unknown,
    /// In table column order. [`Field::Absent`] stands for "as stored", in the table or in the tombstone: whoever merges
    /// need not read values that no operation touches.
    Known(Vec<Field>),
}

/// What is known of one row (spec 05 §1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowState {
    /// The live row, or the tombstone: the last known values of a dead one.
    pub image: Image,
    /// The tags that keep the row alive. It is dead when there are none.
    pub tags: Tags,
    /// In table column order: the tag of the write whose value the column holds. `None` for key columns, which are never
    /// written twice, and for columns that no tagged write has touched.
    pub column_tags: Vec<Option<Tag>>,
    /// The tag of the last transaction that touched the row; `None` if none ever did.
    pub last_tag: Option<Tag>,
}

/// Whether a row is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There never was such a row, or nothing is left of it.
    Unknown,
    /// It was there, and its tombstone is.
    Dead,
    /// It is there.
    Alive,
}

impl RowState {
    /// A row of which nothing is known, in a table of so many columns.
    #[must_use]
    pub fn unknown(columns: usize) -> RowState {
        RowState {
            image: Image::Unknown,
            tags: Tags::new(),
            column_tags: vec![None; columns],
            last_tag: None,
        }
    }

    /// A live row without tags: it was there before its table was synced (spec 05 §1.1). It has Postgres' tag at the epoch
    /// in every place; `key` are the indexes of the key columns.
    #[must_use]
    pub fn untracked(values: Vec<Field>, key: &[usize]) -> RowState {
        let column_tags = (0..values.len()).map(|c| (!key.contains(&c)).then_some(Tag::EPOCH)).collect();
        RowState {
            image: Image::Known(values),
            tags: [Tag::EPOCH].into_iter().collect(),
            column_tags,
            last_tag: None,
        }
    }

    /// Whether the row exists.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.tags.is_empty()
    }

    /// Whether the row is there, and whether it was.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self.image {
            _ if self.is_alive() => Standing::Alive,
            Image::Unknown => Standing::Unknown,
            Image::Known(_) => Standing::Dead,
        }
    }

    /// The values of the live row or the tombstone, in table column order.
    #[must_use]
    pub fn values(&self) -> Option<&[Field]> {
        match &self.image {
            Image::Unknown => None,
            Image::Known(values) => Some(values),
        }
    }
}
