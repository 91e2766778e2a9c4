//! What happened, in the words of the check: who did what in which transaction, and what was read there.
//!
//! Everything is written so that a value tells which transaction wrote it; so a read tells what its reader must have known.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One that does a transaction at a time: a client, a native writer, or the reading at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Process(pub u16);

impl Process {
    /// The one that reads everything when all is over. It knows of everything that happened.
    pub const END: Process = Process(u16::MAX);
}

/// A transaction's name: the `number`-th of its process, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Author {
    /// Whose.
    pub process: Process,
    /// Which; 0 for what was there in the beginning.
    pub number: u32,
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.process.0, self.number)
    }
}

impl Author {
    /// Reads what [`Author`]'s `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Author> {
        let (process, number) = text.split_once('/')?;
        Some(Author { process: Process(process.parse().ok()?), number: number.parse().ok()? })
    }
}

/// An element of a list: the `nth` that its author appends in one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Element {
    /// The transaction that appended it.
    pub author: Author,
    /// Which of its elements, counted over all lists.
    pub nth: u16,
}

/// How a transaction ended, as far as its process could tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was acknowledged: nothing of it may ever be lost.
    Committed,
    /// Its process or its connection ended before it was answered: it happened or did not.
    Unknown,
    /// It was refused: nothing of it may ever be seen.
    Failed,
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Appends the transaction's `nth` element to a list.
    Append {
        /// To which list.
        list: u32,
        /// Which of the transaction's elements.
        nth: u16,
    },
    /// Reads a list.
    List {
        /// Which.
        list: u32,
        /// All its elements, in no order.
        elements: Vec<Element>,
    },
    /// Writes a value to a register that keeps the greatest.
    Raise {
        /// Which.
        register: u32,
        /// The value.
        value: i64,
    },
    /// Reads such a register.
    Greatest {
        /// Which.
        register: u32,
        /// The greatest value and who wrote it; none if nobody has.
        value: Option<(i64, Author)>,
    },
    /// Writes its own name to a cell that only its process writes to.
    Sign {
        /// The row of the cell; its column is the process.
        row: u32,
        /// How often the table had been given columns when it was given this one.
        #[serde(default)]
        generation: u32,
    },
    /// Reads the cells of a row.
    Signed {
        /// Which row.
        row: u32,
        /// For each generation of columns and each process that has ever written there, its last transaction that did.
        cells: Vec<(u32, Author)>,
        /// How often the table has been given columns, as far as the reader's database knows.
        #[serde(default)]
        generations: u32,
    },
    /// Writes its own name to both halves of a pair.
    Pair {
        /// Which.
        pair: u32,
    },
    /// Reads pairs.
    Pairs {
        /// Each pair with the texts of its halves.
        halves: Vec<(u32, String, String)>,
    },
    /// Writes its own name to a register that everybody writes to: the last writer wins.
    Write {
        /// Which.
        register: u32,
    },
    /// Reads such a register.
    Last {
        /// Which.
        register: u32,
        /// Its text.
        value: String,
    },
    /// Reads all accounts, whose total never changes.
    Total {
        /// How many there are.
        accounts: i64,
        /// The sum over them.
        sum: i64,
    },
    /// Makes a row. Once deleted by somebody who had seen it, it does not come back, unless somebody else has changed it meanwhile.
    Bear {
        /// Its id.
        row: String,
        /// The group that it belongs to.
        group: u32,
    },
    /// Deletes such a row, which its process has seen.
    Kill {
        /// Its id.
        row: String,
    },
    /// Changes such a row, which its process has seen. If it was deleted in between, it comes back.
    Mark {
        /// Its id.
        row: String,
    },
    /// Deletes all rows of a group at once (`TRUNCATE`): those that the transaction has read there just before, since when nobody
    /// else could write any.
    Empty {
        /// Which group.
        group: u32,
    },
    /// Reads the rows of a group.
    Alive {
        /// Which group.
        group: u32,
        /// Each row with the transaction that made it.
        rows: Vec<(String, Author)>,
        /// The rows that were ever changed, with the last transaction that did.
        #[serde(default)]
        marks: Vec<(String, Author)>,
    },
}

/// A transaction with all its steps in order, at a local database or at Postgres.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Its name.
    pub author: Author,
    /// When it was asked for, in milliseconds since the run began.
    pub asked: u64,
    /// When it was answered or given up.
    pub ended: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// What it did. Reads are only there if it was committed.
    pub steps: Vec<Step>,
    /// Its changes in SQL, for who looks into a failure; the check does without.
    #[serde(default)]
    pub sql: Vec<String>,
}

/// All that happened, and what must hold of it from the beginning.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Every transaction; those of one process in its order.
    pub transactions: Vec<Transaction>,
    /// How many accounts there are, and their sum.
    pub accounts: (i64, i64),
}
