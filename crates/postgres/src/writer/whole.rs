//! Statements that need no look beforehand, and that can be a whole client transaction each: acknowledgement, rows and shadows.
//!
//! Such a statement is its own Postgres transaction: one message there, one back, and what holds for one holds for all of it.
//! Rows that are new are just inserted, and take over the tombstones of those that were deleted before. Rows that live are locked,
//! merged with and written where they are, by the same rules as everywhere (spec 05 §1.4). Rows that are deleted leave their
//! tombstones, if their author had seen all that kept them alive. Whenever things are not as the statement assumes (a row is there already, or is not there any
//! more; a trigger has kept it from being written), it fails as a lost race, and the transaction goes the long way.
//!
//! All parts of a statement see the same state of the database, and the users' `AFTER` triggers come when all parts are done.
//! What such a trigger writes to a row would then count as later than the client's write to its shadow; so tables that have any
//! are not written in this way.

use std::fmt::Write;

use schema::{Column, Identity};

use super::statements::{APPLYING, Arity, BLIND, EPOCH, Names, TAG, quote};
use crate::sql_type::cast;

/// Where a statement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// It is a transaction, applied if its position is above the client's. Its last parameters: client, position, milliseconds,
    /// `synchronous_commit` or NULL. Answers how many were acknowledged: none is a duplicate.
    First,
    /// The same, applied only if the client's position is exactly that of its predecessor, which stands before
    /// `synchronous_commit`. So it can be sent before it is known what became of the predecessor.
    Next,
    /// It is a part of a transaction that is acknowledged in another statement.
    Within,
}

/// The new position of a client, below which the stored one has to be.
const FIRST: &str = "\
    INSERT INTO electric.acknowledged_client_lsns AS a (client_id, lsn, ts) VALUES ($1::text, $2::bytea, $3::bigint) \
    ON CONFLICT (client_id) DO UPDATE SET lsn = excluded.lsn, ts = excluded.ts \
    WHERE lpad(encode(a.lsn, 'hex'), 16, '0') COLLATE \"C\" < lpad(encode(excluded.lsn, 'hex'), 16, '0') COLLATE \"C\" \
    RETURNING 1";

/// The new position of a client whose stored one is that of the predecessor.
const NEXT: &str = "\
    UPDATE electric.acknowledged_client_lsns AS a SET lsn = $2::bytea, ts = $3::bigint \
    WHERE a.client_id = $1::text AND a.lsn = $4::bytea RETURNING 1";

/// [`NEXT`], within a transaction, failing if the stored position is another.
pub const ACKNOWLEDGE_NEXT: &str = "\
    WITH done AS (\
    UPDATE electric.acknowledged_client_lsns AS a SET lsn = $2::bytea, ts = $3::bigint \
    WHERE a.client_id = $1::text AND a.lsn = $4::bytea AND current_setting('electric.applying', true) = 'yes' RETURNING 1) \
    SELECT electric.lost_race() WHERE NOT EXISTS (SELECT FROM done)";

/// Whether a table, by its number, has triggers of the users' own that come after its rows are written.
pub const IS_WATCHED: &str = "\
    EXISTS (SELECT FROM pg_catalog.pg_trigger w WHERE w.tgrelid = $1::oid AND NOT w.tgisinternal \
    AND w.tgtype & 66 = 0 AND w.tgname NOT LIKE 'electric\\_native\\_%')";

/// The frame around what a statement does.
struct Frame {
    /// The acknowledgement as the first of the common table expressions, if it has one.
    head: String,
    /// What has to hold for rows to be written.
    gate: &'static str,
    /// What is selected in the end, after the check.
    tail: String,
}

impl Frame {
    /// `next` is the number of the first parameter that is not taken.
    fn new(place: Place, next: usize) -> Frame {
        let (acknowledge, sync) = match place {
            Place::First => (FIRST, next + 3),
            Place::Next => (NEXT, next + 4),
            Place::Within => return Frame { head: String::new(), gate: APPLYING, tail: String::new() },
        };
        // Backwards, so that no number is taken for one that was just put in.
        let mut acknowledge = acknowledge.to_owned();
        for n in (1..=4).rev() {
            acknowledge = acknowledge.replace(&format!("${n}::"), &format!("${}::", next + n - 1));
        }
        Frame {
            head: format!("ack AS ({acknowledge}), "),
            gate: "EXISTS (SELECT FROM ack)",
            tail: format!(
                ", set_config('synchronous_commit', coalesce(${sync}::text, current_setting('synchronous_commit')), true)"
            ),
        }
    }

    /// The statement: the parts, and the check that as many shadows were written as there are rows. First in the answer is how
    /// many transactions were acknowledged.
    fn around(&self, names: &Names<'_>, parts: &str, shadows: &str) -> String {
        let acknowledged = if self.head.is_empty() { "1::bigint" } else { "(SELECT count(*) FROM ack)" };
        let watched = IS_WATCHED.replace("$1", &names.table.id.to_string());
        format!(
            "WITH {}{parts} SELECT {acknowledged}, \
             CASE WHEN {shadows} <> (SELECT count(*) FROM u) OR {watched} THEN electric.lost_race() END{}",
            self.head, self.tail
        )
    }
}

impl Names<'_> {
    fn listed(&self, omitted: &[usize]) -> impl Iterator<Item = (usize, &Column)> {
        self.columns().filter(move |(n, _)| !omitted.contains(n))
    }

    /// Rows that are new, with their shadows: `(tag, columns…, marked)`. The shadow may be there with a tombstone, if nothing in that
    /// stands against the new values.
    pub(super) fn fresh(&self, omitted: &[usize], place: Place) -> String {
        let frame = Frame::new(place, 3 + self.table.columns.len());
        let rows = self.rows(2, self.columns(), &[("marked", "bytea")]);
        let names = join(self.listed(omitted).map(|(_, c)| quote(&c.name)));
        let values = join(self.listed(omitted).map(|(n, c)| format!("u.c{n}::{}", cast(c))));
        let made = join(self.key().map(|(n, c)| format!("{} AS k{n}", quote(&c.name))));
        let same: Vec<String> = self.key().map(|(n, c)| format!("w.k{n} = u.c{n}::{}", cast(c))).collect();
        let mut columns = join(self.key().map(|(_, c)| quote(&c.name)));
        let mut tags = join(self.key().map(|(n, c)| format!("u.c{n}::{}", cast(c))));
        columns.push_str(", _tags, _tag");
        let _ = write!(tags, ", ARRAY[{TAG}], {TAG}");
        let (mut set, mut free) = (String::new(), String::new());
        for (n, name) in self.tags() {
            let _ = write!(columns, ", {name}");
            let _ = write!(tags, ", CASE WHEN get_bit(u.marked, {n}) = 1 THEN {TAG} END");
            let _ = write!(set, ", {name} = excluded.{name}");
            let older = is_older(&format!("coalesce(d.{name}, d._base)"));
            let _ = write!(free, " AND excluded.{name} IS NOT NULL AND {older}");
        }
        let parts = format!(
            "u AS MATERIALIZED (SELECT u.* FROM {rows} WHERE {}), \
             w AS (INSERT INTO {} ({names}) OVERRIDING SYSTEM VALUE SELECT {values} FROM u RETURNING {made}), \
             s AS (INSERT INTO {} AS d ({columns}) SELECT {tags} FROM u, w WHERE {} \
             ON CONFLICT ({}) DO UPDATE SET _tags = excluded._tags, _tag = excluded._tag, _image = NULL{set} \
             WHERE d._tags = '{{}}'{free} RETURNING 1)",
            frame.gate,
            self.main,
            self.shadow,
            same.join(" AND "),
            self.key_names(),
        );
        frame.around(self, &parts, "(SELECT count(*) FROM s)")
    }

    /// Rows that live, with their shadows: `(tag, columns…, given, cleared)`. The locks are taken in the same order as
    /// everywhere: a row before its shadow. What is there beside what the author had seen makes it a blind write: see
    /// [`merge::is_blind`].
    pub(super) fn live(&self, place: Place) -> String {
        let frame = Frame::new(place, 4 + self.table.columns.len());
        let rows = self.rows(2, self.columns(), &[("given", "bytea"), ("cleared", "text")]);
        let order = self.in_order();
        let mut known = String::new();
        let mut found = String::new();
        for (n, name) in self.tags() {
            let _ = write!(found, ", coalesce(s.{name}, s._base) AS t{n}");
            let _ = write!(known, ", CASE WHEN s.tracked THEN s.t{n} ELSE {EPOCH} END AS t{n}");
        }
        let same: Vec<String> =
            self.key().map(|(n, c)| format!("t.{} = m.c{n}::{}", quote(&c.name), cast(c))).collect();
        let mut marks = String::new();
        let (mut columns, mut tags) = (join(self.key().map(|(_, c)| quote(&c.name))), String::new());
        columns.push_str(", _tags, _tag, _base, _image");
        for (n, name) in self.tags() {
            let wins = self.wins("w", n);
            let _ = write!(marks, ", {name} = CASE WHEN {wins} THEN {TAG} ELSE s.{name} END");
            let _ = write!(columns, ", {name}");
            let _ = write!(tags, ", CASE WHEN {wins} THEN {TAG} END");
        }
        let parts = format!(
            "u AS MATERIALIZED (SELECT u.* FROM {rows} WHERE {gate}), \
             l AS MATERIALIZED (SELECT v.* FROM (SELECT u.* FROM u{order}) AS v \
             CROSS JOIN LATERAL (SELECT FROM {only} AS t WHERE {on_v} FOR NO KEY UPDATE) AS t), \
             m AS MATERIALIZED (SELECT v.*, s.tracked, {after} AS after{known} FROM l AS v \
             LEFT JOIN LATERAL (SELECT true AS tracked, s._tags AS tags{found} FROM {shadow} AS s WHERE {s_on_v} FOR UPDATE) AS s \
             ON true), \
             w AS (UPDATE {only} AS t SET {set} FROM m WHERE {on_m} RETURNING m.*, ({same}) AS same), \
             s AS (UPDATE {shadow} AS s SET _tags = w.after, _tag = {TAG}, _image = {note}{marks} \
             FROM w WHERE w.same AND w.tracked AND {s_on_w} RETURNING 1), \
             n AS (INSERT INTO {shadow} ({columns}) SELECT {key}, w.after, {TAG}, {EPOCH}, {note}{tags} \
             FROM w WHERE w.same AND w.tracked IS NOT TRUE RETURNING 1)",
            gate = frame.gate,
            only = self.only,
            shadow = self.shadow,
            on_v = self.on_key("t", "v"),
            s_on_v = self.on_key("s", "v"),
            set = self.set(),
            on_m = self.on_key("t", "m"),
            same = same.join(" AND "),
            after = tags_after(),
            note =
                format_args!("CASE WHEN w.cleared <> '{{}}' AND cardinality(w.after) > 1 THEN {BLIND} END"),
            s_on_w = self.on_key("s", "w"),
            key = join(self.key().map(|(n, c)| format!("w.c{n}::{}", cast(c)))),
        );
        frame.around(self, &parts, "(SELECT count(*) FROM s) + (SELECT count(*) FROM n)")
    }

    fn set(&self) -> String {
        let set = join(self.values().filter(|(_, c)| c.identity != Some(Identity::Always)).map(|(n, c)| {
            let (name, ty, wins) = (quote(&c.name), cast(c), self.wins("m", n));
            format!("{name} = CASE WHEN {wins} THEN m.c{n}::{ty} ELSE t.{name} END")
        }));
        if !set.is_empty() {
            return set;
        }
        // Nothing that may be changed; the row is still touched.
        join(self.key().take(1).map(|(_, c)| format!("{0} = t.{0}", quote(&c.name))))
    }

    /// That the transaction gives the column a value, and none with a greater tag stands there.
    fn wins(&self, row: &str, column: usize) -> String {
        let given = format!("get_bit({row}.given, {column}) = 1");
        if !self.tags().any(|(n, _)| n == column) {
            return given;
        }
        format!("({given} AND {})", is_older(&format!("{row}.t{column}")))
    }

    /// Rows that live and go, with their shadows: `(tag, keys…, cleared)`. They are deleted by whoever had seen all that keeps them
    /// alive.
    pub(super) fn gone(&self, place: Place) -> String {
        let frame = Frame::new(place, 3 + self.table.primary_key.len());
        let parts = format!(
            "u AS MATERIALIZED (SELECT u.* FROM {rows} WHERE {gate}), \
             l AS MATERIALIZED (SELECT v.* FROM (SELECT u.* FROM u{order}) AS v \
             CROSS JOIN LATERAL (SELECT FROM {only} AS t WHERE {on_v} FOR UPDATE) AS t), \
             m AS MATERIALIZED (SELECT v.*, s.tracked FROM l AS v \
             LEFT JOIN LATERAL (SELECT true AS tracked, s._tags AS tags FROM {shadow} AS s WHERE {s_on_v} FOR UPDATE) AS s ON true \
             WHERE NOT EXISTS ({unseen})), \
             w AS (DELETE FROM {only} AS t USING m WHERE {on_m} RETURNING m.*, {image} AS image), \
             s AS (UPDATE {shadow} AS s SET _tags = '{{}}', _tag = {TAG}, _image = w.image \
             FROM w WHERE w.tracked AND {s_on_w} RETURNING 1), \
             n AS (INSERT INTO {shadow} ({keys}, _tags, _tag, _base, _image) SELECT {key}, '{{}}', {TAG}, {EPOCH}, w.image \
             FROM w WHERE w.tracked IS NOT TRUE RETURNING 1)",
            rows = self.rows(2, self.key(), &[("cleared", "text")]),
            gate = frame.gate,
            order = self.in_order(),
            only = self.only,
            shadow = self.shadow,
            on_v = self.on_key("t", "v"),
            s_on_v = self.on_key("s", "v"),
            unseen = tags_unseen(),
            on_m = self.on_key("t", "m"),
            image = self.image(|_, _, kept| kept),
            s_on_w = self.on_key("s", "w"),
            keys = self.key_names(),
            key = join(self.key().map(|(n, c)| format!("w.c{n}::{}", cast(c)))),
        );
        frame.around(self, &parts, "(SELECT count(*) FROM s) + (SELECT count(*) FROM n)")
    }

    /// How several rows are sorted to be locked.
    fn in_order(&self) -> String {
        match self.arity {
            Arity::One => String::new(),
            Arity::Many => {
                format!(" ORDER BY {}", join(self.key().map(|(n, c)| format!("u.c{n}::{}", cast(c)))))
            }
        }
    }
}

/// That a tag, or none, is not greater than the transaction's own.
fn is_older(theirs: &str) -> String {
    format!(
        "((({theirs}).\"timestamp\" > ({TAG}).\"timestamp\" OR (({theirs}).\"timestamp\" = ({TAG}).\"timestamp\" \
         AND (({theirs}).source_id IS NULL OR ({theirs}).source_id COLLATE \"C\" > ({TAG}).source_id COLLATE \"C\"))) IS NOT TRUE)"
    )
}

/// The set of tags of a row `v` that lives and has the shadow `s`: without those that the transaction's author had seen, and with the
/// transaction's own.
fn tags_after() -> String {
    format!("ARRAY({} UNION ALL SELECT {TAG})", tags_unseen())
}

/// The tags of such a row, but for the transaction's own, that its author had not seen. A row that sync has not touched, or whose
/// shadow says that it is dead, has the tag of such rows.
fn tags_unseen() -> String {
    let is = |tag: &str| {
        format!("{tag}.at = x.at AND {tag}.source COLLATE \"C\" IS NOT DISTINCT FROM x.source COLLATE \"C\"")
    };
    format!(
        "SELECT ROW(x.at, x.source)::electric.tag \
         FROM unnest(CASE WHEN s.tracked AND s.tags <> '{{}}' THEN s.tags ELSE ARRAY[{EPOCH}] END) AS x (at, source) \
         WHERE NOT EXISTS (SELECT FROM unnest(v.cleared::electric.tag[]) AS c (at, source) WHERE {}) \
         AND NOT EXISTS (SELECT FROM (SELECT ({TAG}).\"timestamp\" AS at, ({TAG}).source_id AS source) AS o WHERE {})",
        is("c"),
        is("o")
    )
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}
