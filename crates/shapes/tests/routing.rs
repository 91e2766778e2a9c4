//! The index finds whoever is filed for a change, and nobody else.

use std::{collections::BTreeSet, ops::Bound};

use change::{RelationId, Row, RowChange, Tags};
use proptest::{collection::vec, option, prelude::*, sample::select};
use shapes::{
    Route, RoutingIndex,
    clause::{Type, Value},
};

use crate::support::row;

const TABLE: RelationId = RelationId(1);
const OTHER: RelationId = RelationId(2);

fn insert(new: Row) -> RowChange {
    RowChange::Insert { new, tags: Tags::default() }
}

fn update(old: Row, new: Row) -> RowChange {
    RowChange::Update { old, new, tags: Tags::default() }
}

fn found<T: Clone + Ord>(index: &RoutingIndex<T>, relation: RelationId, change: &RowChange) -> BTreeSet<T> {
    let mut found = BTreeSet::new();
    index.concerned(relation, change, |who| _ = found.insert(who.clone()));
    found
}

fn equal(column: usize, values: &[Option<&str>]) -> Route {
    Route::Equal(column, values.iter().map(|value| value.map(|value| value.as_bytes().into())).collect())
}

fn int(value: i64) -> Value {
    Value::Int(value)
}

#[test]
fn old_and_new_image_are_probed() {
    let mut index = RoutingIndex::default();
    for (value, who) in [("a", 1), ("b", 2), ("c", 3)] {
        index.insert(TABLE, &equal(1, &[Some(value)]), who);
    }
    index.insert(TABLE, &equal(1, &[None]), 4);
    index.insert(TABLE, &Route::Any, 5);
    index.insert(TABLE, &Route::Never, 6);
    let of = |value| row(&[Some("id"), value]);
    assert_eq!(found(&index, TABLE, &insert(of(Some("a")))), [1, 5].into());
    assert_eq!(found(&index, TABLE, &update(of(Some("a")), of(Some("b")))), [1, 2, 5].into());
    assert_eq!(found(&index, TABLE, &RowChange::Delete { old: of(Some("c")) }), [3, 5].into());
    assert_eq!(found(&index, TABLE, &update(of(None), of(Some("d")))), [4, 5].into());
    assert_eq!(found(&index, OTHER, &insert(of(Some("a")))), [].into());
}

#[test]
fn one_subscriber_may_be_filed_several_times() {
    let mut index = RoutingIndex::default();
    let (one, both) = (equal(0, &[Some("a")]), equal(0, &[Some("a"), Some("b")]));
    index.insert(TABLE, &one, 1);
    index.insert(TABLE, &one, 1);
    index.insert(TABLE, &both, 1);
    let a = insert(row(&[Some("a")]));
    for route in [&one, &both] {
        index.remove(TABLE, route, &1);
        assert_eq!(found(&index, TABLE, &a), [1].into());
    }
    assert!(found(&index, TABLE, &insert(row(&[Some("b")]))).is_empty());
    // Nobody, who is not there, is taken out.
    index.remove(TABLE, &one, &2);
    index.remove(OTHER, &one, &1);
    assert_eq!(found(&index, TABLE, &a), [1].into());
    index.remove(TABLE, &one, &1);
    assert!(index.is_empty());
}

#[test]
fn a_row_costs_what_it_finds() {
    let mut index = RoutingIndex::default();
    let routes: Vec<Route> = (0..20_000)
        .map(|who| match who % 2 {
            0 => equal(0, &[Some(&who.to_string())]),
            _ => Route::Range(0, Type::Int4, Bound::Included(int(who)), Bound::Excluded(int(who + 3))),
        })
        .collect();
    for (who, route) in routes.iter().enumerate() {
        index.insert(TABLE, route, who);
    }
    for value in [0, 1, 777, 10_000, 19_999] {
        let mut told = 0;
        index.concerned(TABLE, &insert(row(&[Some(&value.to_string())])), |_| told += 1);
        assert!((1..=3).contains(&told), "{value}: {told}");
    }
    for (who, route) in routes.iter().enumerate() {
        index.remove(TABLE, route, &who);
    }
    assert!(index.is_empty());
}

#[test]
fn values_are_not_printed() {
    let mut index = RoutingIndex::default();
    index.insert(TABLE, &equal(0, &[Some("secret")]), 1);
    assert_eq!(format!("{index:?}"), "RoutingIndex(1 tables)");
}

fn values() -> impl Strategy<Value = Option<&'static str>> {
    select(vec![
        None,
        Some("-3"),
        Some("0"),
        Some("1"),
        Some("2"),
        Some("3"),
        Some("7"),
        Some("10"),
        Some("x"),
    ])
}

fn bounds() -> impl Strategy<Value = Bound<Value>> {
    prop_oneof![
        (-4..12i64).prop_map(|n| Bound::Included(int(n))),
        (-4..12i64).prop_map(|n| Bound::Excluded(int(n))),
        Just(Bound::Unbounded),
    ]
}

fn routes() -> impl Strategy<Value = Route> {
    let typed = select(vec![Type::Int4, Type::Text]);
    prop_oneof![
        3 => (0..2usize, vec(values(), 0..4)).prop_map(|(column, values)| equal(column, &values)),
        4 => (0..2usize, bounds(), bounds()).prop_map(|(column, low, high)| Route::Range(column, Type::Int4, low, high)),
        1 => (0..2usize, typed).prop_map(|(column, ty)| Route::Range(column, ty, Bound::Unbounded, Bound::Unbounded)),
        1 => Just(Route::Any),
        1 => Just(Route::Never),
    ]
}

fn rows() -> impl Strategy<Value = Row> {
    (values(), values()).prop_map(|(a, b)| row(&[a, b]))
}

fn changes() -> impl Strategy<Value = RowChange> {
    (option::weighted(0.7, rows()), rows(), any::<bool>()).prop_map(|(other, row, is_new)| {
        match (other, is_new) {
            (Some(old), _) => update(old, row),
            (None, true) => insert(row),
            (None, false) => RowChange::Delete { old: row },
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn finds_exactly_those_whose_routes_admit_a_row(
        filed in vec((select(vec![TABLE, OTHER]), routes(), 0..6u32), 0..60),
        changes in vec(changes(), 1..10),
        order in any::<prop::sample::Index>(),
    ) {
        let mut index = RoutingIndex::default();
        for (relation, route, who) in &filed {
            index.insert(*relation, route, *who);
        }
        let mut left = filed;
        loop {
            for change in &changes {
                let admits = |route: &Route| {
                    [change.before(), change.after()].into_iter().flatten().any(|row| route.admits(row))
                };
                let expected = left.iter().filter(|(relation, route, _)| *relation == TABLE && admits(route));
                prop_assert_eq!(found(&index, TABLE, change), expected.map(|(_, _, who)| *who).collect());
            }
            if left.is_empty() {
                break;
            }
            let (relation, route, who) = left.swap_remove(order.index(left.len()));
            index.remove(relation, &route, &who);
        }
        prop_assert!(index.is_empty());
    }
}
