//! Which rows of an answer pass, decided by the names of its columns alone, so that it does not matter which version of a
//! generator asks, and how (spec 04 §9.7).

use super::{
    known::{Known, Shown},
    message::{data_row, values},
};
use crate::Frame;

/// What the rows of one answer are about, and where in them it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Things that clients don't have: views, functions, sequences, extensions.
    Foreign,
    /// Schemas.
    Namespaces { namespace: usize },
    /// Labels of enumerations.
    Labels { namespace: usize, name: usize },
    /// Tables, or parts of tables.
    Tables(Places),
}

/// Where names of a table and its parts stand in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    table: usize,
    namespace: Option<usize>,
    foreign_key: Option<ForeignKey>,
    column: Option<Box<ColumnPlaces>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ForeignKey {
    name: usize,
    parent: usize,
    parent_namespace: Option<usize>,
}

/// Where a column's definition stands in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ColumnPlaces {
    name: usize,
    default: usize,
    identity: Option<usize>,
    /// What names its type.
    types: Vec<usize>,
    type_namespace: Option<usize>,
    /// What says more of its type: lengths, precisions.
    modifiers: Vec<usize>,
}

impl Rows {
    /// What an answer with these columns is about; `None` if it is about nothing that would be hidden.
    pub fn of(columns: &[&[u8]]) -> Option<Rows> {
        let at = |name: &str| columns.iter().position(|column| *column == name.as_bytes());
        let all = |names: &[&str]| names.iter().filter_map(|name| at(name)).collect();
        if ["view_name", "sequence_name", "extension_name"].into_iter().any(|name| at(name).is_some()) {
            return Some(Rows::Foreign);
        }
        if let Some(namespace) = at("namespace_name") {
            return Some(Rows::Namespaces { namespace });
        }
        let namespace = at("namespace").or_else(|| at("table_schema"));
        if let (Some(name), Some(namespace)) = (at("name"), namespace) {
            if at("definition").is_some() {
                return Some(Rows::Foreign);
            }
            if at("value").is_some() {
                return Some(Rows::Labels { namespace, name });
            }
        }
        let table = at("table_name")?;
        let foreign_key = at("constraint_name").zip(at("parent_table")).map(|(name, parent)| ForeignKey {
            name,
            parent,
            parent_namespace: at("referenced_schema_name"),
        });
        let column = at("column_name").zip(at("column_default")).map(|(name, default)| {
            Box::new(ColumnPlaces {
                name,
                default,
                identity: at("is_identity"),
                types: all(&["formatted_type", "data_type", "full_data_type", "udt_name"]),
                type_namespace: at("type_schema_name"),
                modifiers: all(&[
                    "numeric_precision",
                    "numeric_scale",
                    "numeric_precision_radix",
                    "datetime_precision",
                    "character_maximum_length",
                ]),
            })
        });
        Some(Rows::Tables(Places { table, namespace, foreign_key, column }))
    }

    /// The row as it passes; `None` if it does not.
    pub fn pass(&self, frame: Frame, known: &Known) -> Option<Frame> {
        let row = values(frame.body());
        let at = |place: usize| row.get(place).copied().flatten();
        match self {
            Rows::Foreign => None,
            Rows::Namespaces { namespace } => known.has_schema(at(*namespace)?).then_some(frame),
            Rows::Labels { namespace, name } => known.uses_enum(at(*namespace)?, at(*name)?).then_some(frame),
            Rows::Tables(Places { table, namespace, foreign_key, column }) => {
                // A place whose value is NULL names nothing that is known.
                let named = |namespace: &Option<usize>| namespace.map(|place| at(place).unwrap_or_default());
                let table = known.table(named(namespace), at(*table)?)?;
                if let Some(key) = foreign_key {
                    known.table(named(&key.parent_namespace), at(key.parent)?)?;
                    return table.has_foreign_key(at(key.name)?).then_some(frame);
                }
                match column {
                    None => Some(frame),
                    Some(places) => {
                        let shown = table.column(at(places.name)?)?;
                        Some(places.show(shown, row).map_or_else(|| frame.clone(), |row| data_row(&row)))
                    }
                }
            }
        }
    }
}

impl ColumnPlaces {
    /// The row of a column as it is to be seen; `None` if that is as it is.
    fn show<'a>(&self, shown: Shown, row: Vec<Option<&'a [u8]>>) -> Option<Vec<Option<&'a [u8]>>> {
        let before = row.clone();
        let mut row = row;
        let mut put = |place: usize, value: Option<&'static [u8]>| {
            if let Some(known) = row.get_mut(place) {
                *known = value;
            }
        };
        if !shown.with_default {
            put(self.default, None);
            // An identity column is one with a default that Postgres alone has.
            self.identity.into_iter().for_each(|place| put(place, Some(b"NO")));
        }
        if shown.as_text {
            self.types.iter().for_each(|place| put(*place, Some(b"text")));
            self.type_namespace.into_iter().for_each(|place| put(place, Some(b"pg_catalog")));
            self.modifiers.iter().for_each(|place| put(*place, None));
        }
        (row != before).then_some(row)
    }
}
