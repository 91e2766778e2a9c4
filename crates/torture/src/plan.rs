//! Transactions of the workload: what they do, and the SQL for it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use fastrand::Rng;
use serde_json::Value;

use crate::{
    history::{Author, Element, Process, Step},
    tables::{self, ROWS, STATUSES},
};

/// How many lists take elements at a time.
const LISTS: u32 = 4;
/// How many registers keep the greatest value.
const MAXIMA: u32 = 6;
/// The group of the rows of `drafts`, a table that is emptied now and then; those of `mortals` count from 0.
const DRAFTS: u32 = u32::MAX;
/// How many elements and rows are written before other lists and cohorts take their place.
const ERA: u32 = 160;

/// What all processes share: how far the workload is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Era(Arc<AtomicU32>);

impl Era {
    fn grow(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed) / ERA
    }

    /// How many there were so far.
    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed) / ERA + 1
    }
}

/// A planned transaction.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// What it does, in order.
    items: Vec<Item>,
    /// Its SQL.
    pub(crate) statements: Vec<String>,
}

#[derive(Debug)]
enum Item {
    Write(Step),
    Read { what: Read, statement: usize },
}

#[derive(Clone, Copy, Debug)]
enum Read {
    List(u32),
    Greatest(u32),
    Signed(u32),
    Pairs,
    Last(u32),
    Total,
    Alive(u32),
}

/// One that plans the transactions of a process.
pub(crate) struct Planner {
    process: Process,
    era: Era,
    rng: Rng,
    number: u32,
    greatest: [i64; MAXIMA as usize],
    /// Rows that have been seen and may be deleted.
    victims: Vec<String>,
    /// Drafts that have been seen and may be changed.
    drafts: Vec<String>,
    /// How often its database has been given columns, as far as it has seen.
    generations: u32,
    nth: u16,
}

impl Planner {
    pub(crate) fn new(process: Process, era: Era, rng: Rng) -> Planner {
        Planner {
            process,
            era,
            rng,
            number: 0,
            greatest: [0; MAXIMA as usize],
            victims: Vec::new(),
            drafts: Vec::new(),
            generations: 0,
            nth: 0,
        }
    }

    /// The name of the transaction that was planned last.
    pub(crate) fn author(&self) -> Author {
        Author { process: self.process, number: self.number }
    }

    /// A transaction of a client: a few reads, a few writes, in any order.
    pub(crate) fn client(&mut self) -> Plan {
        let mut plan = self.begin();
        for _ in 0..self.rng.u32(1..=4) {
            match self.rng.u32(0..26) {
                0..8 => self.read(&mut plan),
                8..14 => self.append(&mut plan),
                14..16 => self.raise(&mut plan),
                16 => self.sign(&mut plan),
                17 => self.pair(&mut plan),
                18 => self.write(&mut plan),
                19 => self.bear(&mut plan),
                20 => self.kill(&mut plan),
                21..23 => self.family(&mut plan),
                23..25 => self.draft(&mut plan),
                _ => self.project(&mut plan),
            }
        }
        plan
    }

    /// A transaction in Postgres that reads and adds rows, so that it needs one snapshot and waits for nobody.
    pub(crate) fn native_reader(&mut self) -> Plan {
        let mut plan = self.begin();
        for _ in 0..self.rng.u32(1..=3) {
            self.read(&mut plan);
        }
        match self.rng.u32(0..5) {
            0 => self.append(&mut plan),
            1 => self.raise(&mut plan),
            2 => self.bear(&mut plan),
            3 => self.bear_draft(&mut plan),
            _ => {}
        }
        plan
    }

    /// A transaction in Postgres that changes rows that others change too.
    pub(crate) fn native_writer(&mut self) -> Plan {
        let mut plan = self.begin();
        for _ in 0..self.rng.u32(1..=3) {
            match self.rng.u32(0..15) {
                14 => self.draft(&mut plan),
                0..2 => self.append(&mut plan),
                2 => self.sign(&mut plan),
                3 => self.pair(&mut plan),
                4 => self.write(&mut plan),
                5 => self.kill(&mut plan),
                6..9 => self.transfer(&mut plan),
                9..11 => self.family(&mut plan),
                _ => self.native_project(&mut plan),
            }
        }
        plan
    }

    /// A transaction in Postgres that empties a table. What it reads there is what it deletes, since nobody else can write meanwhile; and
    /// it appends to a list, from which others learn that the table was emptied.
    pub(crate) fn native_emptier(&mut self) -> Plan {
        let mut plan = self.begin();
        plan.run("LOCK TABLE drafts IN ACCESS EXCLUSIVE MODE".into());
        plan.read(Read::Alive(DRAFTS));
        plan.write(Step::Empty { group: DRAFTS });
        plan.run("TRUNCATE drafts".into());
        self.append(&mut plan);
        plan.read(Read::Alive(DRAFTS));
        plan
    }

    fn begin(&mut self) -> Plan {
        self.number += 1;
        self.nth = 0;
        Plan::default()
    }

    fn read(&mut self, plan: &mut Plan) {
        let what = match self.rng.u32(0..13) {
            0..5 => Read::List(self.list()),
            5 => Read::Greatest(self.rng.u32(0..MAXIMA)),
            6..8 => Read::Signed(self.rng.u32(0..ROWS)),
            8 => Read::Pairs,
            9 => Read::Last(self.rng.u32(0..ROWS)),
            10 => Read::Total,
            11 => Read::Alive(DRAFTS),
            _ => Read::Alive(self.era.count() - 1),
        };
        plan.read(what);
    }

    /// Reads all that was ever written, list by list.
    pub(crate) fn everything(era: &Era) -> Plan {
        let mut plan = Plan::default();
        (0..=era.count() * LISTS).for_each(|list| plan.read(Read::List(list)));
        (0..MAXIMA).for_each(|register| plan.read(Read::Greatest(register)));
        for row in 0..ROWS {
            plan.read(Read::Signed(row));
            plan.read(Read::Last(row));
        }
        (0..=era.count()).for_each(|cohort| plan.read(Read::Alive(cohort)));
        plan.read(Read::Alive(DRAFTS));
        plan.read(Read::Pairs);
        plan.read(Read::Total);
        plan
    }

    fn list(&mut self) -> u32 {
        (self.era.count() - 1) * LISTS + self.rng.u32(0..LISTS)
    }

    fn append(&mut self, plan: &mut Plan) {
        let list = self.era.grow() * LISTS + self.rng.u32(0..LISTS);
        let (id, Author { process, number }, nth) = (self.uuid(), self.author(), self.nth);
        self.nth += 1;
        plan.write(Step::Append { list, nth });
        plan.run(format!("INSERT INTO appends VALUES ('{id}', {list}, {}, {number}, {nth})", process.0));
    }

    fn raise(&mut self, plan: &mut Plan) {
        let register = self.rng.u32(0..MAXIMA);
        let (id, Author { process, number }) = (self.uuid(), self.author());
        let value = self.greatest.get(register as usize).copied().unwrap_or(0) + self.rng.i64(1..5);
        plan.write(Step::Raise { register, value });
        plan.run(format!("INSERT INTO maxima VALUES ('{id}', {register}, {value}, {}, {number})", process.0));
    }

    fn sign(&mut self, plan: &mut Plan) {
        let row = self.rng.u32(0..ROWS);
        let Author { process, number } = self.author();
        let generation = self.rng.u32(0..=self.generations);
        plan.write(Step::Sign { row, generation });
        let column = tables::cell(generation, process.0);
        plan.run(format!("UPDATE shared SET {column} = {number} WHERE id = {row}"));
    }

    fn pair(&mut self, plan: &mut Plan) {
        let (pair, author) = (self.rng.u32(0..ROWS), self.author());
        plan.write(Step::Pair { pair });
        for side in ["left", "right"] {
            plan.run(format!("UPDATE pairs_{side} SET value = '{author}' WHERE id = {pair}"));
        }
    }

    fn write(&mut self, plan: &mut Plan) {
        let (register, author) = (self.rng.u32(0..ROWS), self.author());
        plan.write(Step::Write { register });
        plan.run(format!("UPDATE registers SET value = '{author}' WHERE id = {register}"));
    }

    fn bear(&mut self, plan: &mut Plan) {
        let (row, group, Author { process, number }) = (self.uuid(), self.era.count() - 1, self.author());
        plan.run(format!("INSERT INTO mortals VALUES ('{row}', {group}, {}, {number})", process.0));
        plan.write(Step::Bear { row, group });
    }

    fn kill(&mut self, plan: &mut Plan) {
        if self.victims.is_empty() {
            return;
        }
        let row = self.victims.swap_remove(self.rng.usize(0..self.victims.len()));
        plan.run(format!("DELETE FROM mortals WHERE id = '{row}'"));
        plan.write(Step::Kill { row });
    }

    /// Rows of a table that others empty.
    fn draft(&mut self, plan: &mut Plan) {
        let author = self.author();
        if self.drafts.is_empty() || self.rng.u32(0..3) == 0 {
            return self.bear_draft(plan);
        }
        let row = self.drafts.swap_remove(self.rng.usize(0..self.drafts.len()));
        plan.run(format!("UPDATE drafts SET mark = '{author}' WHERE id = '{row}'"));
        plan.write(Step::Mark { row });
    }

    fn bear_draft(&mut self, plan: &mut Plan) {
        let (row, Author { process, number }) = (self.uuid(), self.author());
        plan.run(format!(
            "INSERT INTO drafts (id, process, number, mark) VALUES ('{row}', {}, {number}, 'new')",
            process.0
        ));
        plan.write(Step::Bear { row, group: DRAFTS });
    }

    fn transfer(&mut self, plan: &mut Plan) {
        let (from, to, amount) = (self.rng.u32(0..ROWS), self.rng.u32(0..ROWS), self.rng.i32(-20..20));
        let mut sides = [(from, -amount), (to, amount)];
        sides.sort_unstable();
        for (account, amount) in sides {
            plan.run(format!("UPDATE accounts SET balance = balance + {amount} WHERE id = {account}"));
        }
    }

    /// Parents and children come and go; nobody deletes a parent whose children it sees.
    fn family(&mut self, plan: &mut Plan) {
        let (parent, child) = (self.rng.u32(0..ROWS), self.rng.u32(0..ROWS * 2));
        let author = self.author();
        plan.run(match self.rng.u32(0..8) {
            0..2 => format!("INSERT INTO parents VALUES ({parent}, '{author}') ON CONFLICT DO NOTHING"),
            2..5 => format!(
                "INSERT INTO children SELECT {child}, id, '{author}' FROM parents WHERE id = {parent} ON CONFLICT DO NOTHING"
            ),
            5 => format!("UPDATE children SET note = '{author}' WHERE id = {child}"),
            6 => format!("DELETE FROM children WHERE parent_id = {parent}"),
            _ => format!(
                "DELETE FROM parents WHERE id = {parent} AND NOT EXISTS (SELECT 1 FROM children WHERE parent_id = {parent})"
            ),
        });
    }

    /// Changes of rows that move into shapes and out of them.
    fn project(&mut self, plan: &mut Plan) {
        let (project, issue, points) =
            (self.rng.u32(0..ROWS), self.rng.u32(0..ROWS * 3), self.rng.u32(0..100));
        let (status, author) = (STATUSES[self.rng.usize(0..STATUSES.len())], self.author());
        plan.run(match self.rng.u32(0..4) {
            0 => format!("UPDATE projects SET status = '{status}' WHERE id = {project}"),
            1 => format!("UPDATE projects SET title = '{author}' WHERE id = {project}"),
            2 => format!("UPDATE issues SET points = {points} WHERE id = {issue}"),
            _ => format!("UPDATE issues SET title = '{author}' WHERE id = {issue}"),
        });
    }

    fn native_project(&mut self, plan: &mut Plan) {
        let (project, issue, points) =
            (self.rng.u32(0..ROWS), self.rng.u32(0..ROWS * 3), self.rng.u32(0..100));
        let author = self.author();
        match self.rng.u32(0..5) {
            0..2 => plan.run(format!(
                "INSERT INTO issues SELECT {issue}, {project}, '{author}', {points} ON CONFLICT DO NOTHING"
            )),
            2 => plan.run(format!("DELETE FROM issues WHERE id = {issue}")),
            3 => plan.run(format!("UPDATE issues SET project_id = {project} WHERE id = {issue}")),
            _ => self.project(plan),
        }
    }

    /// What a transaction did, from the rows that its statements returned; and what its process makes of that later.
    pub(crate) fn steps(&mut self, plan: Plan, rows: &[Value]) -> Vec<Step> {
        let steps = plan.steps(rows);
        for step in &steps {
            match step {
                Step::Greatest { register, value: Some((value, _)) } => {
                    if let Some(known) = self.greatest.get_mut(*register as usize) {
                        *known = *value;
                    }
                }
                Step::Signed { generations, .. } => self.generations = *generations,
                Step::Alive { group: DRAFTS, rows, .. } => {
                    self.drafts = rows.iter().map(|(row, _)| row.clone()).collect();
                }
                Step::Alive { rows, .. } => {
                    self.victims = rows.iter().map(|(row, _)| row.clone()).collect();
                    self.rng.shuffle(&mut self.victims);
                    self.victims.truncate(3);
                }
                _ => {}
            }
        }
        steps
    }

    fn uuid(&mut self) -> String {
        let digits = format!("{:032x}", self.rng.u128(..));
        let (a, b) = digits.split_at(8);
        let (b, c) = b.split_at(4);
        let (c, d) = c.split_at(4);
        let (d, e) = d.split_at(4);
        format!("{a}-{b}-{c}-{d}-{e}")
    }
}

impl Plan {
    fn run(&mut self, sql: String) {
        self.statements.push(sql);
    }

    fn write(&mut self, step: Step) {
        self.items.push(Item::Write(step));
    }

    fn read(&mut self, what: Read) {
        self.items.push(Item::Read { what, statement: self.statements.len() });
        self.statements.push(match what {
            Read::List(list) => format!("SELECT process, number, nth FROM appends WHERE list = {list}"),
            Read::Greatest(register) => format!(
                "SELECT process, number, value FROM maxima WHERE register = {register} ORDER BY value DESC LIMIT 1"
            ),
            Read::Signed(row) => format!("SELECT * FROM shared WHERE id = {row}"),
            Read::Pairs => "SELECT a.id AS id, a.value AS one, b.value AS other FROM pairs_left a LEFT JOIN pairs_right b ON b.id = a.id".into(),
            Read::Last(register) => format!("SELECT value FROM registers WHERE id = {register}"),
            Read::Total => "SELECT count(*) AS accounts, sum(balance) AS total FROM accounts".into(),
            Read::Alive(DRAFTS) => "SELECT id, process, number, mark FROM drafts".into(),
            Read::Alive(cohort) => format!("SELECT id, process, number FROM mortals WHERE cohort = {cohort}"),
        });
    }

    /// The SQL of its changes.
    pub(crate) fn changes(&self) -> Vec<String> {
        self.statements.iter().filter(|sql| !sql.starts_with("SELECT")).cloned().collect()
    }

    /// What it writes; enough to know of a transaction whose end nobody knows.
    pub(crate) fn writes(self) -> Vec<Step> {
        let writes = self.items.into_iter().filter_map(|item| match item {
            Item::Write(step) => Some(step),
            Item::Read { .. } => None,
        });
        writes.collect()
    }

    /// What it did, from the rows that its statements returned.
    pub(crate) fn steps(self, rows: &[Value]) -> Vec<Step> {
        let none = Vec::new();
        let steps = self.items.into_iter().map(|item| match item {
            Item::Write(step) => step,
            Item::Read { what, statement } => {
                what.step(rows.get(statement).and_then(Value::as_array).unwrap_or(&none))
            }
        });
        steps.collect()
    }
}

impl Read {
    fn step(self, rows: &[Value]) -> Step {
        match self {
            Read::List(list) => {
                let element = |row: &Value| Element {
                    author: author(row),
                    nth: u16::try_from(number(row, "nth")).unwrap_or(u16::MAX),
                };
                Step::List { list, elements: rows.iter().map(element).collect() }
            }
            Read::Greatest(register) => Step::Greatest {
                register,
                value: rows.first().map(|row| (number(row, "value"), author(row))),
            },
            Read::Signed(row) => {
                let found = rows.first().unwrap_or(&Value::Null);
                Step::Signed { row, cells: cells(found), generations: generations(found) }
            }
            Read::Pairs => {
                let halves = |row: &Value| {
                    let pair = u32::try_from(number(row, "id")).unwrap_or(u32::MAX);
                    (pair, text(row, "one"), text(row, "other"))
                };
                Step::Pairs { halves: rows.iter().map(halves).collect() }
            }
            Read::Last(register) => {
                let value = rows.first().map(|row| text(row, "value")).unwrap_or_default();
                Step::Last { register, value }
            }
            Read::Total => {
                let row = rows.first().unwrap_or(&Value::Null);
                Step::Total { accounts: number(row, "accounts"), sum: number(row, "total") }
            }
            Read::Alive(group) => {
                let mark = |row: &Value| Some((text(row, "id"), Author::parse(&text(row, "mark"))?));
                Step::Alive {
                    group,
                    rows: rows.iter().map(|row| (text(row, "id"), author(row))).collect(),
                    marks: rows.iter().filter_map(mark).collect(),
                }
            }
        }
    }
}

/// The cells of a row that were ever signed, with the generations of their columns.
fn cells(row: &Value) -> Vec<(u32, Author)> {
    let columns = row.as_object().into_iter().flatten();
    let cells = columns.filter_map(|(column, _)| {
        let (generation, process) = tables::read_cell(column)?;
        let number = u32::try_from(number(row, column)).ok()?;
        (number > 0).then_some((generation, Author { process: Process(process), number }))
    });
    cells.collect()
}

/// The latest generation of columns that a row has.
fn generations(row: &Value) -> u32 {
    let columns = row.as_object().into_iter().flatten();
    columns.filter_map(|(column, _)| tables::read_cell(column)).map(|(of, _)| of).max().unwrap_or(0)
}

fn author(row: &Value) -> Author {
    Author {
        process: Process(u16::try_from(number(row, "process")).unwrap_or(u16::MAX)),
        number: u32::try_from(number(row, "number")).unwrap_or(u32::MAX),
    }
}

/// A number, which comes as text where it may not fit a JavaScript number.
fn number(row: &Value, column: &str) -> i64 {
    let value = row.get(column).unwrap_or(&Value::Null);
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(i64::MIN)
}

fn text(row: &Value, column: &str) -> String {
    row.get(column).and_then(Value::as_str).unwrap_or("nothing").to_owned()
}
