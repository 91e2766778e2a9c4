//! The SQL of the writer: a few set-based statements per table, any number of rows each.
//!
//! Rows come as arrays, one text array per column of the table (`c0`, `c1`, … in table order), unnested side by side; a
//! single row comes as plain values, which spares Postgres half the work. Values are cast to the columns' types without their
//! modifiers, so that assignment checks lengths as it does for anybody else. The first parameter of statements that write
//! tags is the transaction's own tag.

use std::fmt::Write;

use schema::{Column, Identity, Table};

use super::whole::Place;
use crate::sql_type::{cast, full_cast, printed};

/// What a statement does.
///
/// The last three are told of in [`super::whole`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `(keys…)` → the canonical texts of the keys, in order.
    CanonicalKeys,
    /// `(keys…)` → the ordinals of the rows that live, locked in key order.
    LockRows,
    /// `(keys…)` → ordinal, tags, whether there is a tombstone, and the columns' tags; locked in key order.
    LockShadows,
    /// `(columns…)`: new rows. Columns that the statement omits take their defaults.
    Insert,
    /// `(columns…, given)`: dead rows come back; columns that are not given come from the tombstone.
    Revive,
    /// `(columns…, given)`: live rows; columns that are not given stay, and those whose values only Postgres may change.
    Update,
    /// `(tag, columns…, given, marked)`: the shadows of live rows that are about to go get their tombstones.
    Entomb,
    /// `(keys…)`: live rows go.
    Delete,
    /// `(keys…)`: fails for rows that should have gone and were not touched.
    CheckGone,
    /// `(tag, keys…, tags, marked)`: shadows of rows that had none. Fails for rows that should have been written and were not.
    InsertShadows,
    /// `(tag, keys…, tags, marked)`: shadows of rows that live. Fails likewise.
    UpdateShadows,
    /// `(tag, columns…, given, marked)`: shadows of rows that were dead and stay so.
    Bury,
    /// As [`Kind::Bury`]; and the stream tells of the rows as if they had just gone.
    Withdraw,
    /// `(tag, columns…, marked)`: new rows with their shadows.
    Fresh(Place),
    /// `(tag, columns…, given, cleared)`: live rows with their shadows, merged by Postgres.
    Live(Place),
    /// `(tag, keys…, cleared)`: live rows that go, with their shadows.
    Gone(Place),
}

/// How many rows a statement takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arity {
    /// One, as plain values.
    One,
    /// Any number, as arrays.
    Many,
}

impl Arity {
    /// For so many rows.
    pub fn of(rows: usize) -> Arity {
        if rows == 1 { Arity::One } else { Arity::Many }
    }
}

/// Begins a transaction in which [`ACKNOWLEDGE`] works. A hasty one is committed before it is durable.
pub fn begin(hasty: bool) -> &'static str {
    match hasty {
        false => "BEGIN; SET LOCAL electric.applying = 'yes'",
        true => "BEGIN; SET LOCAL electric.applying = 'yes'; SET LOCAL synchronous_commit = off",
    }
}

/// The acknowledgement, and the test for duplicates (spec 05 §7.3): `(client, position, milliseconds)` changes no row if the
/// position is not above the stored one. Positions compare as unsigned big-endian numbers of up to eight bytes.
///
/// Statements are sent without waiting for the answer to [`begin`]. Should that fail, this one must not take effect, alone
/// and for good, so it does nothing without the setting that ends with the transaction.
pub const ACKNOWLEDGE: &str = "\
    INSERT INTO electric.acknowledged_client_lsns AS a (client_id, lsn, ts) \
    SELECT $1::text, $2::bytea, $3::bigint WHERE current_setting('electric.applying', true) = 'yes' \
    ON CONFLICT (client_id) DO UPDATE SET lsn = excluded.lsn, ts = excluded.ts \
    WHERE lpad(encode(a.lsn, 'hex'), 16, '0') COLLATE \"C\" < lpad(encode(excluded.lsn, 'hex'), 16, '0') COLLATE \"C\"";

/// The same, failing for a duplicate, for what is sent without waiting for the answer.
pub const ACKNOWLEDGE_ONCE: &str = "\
    WITH done AS (\
    INSERT INTO electric.acknowledged_client_lsns AS a (client_id, lsn, ts) \
    SELECT $1::text, $2::bytea, $3::bigint WHERE current_setting('electric.applying', true) = 'yes' \
    ON CONFLICT (client_id) DO UPDATE SET lsn = excluded.lsn, ts = excluded.ts \
    WHERE lpad(encode(a.lsn, 'hex'), 16, '0') COLLATE \"C\" < lpad(encode(excluded.lsn, 'hex'), 16, '0') COLLATE \"C\" \
    RETURNING 1) \
    SELECT electric.lost_race() WHERE NOT EXISTS (SELECT FROM done)";

/// What rows are made under: see [`ACKNOWLEDGE`].
pub(super) const APPLYING: &str = "current_setting('electric.applying', true) = 'yes'";

/// What is put into the image of a row that never was, or has long been dead, for the stream to tell of it all the same. No
/// column has an empty name.
const WITHDRAWN: &str = " || '{\"\": null}'";

/// What the shadow of a live row has for an image if its author did not know how the row stood, for the stream to tell of it. The next
/// write takes it away.
pub(super) const BLIND: &str = "'{\"\": \"blind\"}'::jsonb";

/// The transaction's own tag.
pub(super) const TAG: &str = "$1::electric.tag";

/// That the version of a row is this transaction's.
fn own_write(row: &str) -> String {
    format!("({row}.xmin = pg_current_xact_id()::xid OR electric.is_own_write({row}.xmin))")
}

/// What a row that sync has not touched has for a tag.
pub(super) const EPOCH: &str = "ROW('1970-01-01 00:00:00+00'::timestamptz, NULL)::electric.tag";

/// The statement for a table; `omitted` are columns that an [`Kind::Insert`] leaves to their defaults.
pub fn sql(kind: Kind, arity: Arity, table: &Table, omitted: &[usize]) -> String {
    let names = Names::new(table, arity);
    match kind {
        Kind::CanonicalKeys => names.canonical_keys(),
        Kind::LockRows => names.lock_rows(),
        Kind::LockShadows => names.lock_shadows(),
        Kind::Insert => names.insert(omitted),
        Kind::Revive => names.revive(),
        Kind::Update => names.update(),
        Kind::Entomb => names.entomb(),
        Kind::Delete => names.delete(),
        Kind::CheckGone => names.check_gone(),
        Kind::InsertShadows => names.insert_shadows(),
        Kind::UpdateShadows => names.update_shadows(),
        Kind::Bury => names.bury(""),
        Kind::Withdraw => names.bury(WITHDRAWN),
        Kind::Fresh(place) => names.fresh(omitted, place),
        Kind::Live(place) => names.live(place),
        Kind::Gone(place) => names.gone(place),
    }
}

/// An identifier in quotes.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string constant; `standard_conforming_strings` is on.
pub(super) fn constant(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(super) fn join(parts: impl Iterator<Item = String>, separator: &str) -> String {
    parts.collect::<Vec<_>>().join(separator)
}

/// A table's names and columns, ready to be put into statements.
pub(super) struct Names<'a> {
    pub(super) table: &'a Table,
    pub(super) arity: Arity,
    /// The table, for inserts.
    pub(super) main: String,
    /// The table without those that inherit from it, for all else.
    pub(super) only: String,
    pub(super) shadow: String,
}

impl<'a> Names<'a> {
    pub(super) fn new(table: &'a Table, arity: Arity) -> Names<'a> {
        let main = format!("{}.{}", quote(&table.schema), quote(&table.name));
        let only = format!("ONLY {main}");
        let shadow = format!("electric.{}", quote(&table.shadow.name));
        Names { table, arity, main, only, shadow }
    }

    pub(super) fn key(&self) -> impl Iterator<Item = (usize, &'a Column)> {
        self.table.primary_key.iter().filter_map(|column| Some((*column, self.table.columns.get(*column)?)))
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = (usize, &'a Column)> {
        self.table.columns.iter().enumerate()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = (usize, &'a Column)> {
        self.columns().filter(|(n, _)| !self.table.primary_key.contains(n))
    }

    /// Columns with the quoted names of the columns that hold their tags.
    pub(super) fn tags(&self) -> impl Iterator<Item = (usize, String)> {
        let tags = self.table.shadow.tag_columns.iter().enumerate();
        tags.filter_map(|(n, name)| name.as_ref().map(|name| (n, quote(name))))
    }

    pub(super) fn key_names(&self) -> String {
        join(self.key().map(|(_, c)| quote(&c.name)), ", ")
    }

    /// The rows as `u(c0, …, more…)`, the first parameter being `$first`; `more` are names and types.
    pub(super) fn rows(
        &self,
        first: usize,
        columns: impl Iterator<Item = (usize, &'a Column)>,
        more: &[(&str, &str)],
    ) -> String {
        let columns = columns.map(|(n, _)| (format!("c{n}"), "text"));
        let more = more.iter().map(|(name, ty)| ((*name).to_owned(), *ty));
        let names: Vec<(usize, (String, &str))> = (first..).zip(columns.chain(more)).collect();
        match self.arity {
            Arity::One => {
                let values = join(names.iter().map(|(n, (name, ty))| format!("${n}::{ty} AS {name}")), ", ");
                format!("(SELECT {values}) AS u")
            }
            Arity::Many => {
                let arrays = join(names.iter().map(|(n, (_, ty))| format!("${n}::{ty}[]")), ", ");
                format!("unnest({arrays}) AS u({})", join(names.into_iter().map(|(_, (name, _))| name), ", "))
            }
        }
    }

    /// That `alias` is the row of `u`.
    pub(super) fn on_key(&self, alias: &str, u: &str) -> String {
        let equal = |(n, c): (usize, &Column)| format!("{alias}.{} = {u}.c{n}::{}", quote(&c.name), cast(c));
        join(self.key().map(equal), " AND ")
    }

    /// The keys as `u(c…, n)`, with their ordinals.
    pub(super) fn numbered_keys(&self) -> String {
        let keys: Vec<(usize, usize)> = (1..).zip(self.key().map(|(n, _)| n)).collect();
        match self.arity {
            Arity::One => {
                let values = join(keys.iter().map(|(p, n)| format!("${p}::text AS c{n}")), ", ");
                format!("(SELECT {values}, 1::bigint AS n) AS u")
            }
            Arity::Many => {
                let arrays = join(keys.iter().map(|(p, _)| format!("${p}::text[]")), ", ");
                let names = join(keys.iter().map(|(_, n)| format!("c{n}")), ", ");
                format!("unnest({arrays}) WITH ORDINALITY AS u({names}, n)")
            }
        }
    }

    fn canonical_keys(&self) -> String {
        let texts = self.key().map(|(n, c)| printed(&format!("(u.c{n}::{})", full_cast(c)), c));
        format!("SELECT {} FROM {} ORDER BY u.n", join(texts, ", "), self.numbered_keys())
    }

    /// Selects the ordinal and `columns` of the rows `t` of `relation` that have one of the keys, and locks them in the order
    /// of the keys. A subquery that locks can't be joined in any other way than once per row, in order.
    fn lock(&self, relation: &str, columns: &str, strength: &str) -> String {
        let (keys, on_key) = (self.numbered_keys(), self.on_key("t", "u"));
        match self.arity {
            Arity::One => {
                format!("SELECT u.n{columns} FROM {keys}, {relation} AS t WHERE {on_key} {strength} OF t")
            }
            Arity::Many => {
                let order = join(self.key().map(|(n, c)| format!("u.c{n}::{}", cast(c))), ", ");
                let columns_of_t = columns.trim_start_matches(", ");
                format!(
                    "SELECT u.n, t.* FROM (SELECT u.* FROM {keys} ORDER BY {order}) AS u \
                     CROSS JOIN LATERAL (SELECT {columns_of_t} FROM {relation} AS t WHERE {on_key} {strength}) AS t"
                )
            }
        }
    }

    fn lock_rows(&self) -> String {
        self.lock(&self.only, "", "FOR NO KEY UPDATE")
    }

    fn lock_shadows(&self) -> String {
        let mut columns = ", t._tags, t._tags = '{}' AND t._image IS NOT NULL AS buried".to_owned();
        for (n, name) in self.tags() {
            let _ = write!(columns, ", coalesce(t.{name}, t._base) AS t{n}");
        }
        self.lock(&self.shadow, &columns, "FOR UPDATE")
    }

    fn insert(&self, omitted: &[usize]) -> String {
        let listed = || self.columns().filter(|(n, _)| !omitted.contains(n));
        format!(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} WHERE {APPLYING}",
            self.main,
            join(listed().map(|(_, c)| quote(&c.name)), ", "),
            join(listed().map(|(n, c)| format!("u.c{n}::{}", cast(c))), ", "),
            self.rows(1, self.columns(), &[])
        )
    }

    fn revive(&self) -> String {
        let value = |(n, c): (usize, &Column)| match self.table.primary_key.contains(&n) {
            true => format!("u.c{n}::{}", cast(c)),
            false => format!(
                "CASE WHEN get_bit(u.given, {n}) = 1 THEN u.c{n}::{ty} ELSE (s._image ->> {name})::{ty} END",
                ty = cast(c),
                name = constant(&c.name)
            ),
        };
        format!(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} LEFT JOIN {} AS s ON {}",
            self.main,
            join(self.columns().map(|(_, c)| quote(&c.name)), ", "),
            join(self.columns().map(value), ", "),
            self.rows(1, self.columns(), &[("given", "bytea")]),
            self.shadow,
            self.on_key("s", "u")
        )
    }

    fn update(&self) -> String {
        let mut set = join(
            self.values().filter(|(_, c)| c.identity != Some(Identity::Always)).map(|(n, c)| {
                let (name, ty) = (quote(&c.name), cast(c));
                format!("{name} = CASE WHEN get_bit(u.given, {n}) = 1 THEN u.c{n}::{ty} ELSE t.{name} END")
            }),
            ", ",
        );
        if set.is_empty() {
            // The table has nothing but its key, or nothing that may be changed; the row is still touched.
            set = join(self.key().take(1).map(|(_, c)| format!("{0} = t.{0}", quote(&c.name))), "");
        }
        format!(
            "UPDATE {} AS t SET {set} FROM {} WHERE {}",
            self.only,
            self.rows(1, self.columns(), &[("given", "bytea")]),
            self.on_key("t", "u")
        )
    }

    /// The image of a row `t` for its tombstone: values as replication prints them, changed for those that are not of the key.
    pub(super) fn image(&self, change: impl Fn(usize, &Column, String) -> String) -> String {
        let value = |n: usize, c: &Column| {
            let kept = printed(&format!("t.{}", quote(&c.name)), c);
            if self.table.primary_key.contains(&n) { kept } else { change(n, c, kept) }
        };
        format!(
            "jsonb_object(ARRAY[{}], ARRAY[{}]::text[])",
            join(self.columns().map(|(_, c)| constant(&c.name)), ", "),
            join(self.columns().map(|(n, c)| value(n, c)), ", ")
        )
    }

    // Not one statement with the delete: rules on DELETE would not allow that.
    fn entomb(&self) -> String {
        let image = self.image(|n, c, kept| {
            let given = printed(&format!("(u.c{n}::{})", full_cast(c)), c);
            format!("CASE WHEN get_bit(u.given, {n}) = 1 THEN {given} ELSE {kept} END")
        });
        let mut set = format!("_tags = '{{}}', _tag = {TAG}, _image = {image}");
        for (n, name) in self.tags() {
            let _ =
                write!(set, ", {name} = CASE WHEN get_bit(u.marked, {n}) = 1 THEN {TAG} ELSE s.{name} END");
        }
        format!(
            "UPDATE {} AS s SET {set} FROM {}, {} AS t WHERE {} AND {}",
            self.shadow,
            self.rows(2, self.columns(), &[("given", "bytea"), ("marked", "bytea")]),
            self.only,
            self.on_key("t", "u"),
            self.on_key("s", "u")
        )
    }

    fn delete(&self) -> String {
        let (keys, on_key) = (self.numbered_keys(), self.on_key("t", "u"));
        format!("DELETE FROM {} AS t USING {keys} WHERE {on_key}", self.only)
    }

    // A trigger or rule may turn a delete into something else, such as an update that marks the row. Where it only prevents
    // it, the author would miss a row for good.
    fn check_gone(&self) -> String {
        format!(
            "UPDATE {} AS s SET _tags = NULL FROM {}, {} AS t WHERE {} AND {} AND NOT {}",
            self.shadow,
            self.numbered_keys(),
            self.only,
            self.on_key("t", "u"),
            self.on_key("s", "u"),
            own_write("t")
        )
    }

    /// That the row of `u` is not there as this transaction should have written it, where that is asked for. A trigger or rule
    /// has suppressed or redirected it then, and its author would keep what nobody else has. NULL for the tags, which the
    /// shadow refuses, makes the transaction fail.
    fn suppressed(&self) -> String {
        format!(
            "get_bit(u.marked, {}) = 1 AND NOT EXISTS (SELECT FROM {} AS t WHERE {} AND {})",
            self.table.columns.len() + 1,
            self.only,
            self.on_key("t", "u"),
            own_write("t")
        )
    }

    /// The set of tags: the transaction's own alone unless it is given.
    fn tag_set(&self) -> String {
        format!(
            "CASE WHEN NOT ({}) THEN coalesce(u.tags::electric.tag[], ARRAY[{TAG}]) END",
            self.suppressed()
        )
    }

    /// The image of a live row: none, or the note that its author wrote blindly.
    fn note(&self) -> String {
        format!("CASE WHEN get_bit(u.marked, {}) = 1 THEN {BLIND} END", self.table.columns.len() + 2)
    }

    // The bits after those of the columns say that the row lived before its table was synced, that it must have been written
    // just now, and that its author did not know how it stood. A trigger of the users' that changed the row has made its shadow already; if somebody else has, the
    // transaction must look again.
    fn insert_shadows(&self) -> String {
        let untracked = self.table.columns.len();
        let keys = join(self.key().map(|(n, c)| format!("u.c{n}::{}", cast(c))), ", ");
        let tag = |(n, _): (usize, String)| format!(", CASE WHEN get_bit(u.marked, {n}) = 1 THEN {TAG} END");
        format!(
            "INSERT INTO {} AS s ({names}, _tags, _tag, _base, _image{}) SELECT {keys}, {}, {TAG}, \
             CASE WHEN get_bit(u.marked, {untracked}) = 1 THEN {EPOCH} END, {}{} FROM {} WHERE {APPLYING} \
             ON CONFLICT ({names}) DO UPDATE SET \
             _tags = CASE WHEN {} THEN excluded._tags ELSE electric.lost_race() END, \
             _tag = excluded._tag, _base = excluded._base, _image = excluded._image{}",
            self.shadow,
            join(self.tags().map(|(_, name)| format!(", {name}")), ""),
            self.tag_set(),
            self.note(),
            join(self.tags().map(tag), ""),
            self.rows(2, self.key(), &[("tags", "text"), ("marked", "bytea")]),
            own_write("s"),
            join(self.tags().map(|(_, name)| format!(", {name} = coalesce(excluded.{name}, s.{name})")), ""),
            names = self.key_names(),
        )
    }

    fn update_shadows(&self) -> String {
        let mut set = format!("_tags = {}, _tag = {TAG}, _image = {}", self.tag_set(), self.note());
        for (n, name) in self.tags() {
            let _ =
                write!(set, ", {name} = CASE WHEN get_bit(u.marked, {n}) = 1 THEN {TAG} ELSE s.{name} END");
        }
        format!(
            "UPDATE {} AS s SET {set} FROM {} WHERE {}",
            self.shadow,
            self.rows(2, self.key(), &[("tags", "text"), ("marked", "bytea")]),
            self.on_key("s", "u")
        )
    }

    fn bury(&self, note: &str) -> String {
        let given = |(n, c): (usize, &Column)| {
            let value = printed(&format!("(u.c{n}::{})", full_cast(c)), c);
            let pair = format!("jsonb_build_object({}, {value})", constant(&c.name));
            format!("CASE WHEN get_bit(u.given, {n}) = 1 THEN {pair} ELSE '{{}}' END")
        };
        let tag = |(n, _): (usize, String)| format!(", CASE WHEN get_bit(u.marked, {n}) = 1 THEN {TAG} END");
        let kept = |(_, name): (usize, String)| format!(", {name} = coalesce(excluded.{name}, s.{name})");
        format!(
            "INSERT INTO {} AS s ({keys}, _tags, _tag, _image{}) SELECT {}, '{{}}', {TAG}, {}{} FROM {} \
             ON CONFLICT ({keys}) DO UPDATE SET _tags = '{{}}', _tag = excluded._tag, \
             _image = coalesce(s._image, '{{}}') - '' || excluded._image{}",
            self.shadow,
            join(self.tags().map(|(_, name)| format!(", {name}")), ""),
            join(self.key().map(|(n, c)| format!("u.c{n}::{}", cast(c))), ", "),
            join(self.columns().map(given), " || ") + note,
            join(self.tags().map(tag), ""),
            self.rows(2, self.columns(), &[("given", "bytea"), ("marked", "bytea")]),
            join(self.tags().map(kept), ""),
            keys = self.key_names(),
        )
    }
}
