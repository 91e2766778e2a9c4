//! What went wrong, and what to do about it (spec 05 §7.6).

use std::{error::Error, io, time::Duration};

use schema::Table;
use tokio_postgres::error::{DbError, SqlState};

use super::tags::Unreadable;

/// Postgres, or the writer, refused a client transaction for good. Nothing of it was applied, and its author's position
/// has not moved. The message may be shown to the author: it names tables, columns and constraints, but no values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// The SQLSTATE that Postgres gave, or one that fits.
    pub sqlstate: String,
    /// What happened, to which thing, what to do.
    pub message: String,
    /// What it is about, as far as that is known.
    pub about: About,
}

/// What an error is about, by the names that Postgres gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The table; of a foreign key, the one that refers.
    pub table: Option<String>,
    /// The constraint.
    pub constraint: Option<String>,
    /// The column.
    pub column: Option<String>,
}

impl Refused {
    pub(super) fn new(code: &SqlState, message: impl Into<String>) -> Refused {
        Refused { sqlstate: code.code().to_owned(), message: message.into(), about: About::default() }
    }

    /// The same, about a table.
    pub(super) fn about_table(mut self, table: &Table) -> Refused {
        self.about.table = Some(table.name.clone());
        self
    }

    /// Whether a constraint was broken that may hold if the rows are written in another order.
    pub(super) fn may_be_of_order(&self) -> bool {
        let order = [SqlState::UNIQUE_VIOLATION, SqlState::EXCLUSION_VIOLATION];
        order.iter().any(|code| code.code() == self.sqlstate) || self.is_of_a_reference()
    }

    /// Whether a foreign key was broken.
    pub(super) fn is_of_a_reference(&self) -> bool {
        let references = [SqlState::FOREIGN_KEY_VIOLATION, SqlState::RESTRICT_VIOLATION];
        references.iter().any(|code| code.code() == self.sqlstate)
    }

    /// A statement that took too long each time that it was tried.
    pub(super) fn endless(limit: Duration) -> Refused {
        Refused::new(
            &SqlState::QUERY_CANCELED,
            format!(
                "a statement of the transaction took longer than {} s each time it was tried. Is there a trigger of the \
                 database's own that does not come to an end, or that waits for something? TIELINE_STATEMENT_TIMEOUT says \
                 how long a statement may take",
                limit.as_secs_f64()
            ),
        )
    }

    /// A race that was lost every time: it was none.
    pub(super) fn unending(error: &tokio_postgres::Error) -> Refused {
        error.as_db_error().map_or_else(
            || Refused::new(&SqlState::PROTOCOL_VIOLATION, "the transaction can't be handed to Postgres"),
            refused,
        )
    }
}

/// Why one attempt to apply a transaction came to nothing.
#[derive(Debug)]
pub enum Failure {
    /// Postgres is away, short of something, or chose this transaction to give way: try again, however long it takes.
    Transient(tokio_postgres::Error),
    /// A row appeared between looking and writing, or something of that kind: try again, but not for ever.
    Race(tokio_postgres::Error),
    /// It will not work.
    Permanent(Refused),
}

impl Failure {
    /// The refusal, if what the transaction says of its rows is why: then there may be another way.
    pub fn of_the_rows(self) -> Result<Refused, Failure> {
        match self {
            Failure::Permanent(refused) => Ok(refused),
            failure => Err(failure),
        }
    }

    /// Judges an error of Postgres or the driver; `tables` are those that the transaction touches.
    pub fn of<'a>(error: tokio_postgres::Error, mut tables: impl Iterator<Item = &'a Table>) -> Failure {
        let Some(db) = error.as_db_error() else {
            return match error.source() {
                Some(cause) if cause.is::<Unreadable>() => {
                    Failure::Permanent(Refused::new(&SqlState::DATA_EXCEPTION, UNREADABLE))
                }
                Some(cause) if cause.is::<io::Error>() => Failure::Transient(error),
                _ if error.is_closed() => Failure::Transient(error),
                _ => Failure::Race(error),
            };
        };
        if is_suppressed(db) {
            let table = tables.find(|table| error_is_of_shadow(db, table));
            return Failure::Permanent(suppressed(table));
        }
        let class = db.code().code().get(..2).unwrap_or_default();
        match db.code() {
            code if *code == SqlState::UNIQUE_VIOLATION => match is_of_a_key(db, tables) {
                true => Failure::Race(error),
                false => Failure::Permanent(refused(db)),
            },
            code if TRANSIENT.contains(code) || matches!(class, "08" | "53" | "57" | "58") => {
                Failure::Transient(error)
            }
            code if RACES.contains(code) => Failure::Race(error),
            _ => Failure::Permanent(refused(db)),
        }
    }
}

const UNREADABLE: &str = "the tags of a row can't be read: somebody has written to schema \"electric\"";

/// Beside the classes for lost connections, want of resources, operators and the system.
const TRANSIENT: [SqlState; 5] = [
    SqlState::T_R_SERIALIZATION_FAILURE,
    SqlState::T_R_DEADLOCK_DETECTED,
    SqlState::LOCK_NOT_AVAILABLE,
    // We were away for too long in the middle of it.
    SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    // Right after a failover.
    SqlState::READ_ONLY_SQL_TRANSACTION,
];

/// What a schema change beside us can cause: a plan that has become stale, a statement that is gone; and a session that was
/// not in the state it should have been in.
const RACES: [SqlState; 5] = [
    SqlState::FEATURE_NOT_SUPPORTED,
    SqlState::INVALID_SQL_STATEMENT_NAME,
    SqlState::INTERNAL_ERROR,
    SqlState::IN_FAILED_SQL_TRANSACTION,
    SqlState::NO_ACTIVE_SQL_TRANSACTION,
];

/// Whether a unique index is that of a table's key or of a shadow's: then somebody else has made the row, which the next
/// attempt finds.
fn is_of_a_key<'a>(error: &DbError, mut tables: impl Iterator<Item = &'a Table>) -> bool {
    error.schema() == Some("electric")
        || tables.any(|table| {
            error.schema() == Some(&table.schema)
                && error.table() == Some(&table.name)
                && error.constraint() == Some(&table.primary_key_name)
        })
}

/// Whether our own check failed that a row has been written: see the statements of shadows.
fn is_suppressed(error: &DbError) -> bool {
    *error.code() == SqlState::NOT_NULL_VIOLATION
        && error.schema() == Some("electric")
        && error.column() == Some("_tags")
}

fn error_is_of_shadow(error: &DbError, table: &Table) -> bool {
    error.table() == Some(&table.shadow.name)
}

fn suppressed(table: Option<&Table>) -> Refused {
    let named = table.map(|table| format!(" of table {:?}", table.name)).unwrap_or_default();
    let refused = Refused::new(
        &SqlState::TRIGGERED_DATA_CHANGE_VIOLATION,
        format!(
            "a trigger or rule{named} has kept a row from being written as the transaction says: let it raise an exception, or \
             change other columns than the primary key"
        ),
    );
    match table {
        Some(table) => refused.about_table(table),
        None => refused,
    }
}

/// Composed from names only: Postgres' own messages can quote values.
fn refused(error: &DbError) -> Refused {
    let about = About {
        table: error.table().map(str::to_owned),
        constraint: error.constraint().map(str::to_owned),
        column: error.column().map(str::to_owned),
    };
    let table = about.table.as_ref().map(|name| format!(" of table {name:?}")).unwrap_or_default();
    let constraint = about.constraint.as_deref().unwrap_or("?");
    let what = match error.code() {
        code if *code == SqlState::NOT_NULL_VIOLATION => format!(
            "column {:?}{table} must not be null. Give it a value, or a default in Postgres",
            about.column.as_deref().unwrap_or("?")
        ),
        code if *code == SqlState::FOREIGN_KEY_VIOLATION || *code == SqlState::RESTRICT_VIOLATION => format!(
            "foreign key {constraint:?}{table} does not hold: a row refers to one that Postgres has never had or does not remember, \
             or rows that stay refer to one that was to go. Write the row that is referred to first, or drop the reference"
        ),
        code if *code == SqlState::UNIQUE_VIOLATION => format!(
            "unique constraint {constraint:?}{table} does not hold: another row has the same values already. Choose others, or \
             change that row"
        ),
        code if *code == SqlState::CHECK_VIOLATION && about.constraint.is_none() => {
            format!("a row does not belong into the partition{table}. Write it with values of that partition")
        }
        code if *code == SqlState::CHECK_VIOLATION => format!(
            "check constraint {constraint:?}{table} does not hold. The same check belongs into the app, before it writes"
        ),
        code if *code == SqlState::EXCLUSION_VIOLATION => format!(
            "exclusion constraint {constraint:?}{table} does not hold: another row is in the way. Choose other values, or change \
             that row"
        ),
        code if *code == SqlState::STRING_DATA_RIGHT_TRUNCATION => {
            format!("a text is longer than its column{table} allows. Shorten it, or let the column take more")
        }
        code if *code == SqlState::RAISE_EXCEPTION => format!(
            "a trigger or function{table} of the database's own raised an exception. The database's log has its words"
        ),
        code if *code == SqlState::INSUFFICIENT_PRIVILEGE => format!(
            "the service's database role may not write{table}: grant it SELECT, INSERT, UPDATE and DELETE"
        ),
        code if code.code().starts_with("22") => {
            format!("a value does not suit its column{table}. Check types and ranges before writing")
        }
        code if code.code().starts_with("42") => {
            format!("the table or a column{table} has changed or is gone: reconnect to get the new schema")
        }
        _ => format!("an error in the database{table}. The database's log has its words"),
    };
    let code = error.code().code();
    Refused {
        sqlstate: code.to_owned(),
        message: format!("Postgres refused the transaction: {what} (SQLSTATE {code})"),
        about,
    }
}
