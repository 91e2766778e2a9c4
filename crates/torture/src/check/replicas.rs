//! Replicas beside Postgres, row for row.

use std::collections::{BTreeMap, BTreeSet};

use super::{Findings, Kind};

/// The rows of one table, by key: the values of all columns as text, and the row's tags if they are known.
pub type Rows = BTreeMap<String, (Vec<Option<String>>, Option<BTreeSet<String>>)>;

/// What one database holds.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    /// Whose it is.
    pub name: String,
    /// Its tables.
    pub tables: BTreeMap<String, Rows>,
}

/// How many differences of one table are told.
const TOLD: usize = 5;

/// Compares a replica with what it should hold; tables that only one of them has are not compared. Tags are compared where both
/// sides know them.
#[must_use]
pub fn compare(expected: &Replica, actual: &Replica) -> Findings {
    let mut findings = Findings::default();
    for (table, expected_rows) in &expected.tables {
        let Some(rows) = actual.tables.get(table) else { continue };
        let keys: BTreeSet<_> = expected_rows.keys().chain(rows.keys()).collect();
        findings.count("rows compared", keys.len());
        let mut differences = keys.into_iter().filter_map(|key| {
            let what = difference(expected_rows.get(key), rows.get(key))?;
            Some(format!("{table} {key}: {what}"))
        });
        for text in differences.by_ref().take(TOLD) {
            findings.report(Kind::Divergence, format!("{} against {}: {text}", actual.name, expected.name));
        }
        let more = differences.count();
        if more > 0 {
            let text =
                format!("{} against {}: {more} more rows of {table} differ", actual.name, expected.name);
            findings.report(Kind::Divergence, text);
        }
    }
    findings
}

type Row = (Vec<Option<String>>, Option<BTreeSet<String>>);

fn difference(expected: Option<&Row>, actual: Option<&Row>) -> Option<String> {
    match (expected, actual) {
        (Some((values, _)), None) => Some(format!("is missing, should be {values:?}")),
        (None, Some((values, _))) => Some(format!("should not be there, is {values:?}")),
        (Some((right, _)), Some((values, _))) if right != values => {
            Some(format!("is {values:?}, should be {right:?}"))
        }
        (Some((_, Some(right))), Some((_, Some(tags)))) if right != tags => {
            Some(format!("has the tags {tags:?}, should have {right:?}"))
        }
        _ => None,
    }
}
