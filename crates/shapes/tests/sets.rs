//! What changes mean to a set of shapes.

use std::collections::{BTreeMap, HashSet};

use change::{Change, RelationId, RequestId, Row, RowChange, Tags, UserId};
use proptest::prelude::*;
use schema::{Schema, Table};
use shapes::{Outcome, Shape, ShapeSet};

use crate::support::{schema, table};

const PLAIN: u32 = 1;
const OWNED: u32 = 2;
const OTHER: u32 = 3;

fn example() -> Schema {
    schema([
        table(PLAIN, "plain", &["id", "value"]),
        table(OWNED, "notes", &["id", "value", "electric_user_id"]),
        table(OTHER, "other", &["id", "value"]),
    ])
}

fn set(relations: &[u32], user: &str, schema: &Schema) -> ShapeSet {
    let shapes: Vec<Shape> = relations
        .iter()
        .map(|id| Shape { request: RequestId::new(&id.to_string()), relation: RelationId(*id) })
        .collect();
    ShapeSet::new(&shapes, &UserId::new(user), schema)
}

fn row(values: &[Option<&str>]) -> Row {
    values.iter().map(|v| v.map(str::as_bytes)).collect()
}

fn note(owner: Option<&str>) -> Row {
    row(&[Some("n1"), Some("v"), owner])
}

fn outcome(set: &ShapeSet, schema: &Schema, relation: u32, old: Option<Row>, new: Option<Row>) -> Outcome {
    let tags = Tags::new();
    let row = match (old, new) {
        (None, Some(new)) => RowChange::Insert { new, tags },
        (Some(old), Some(new)) => RowChange::Update { old, new, tags },
        (Some(old), None) => RowChange::Delete { old },
        (None, None) => panic!("no change"),
    };
    let relation = RelationId(relation);
    set.outcome(&Change { relation, row }, schema.table(relation).unwrap())
}

#[test]
fn a_table_without_owners_is_all_visible() {
    let schema = example();
    let set = set(&[PLAIN], "1", &schema);
    let r = || Some(row(&[Some("a"), None]));
    assert_eq!(outcome(&set, &schema, PLAIN, None, r()), Outcome::Insert);
    assert_eq!(outcome(&set, &schema, PLAIN, r(), r()), Outcome::Update);
    assert_eq!(outcome(&set, &schema, PLAIN, r(), None), Outcome::Delete);
    assert_eq!(outcome(&set, &schema, OTHER, None, r()), Outcome::Skip);
    assert_eq!(outcome(&set, &schema, OTHER, r(), None), Outcome::Skip);
}

/// Vectors V60 to V64 of spec 06 §13.4.
#[test]
fn owners_move_rows_in_and_out() {
    let schema = example();
    let set = set(&[OWNED], "1", &schema);
    let check = |old, new, expected| assert_eq!(outcome(&set, &schema, OWNED, old, new), expected);
    let (mine, other, nobody, empty) =
        (|| Some(note(Some("1"))), || Some(note(Some("2"))), || Some(note(None)), || Some(note(Some(""))));
    check(None, other(), Outcome::Skip);
    check(None, mine(), Outcome::Insert);
    check(None, nobody(), Outcome::Insert);
    check(None, empty(), Outcome::Insert);
    check(mine(), other(), Outcome::Gone);
    check(other(), mine(), Outcome::Insert);
    check(other(), nobody(), Outcome::Insert);
    check(empty(), mine(), Outcome::Update);
    check(other(), other(), Outcome::Skip);
    check(mine(), None, Outcome::Delete);
    check(other(), None, Outcome::Skip);
    assert_eq!(set.owner_filter(schema.table(RelationId(OWNED)).unwrap()), Some(&UserId::new("1")));
    assert_eq!(set.owner_filter(schema.table(RelationId(PLAIN)).unwrap()), None);
}

#[test]
fn equal_sets_share_and_users_matter_only_where_rows_have_owners() {
    let schema = example();
    let keys: HashSet<_> = [
        set(&[PLAIN], "1", &schema),
        set(&[PLAIN, PLAIN], "2", &schema),
        set(&[PLAIN, OTHER], "1", &schema),
        set(&[OTHER, PLAIN], "2", &schema),
        set(&[OWNED], "1", &schema),
        set(&[OWNED], "2", &schema),
        set(&[OWNED], "2", &schema),
    ]
    .iter()
    .map(|set| set.key().clone())
    .collect();
    assert_eq!(keys.len(), 4);
    let both = set(&[OTHER, PLAIN, OTHER], "1", &schema);
    assert_eq!(both.relations(), [RelationId(PLAIN), RelationId(OTHER)]);
    assert!(both.covers(RelationId(OTHER)) && !both.covers(RelationId(OWNED)));
    assert!(set(&[], "1", &schema).is_empty());
}

#[test]
fn a_set_from_before_a_migration_shows_too_little_rather_than_too_much() {
    let before = schema([table(OWNED, "notes", &["id", "value"])]);
    let after = example();
    let stale = set(&[OWNED], "1", &before);
    let mine = || Some(note(Some("1")));
    assert_eq!(outcome(&stale, &after, OWNED, None, mine()), Outcome::Skip);
    assert_eq!(outcome(&stale, &after, OWNED, None, Some(note(None))), Outcome::Insert);
    let fresh = stale.for_schema(&after);
    assert_ne!(fresh.key(), stale.key());
    assert_eq!(fresh.key(), set(&[OWNED], "1", &after).key());
    assert_eq!(outcome(&fresh, &after, OWNED, None, mine()), Outcome::Insert);
}

/// One step of a made-up history: a key, and the row's owner and value afterwards, or its end.
type Step = (u32, u8, Option<(Option<&'static str>, u8)>);

fn step() -> impl Strategy<Value = Step> {
    let owner = prop::sample::select(vec![None, Some(""), Some("1"), Some("2"), Some("11")]);
    let table = prop::sample::select(vec![PLAIN, OWNED, OTHER]);
    (table, 0..6u8, prop::option::weighted(0.75, (owner, any::<u8>())))
}

fn image(table: &Table, key: u8, owner: Option<&str>, value: u8) -> Row {
    let (key, value) = (key.to_string(), value.to_string());
    let mut values = vec![Some(key.as_str()), Some(value.as_str())];
    if table.owner_column().is_some() {
        values.push(owner);
    }
    row(&values)
}

proptest! {
    /// A client that does as it is told has at every moment exactly the rows that a look at the tables would show.
    #[test]
    fn outcomes_keep_a_client_equal_to_the_visible_rows(
        steps in prop::collection::vec(step(), 0..60),
        relations in prop::sample::subsequence(vec![PLAIN, OWNED, OTHER], 0..=3),
        user in prop::sample::select(vec!["1", "2", "3", ""]),
    ) {
        let schema = example();
        let set = set(&relations, user, &schema);
        let mut tables: BTreeMap<(u32, u8), (Option<&str>, Row)> = BTreeMap::new();
        let mut client: BTreeMap<(u32, u8), Row> = BTreeMap::new();
        for (relation, key, after) in steps {
            let table = schema.table(RelationId(relation)).unwrap();
            let id = (relation, key);
            let old = tables.get(&id).map(|(_, row)| row.clone());
            let new = after.map(|(owner, value)| image(table, key, owner, value));
            if old.is_none() && new.is_none() {
                continue;
            }
            let had = client.contains_key(&id);
            match outcome(&set, &schema, relation, old, new.clone()) {
                Outcome::Skip => prop_assert!(!had),
                Outcome::Insert => {
                    prop_assert!(!had);
                    client.insert(id, new.clone().unwrap());
                }
                Outcome::Update => {
                    prop_assert!(had);
                    client.insert(id, new.clone().unwrap());
                }
                Outcome::Delete => prop_assert!(client.remove(&id).is_some() && new.is_none()),
                Outcome::Gone => prop_assert!(client.remove(&id).is_some() && new.is_some()),
            }
            match (after, new) {
                (Some((owner, _)), Some(new)) => tables.insert(id, (owner, new)),
                _ => tables.remove(&id),
            };
            let visible: BTreeMap<(u32, u8), Row> = tables
                .iter()
                .filter(|((relation, _), (owner, _))| {
                    relations.contains(relation)
                        && (*relation != OWNED || owner.is_none_or(|owner| owner.is_empty() || owner == user))
                })
                .map(|(id, (_, row))| (*id, row.clone()))
                .collect();
            prop_assert_eq!(&client, &visible);
            for ((relation, _), (_, row)) in &tables {
                let table = schema.table(RelationId(*relation)).unwrap();
                let shown = client.values().any(|r| r == row);
                prop_assert!(shown || !set.sees(table, row));
            }
        }
    }
}
