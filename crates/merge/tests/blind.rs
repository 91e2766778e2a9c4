//! Which writes their authors made without knowing how the row stood.

use bytes::Bytes;
use change::{ClientOp, ClientOpKind, Field, RelationId, Tag};
use merge::{RowState, fold, is_blind};

use ClientOpKind::{Compensation, Delete, Insert, Update};

fn tag(text: &str) -> Tag {
    text.parse().expect("a tag")
}

/// On a table `(id, value, other)`; an update writes the value.
fn op(kind: ClientOpKind, clear: &str) -> ClientOp {
    let written = match kind {
        Insert => vec![false, true, true],
        Update => vec![false, true, false],
        Delete | Compensation => vec![false; 3],
    };
    let values = ["1", "v", "o"].map(|value| Field::Value(Bytes::from_static(value.as_bytes())));
    let clear = clear.split_whitespace().map(tag).collect();
    ClientOp { relation: RelationId(1), kind, values: values.to_vec(), written, clear }
}

type Written = (&'static str, Vec<ClientOp>);

/// Whether the last of the transactions is blind.
fn blind<const N: usize>(transactions: [Written; N]) -> bool {
    let mut row = RowState::unknown(3);
    let mut last = false;
    for (author, ops) in transactions {
        let (ops, standing) = (ops.iter().collect::<Vec<_>>(), row.standing());
        fold(ops.iter().copied(), &tag(author), &mut row);
        last = is_blind(&ops, &tag(author), standing, &row);
    }
    last
}

/// One operation at a time, by somebody who has seen these tags.
fn by(author: &'static str, kind: ClientOpKind, seen: &str) -> Written {
    let clear = if seen.is_empty() { String::new() } else { format!("{author} {seen}") };
    (author, vec![op(kind, &clear)])
}

fn made() -> Written {
    by("A@1", Insert, "")
}

fn deleted() -> Written {
    by("B@2", Delete, "A@1")
}

#[test]
fn what_only_its_author_has_touched_is_as_the_author_believes() {
    assert!(!blind([made()]));
    assert!(!blind([made(), by("A@3", Update, "A@1")]));
    assert!(!blind([made(), by("A@3", Delete, "A@1"), by("A@4", Insert, "")]), "made again");
    assert!(!blind([("A@1", vec![op(Insert, ""), op(Update, ""), op(Delete, "")])]));
    // Nobody who has seen all that there is has missed anything, either.
    assert!(!blind([made(), by("B@3", Update, "A@1")]));
    assert!(!blind([made(), by("B@3", Compensation, "A@1")]));
}

#[test]
fn a_row_that_others_have_deleted_was_believed_to_live() {
    for kind in [Update, Compensation] {
        assert!(blind([made(), deleted(), by("A@3", kind, "A@1")]));
        assert!(blind([made(), deleted(), by("C@1", kind, "A@1")]), "however long ago it was");
    }
    let again = || ("A@3", vec![op(Delete, "A@3 A@1"), op(Insert, "A@3 A@1")]);
    assert!(blind([made(), deleted(), again()]), "also by whoever replaces it");
    // Whoever goes on after that knows.
    assert!(!blind([made(), deleted(), by("A@3", Update, "A@1"), by("A@4", Update, "A@3")]));
    // Who deletes it too has nothing of it.
    assert!(!blind([made(), deleted(), ("A@3", vec![op(Update, "A@3 A@1"), op(Delete, "A@3 A@1")])]));
}

#[test]
fn a_row_that_others_have_written_to_is_not_what_it_was() {
    let other = || by("B@2", Update, "A@1");
    for kind in [Update, Compensation] {
        assert!(blind([made(), other(), by("A@3", kind, "A@1")]));
    }
    assert!(!blind([made(), other(), by("A@3", Delete, "A@1")]), "it stays, and its author has let go of it");
    // Who does not say what was seen has got nothing to hold on to.
    assert!(!blind([made(), by("B@3", Update, "")]));
}

#[test]
fn a_row_made_under_a_key_that_is_taken_is_as_made_only_if_it_wins_throughout() {
    let mine = |when| by(when, Insert, "");
    assert!(!blind([made(), mine("C@3")]));
    assert!(blind([made(), mine("C@0")]));
    assert!(blind([made(), by("B@2", Update, "A@1"), mine("C@1")]), "one column is enough");
    // The columns of a dead row remember, too (vector 16).
    assert!(!blind([made(), deleted(), mine("C@3")]));
    assert!(blind([made(), deleted(), mine("C@0")]));
}
