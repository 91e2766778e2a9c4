//! What must have become of each row, told from the transactions that took effect and without the merge that made it so: the
//! rules of spec 05 §1.4 as one would say them of a history.

use std::collections::BTreeMap;

use change::{ClientOpKind, Field, Tag};
use merge::RowState;

use super::database::Model;
use crate::simulator::postgres::Key;

/// A column that was written.
struct Write {
    tag: Tag,
    column: usize,
    value: Field,
}

/// What clients did to a row.
#[derive(Default)]
struct Story {
    /// In the order in which they took effect; of one transaction the last of each column.
    writes: Vec<Write>,
    /// Tags that were put in and not taken out by anybody who had seen them.
    tags: Vec<Tag>,
}

/// Compares.
pub fn check(model: &Model) {
    let mut stories: BTreeMap<Key, Story> = BTreeMap::new();
    for transaction in &model.applied {
        let tag = Tag::client(&transaction.client, transaction.timestamp_ms as i64);
        for op in &transaction.ops {
            let key = String::from_utf8(op.values[0].value().unwrap().to_vec()).unwrap();
            let story = stories.entry((op.relation, key)).or_default();
            story.tags.retain(|known| !op.clear.contains(known));
            match op.kind {
                ClientOpKind::Delete => story.tags.retain(|known| *known != tag),
                _ if !story.tags.contains(&tag) => story.tags.push(tag.clone()),
                _ => {}
            }
            for (column, value) in op.values.iter().enumerate().filter(|(column, _)| op.written[*column]) {
                story.writes.retain(|write| write.column != column || write.tag != tag);
                story.writes.push(Write { tag: tag.clone(), column, value: value.clone() });
            }
        }
    }
    for (key, story) in stories {
        let state = &model.states()[&key];
        check_columns(&key, &story, state);
        if !model.meddled.contains(&key) {
            story.tags.iter().for_each(|tag| assert!(state.tags.contains(tag), "{key:?} lives by {tag}"));
            assert_eq!(state.tags.len(), story.tags.len(), "{key:?} lives by nothing else");
        }
    }
}

/// Each column holds the write with the greatest tag, or one of Postgres' own after it.
fn check_columns(key: &Key, story: &Story, state: &RowState) {
    let values = state.values().expect("what was written is remembered");
    for write in &story.writes {
        let holds = state.column_tags[write.column].as_ref().expect("somebody wrote it");
        assert!(
            rank(holds) >= rank(&write.tag),
            "{key:?} holds a write of {holds}, and {} was greater",
            write.tag
        );
        if *holds == write.tag {
            assert!(values[write.column] == write.value, "{key:?} holds what {holds} wrote last");
        }
    }
}

/// Of two writes the one that wins: the later, then that of the greater origin as it is written on the wire.
fn rank(tag: &Tag) -> (i64, &str) {
    (tag.ms, tag.origin.as_str())
}
