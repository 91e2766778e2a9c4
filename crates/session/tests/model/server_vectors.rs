//! The test vectors of spec 05 §8 that need more than one row, on the model of Postgres. Those of one row are in `crates/merge`.

use bytes::Bytes;
use change::{ClientId, ClientLsn, ClientOp, ClientOpKind, ClientTransaction, Field, RelationId, Tags};

use super::{
    database::{Model, Native, Refusal, text},
    tables::{CHILDREN, LEAVES, PARENTS},
};
use crate::simulator::{postgres::Database as _, random::Random};

/// The present of the vectors.
const NOW: u64 = 1_700_000_000_000;

struct Bench {
    model: Model,
    random: Random,
    positions: u32,
}

impl Bench {
    /// S0: parent 1 is A's, of 1000.
    fn new() -> Bench {
        let mut bench = Bench { model: Model::new(), random: Random::new(1), positions: 0 };
        bench.client("A", 1_000, vec![insert(PARENTS, &["1", "v0", "0"])]).unwrap();
        bench
    }

    fn client(&mut self, client: &str, ms: u64, ops: Vec<ClientOp>) -> Result<(), Refusal> {
        self.positions += 1;
        self.client_at(self.positions, client, ms, ops)
    }

    fn client_at(&mut self, lsn: u32, client: &str, ms: u64, ops: Vec<ClientOp>) -> Result<(), Refusal> {
        let client = ClientId::new(client).unwrap();
        let lsn = ClientLsn::new(Bytes::copy_from_slice(&lsn.to_be_bytes())).unwrap();
        while self.model.log_mut().show_one(&mut self.random) {}
        self.model.merge(&ClientTransaction { client, lsn, timestamp_ms: ms, ops }, &mut self.random)
    }

    fn native(&mut self, statements: &[Native]) -> Result<(), Refusal> {
        while self.model.log_mut().show_one(&mut self.random) {}
        self.model.native(statements, NOW, &mut self.random)
    }

    /// The values after the key, the tags, and the registers, of a row that lives; `None` of one that does not.
    fn row(&self, relation: RelationId, key: &str) -> Option<String> {
        let state = self.model.row(relation, key).filter(|state| state.is_alive())?;
        let values = state.values()?.iter().skip(1).map(|value| text(value).unwrap_or("null".to_owned()));
        let tags = state.tags.iter().map(ToString::to_string);
        let registers = state.column_tags.iter().flatten().map(ToString::to_string);
        let part = |parts: &mut dyn Iterator<Item = String>| parts.collect::<Vec<_>>().join(" ");
        Some(format!("{} | {} | {}", part(&mut { values }), part(&mut { tags }), part(&mut { registers })))
    }

    /// What the last transaction is to clients: what became of each row.
    fn last_changes(&self) -> Vec<String> {
        let delivery = &self.model.log().log.last().unwrap().delivery;
        let change = |change: &change::Change| {
            let row = change.row.after().or(change.row.before()).unwrap();
            let key = String::from_utf8(row.get(0).unwrap().to_vec()).unwrap();
            let kind = match change.row {
                change::RowChange::Insert { .. } => "insert",
                change::RowChange::Update { .. } => "update",
                change::RowChange::Delete { .. } => "delete",
            };
            format!("{kind} {key}")
        };
        delivery.transaction.changes.iter().map(change).collect()
    }
}

fn op(relation: RelationId, kind: ClientOpKind, values: &[&str], clear: &str) -> ClientOp {
    let width = if relation == LEAVES { 2 } else { 3 };
    let mut fields: Vec<Field> =
        values.iter().map(|value| Field::Value(Bytes::copy_from_slice(value.as_bytes()))).collect();
    fields.resize(width, Field::Null);
    let writes = matches!(kind, ClientOpKind::Insert | ClientOpKind::Update);
    let written = (0..width).map(|column| column > 0 && writes).collect();
    let clear: Tags = clear.split_whitespace().map(|tag| tag.parse().unwrap()).collect();
    ClientOp { relation, kind, values: fields, written, clear }
}

fn insert(relation: RelationId, values: &[&str]) -> ClientOp {
    op(relation, ClientOpKind::Insert, values, "")
}

fn delete(relation: RelationId, key: &str, clear: &str) -> ClientOp {
    op(relation, ClientOpKind::Delete, &[key], clear)
}

fn keep_parent(clear: &str) -> ClientOp {
    op(PARENTS, ClientOpKind::Compensation, &["1"], clear)
}

fn child() -> ClientOp {
    insert(CHILDREN, &["c", "1", "n"])
}

const PARENT: (RelationId, &str) = (PARENTS, "1");

#[test]
fn vectors_36_and_37_a_compensation_revives_a_parent_wherever_it_stands() {
    for child_first in [false, true] {
        let mut bench = Bench::new();
        bench.native(&[Native::Delete((PARENTS, "1".into()))]).unwrap();
        let mut ops = vec![keep_parent("B@2000 A@1000"), child()];
        if child_first {
            ops.reverse();
        }
        bench.client("B", 2_000, ops).unwrap();
        assert_eq!(bench.row(PARENT.0, PARENT.1).as_deref(), Some("v0 0 | B@2000 | A@1000 A@1000"));
        assert_eq!(bench.row(CHILDREN, "c").as_deref(), Some("1 n | B@2000 | B@2000 B@2000"));
    }
}

#[test]
fn vector_38_a_delete_that_has_not_seen_the_compensation_leaves_the_parent() {
    let mut bench = Bench::new();
    bench.client("B", 2_000, vec![keep_parent("B@2000 A@1000"), child()]).unwrap();
    bench.client("A", 3_000, vec![delete(PARENTS, "1", "A@3000 A@1000")]).unwrap();
    assert_eq!(bench.row(PARENT.0, PARENT.1).as_deref(), Some("v0 0 | B@2000 | A@1000 A@1000"));
    assert_eq!(bench.last_changes(), ["update 1"], "its author gets the row back");
}

#[test]
fn vector_39_a_child_without_a_compensation_revives_its_parent() {
    let mut bench = Bench::new();
    bench.native(&[Native::Delete((PARENTS, "1".into()))]).unwrap();
    bench.client("B", 2_000, vec![child()]).unwrap();
    assert_eq!(bench.row(PARENT.0, PARENT.1).as_deref(), Some("v0 0 | B@2000 | A@1000 A@1000"));
    assert!(bench.row(CHILDREN, "c").is_some());
}

#[test]
fn vector_40_a_parent_with_a_child_is_not_deleted() {
    let mut bench = Bench::new();
    bench.client("B", 2_000, vec![child()]).unwrap();
    bench.client("A", 3_000, vec![delete(PARENTS, "1", "A@3000 A@1000")]).unwrap();
    assert_eq!(bench.row(PARENT.0, PARENT.1).as_deref(), Some("v0 0 | A@3000 | A@1000 A@1000"));
    assert!(bench.row(CHILDREN, "c").is_some());
}

#[test]
fn vectors_41_and_42_what_goes_with_its_parent_goes() {
    let mut bench = Bench::new();
    bench.client("B", 2_000, vec![insert(LEAVES, &["l", "1"])]).unwrap();
    bench.client("A", 3_000, vec![delete(PARENTS, "1", "A@3000 A@1000")]).unwrap();
    assert_eq!((bench.row(PARENT.0, PARENT.1), bench.row(LEAVES, "l")), (None, None));
    let mut bench = Bench::new();
    bench.client("B", 2_000, vec![insert(LEAVES, &["l", "1"])]).unwrap();
    bench.native(&[Native::Delete((PARENTS, "1".into()))]).unwrap();
    assert_eq!((bench.row(PARENT.0, PARENT.1), bench.row(LEAVES, "l")), (None, None));
}

#[test]
fn vector_43_a_parent_made_and_kept_with_its_child() {
    let mut bench = Bench::new();
    let compensation = op(PARENTS, ClientOpKind::Compensation, &["2"], "");
    let child = insert(CHILDREN, &["c", "2", "n"]);
    bench.client("B", 2_000, vec![insert(PARENTS, &["2", "w"]), compensation, child]).unwrap();
    assert_eq!(bench.row(PARENTS, "2").as_deref(), Some("w null | B@2000 | B@2000 B@2000"));
    assert_eq!(bench.last_changes(), ["insert 2", "insert c"]);
}

#[test]
fn a_child_of_a_row_that_never_was_is_refused() {
    let mut bench = Bench::new();
    let refused = bench.client("B", 2_000, vec![insert(CHILDREN, &["c", "9", "n"])]);
    assert_eq!(refused, Err(Refusal::Constraint));
}

#[test]
fn vectors_17_and_18_what_comes_again_is_skipped() {
    let mut bench = Bench::new();
    bench.client_at(7, "C", 2_000, vec![insert(PARENTS, &["2", "w"])]).unwrap();
    bench.client("B", 3_000, vec![delete(PARENTS, "2", "B@3000 C@2000")]).unwrap();
    bench.client_at(7, "C", 2_000, vec![insert(PARENTS, &["2", "w"])]).unwrap();
    assert_eq!((bench.row(PARENTS, "2"), bench.model.repetitions), (None, 1));
}

#[test]
fn vector_35_another_key_is_a_delete_and_an_insert() {
    let mut bench = Bench::new();
    bench.native(&[Native::Rekey((PARENTS, "1".into()), "2".into())]).unwrap();
    assert_eq!(bench.row(PARENT.0, PARENT.1), None);
    let now = format!("postgres_1@{NOW}");
    assert_eq!(bench.row(PARENTS, "2"), Some(format!("v0 0 | {now} | {now} {now}")));
    assert_eq!(bench.last_changes(), ["delete 1", "insert 2"]);
}

#[test]
fn truncate_deletes_each_row_and_an_update_that_has_not_seen_it_revives_one() {
    let mut bench = Bench::new();
    bench.client("B", 1_500, vec![insert(PARENTS, &["2", "w"])]).unwrap();
    bench.native(&[Native::Truncate(PARENTS)]).unwrap();
    assert_eq!(bench.last_changes(), ["delete 1", "delete 2"]);
    bench.client("A", 2_000, vec![keep_parent("A@2000 A@1000")]).unwrap();
    assert_eq!(bench.row(PARENT.0, PARENT.1).as_deref(), Some("v0 0 | A@2000 | A@1000 A@1000"));
    assert_eq!(bench.row(PARENTS, "2"), None);
}

#[test]
fn vector_31_a_row_removed_and_made_again_is_one_update() {
    let mut bench = Bench::new();
    let again = vec![Some("1".into()), Some("again".into()), None];
    bench.native(&[Native::Delete((PARENTS, "1".into())), Native::Put(PARENTS, again)]).unwrap();
    let now = format!("postgres_1@{NOW}");
    assert_eq!(bench.row(PARENT.0, PARENT.1), Some(format!("again null | {now} | {now} {now}")));
    assert_eq!(bench.last_changes(), ["update 1"]);
}

#[test]
fn vector_34_the_future_of_each_row_is_its_own() {
    let mut bench = Bench::new();
    let future = NOW + 86_400_000;
    let update = op(PARENTS, ClientOpKind::Update, &["1", "b", "0"], &format!("B@{future} A@1000"));
    bench.client("B", future, vec![update, insert(PARENTS, &["2", "w"])]).unwrap();
    bench.client("A", 3_000, vec![insert(PARENTS, &["3", "x"])]).unwrap();
    let put = |key: &str| Native::Put(PARENTS, vec![Some(key.into()), Some("pg".into()), Some("0".into())]);
    bench.native(&[put("1"), put("3")]).unwrap();
    let (ahead, now) = (format!("postgres_1@{future}"), format!("postgres_1@{NOW}"));
    assert_eq!(bench.row(PARENTS, "1"), Some(format!("pg 0 | {ahead} | {ahead} B@{future}")));
    assert_eq!(bench.row(PARENTS, "3"), Some(format!("pg 0 | {now} | {now} {now}")));
}
