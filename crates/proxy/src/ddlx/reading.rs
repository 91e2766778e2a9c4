//! What there is in a query string beside Postgres' own statements, and what Postgres is given for it.

use std::ops::Range;

use super::{
    grammar::{self, Command, Unsupported},
    guard,
    lexer::Dialect,
    parser::{Misfit, Parser},
    search::mentions_electric,
    statements::{Statement, Statements},
};

/// The command tag of every way to electrify (spec 04 §2).
pub const ENABLED: &str = "ELECTRIC ENABLE";

/// What does nothing, in a transaction or without one, and needs nothing of the database but what every database has.
const NOTHING: &[u8] = b"DO 'BEGIN END'";

/// Where the statements go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A database that is synced. `guarded` if nothing there watches changes of the schema (tier 2, spec 04 §11).
    Synced {
        /// Whether statements that may change the schema are to be found too.
        guarded: bool,
    },
    /// One without schema `electric`, where DDLX succeeds and does nothing (spec 04 §9.6).
    Shadow,
}

/// A statement that doesn't simply pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its number in the string, from 0.
    pub number: usize,
    /// Its bytes in the string.
    pub span: Range<usize>,
    /// What is special about it.
    pub what: What,
    /// Whether it has parameters (`$1`).
    pub has_parameters: bool,
}

/// What is special about a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Postgres is given this text in its place, and the client this command tag.
    Replaced(Vec<u8>, &'static str),
    /// It passes, but the client is given this command tag.
    Tagged(&'static str),
    /// It would be DDLX, if it were right. It passes: Postgres can't parse it either.
    Wrong(Misfit),
    /// It passes, and may change the schema.
    Changing,
}

/// A query string that has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What doesn't simply pass, in order.
    pub found: Vec<Found>,
    /// How many statements there are. Not counted where nothing can be found.
    pub count: usize,
}

impl Reading {
    /// Reads a query string; costs next to nothing where nothing can be in it.
    #[must_use]
    pub fn of(text: &[u8], dialect: Dialect, target: Target) -> Reading {
        let mut reading = Reading::default();
        let guarded = target == Target::Synced { guarded: true };
        let mentioned = mentions_electric(text);
        if !guarded && !mentioned {
            return reading;
        }
        for (number, statement) in Statements::new(text, dialect).enumerate() {
            reading.count += 1;
            let special = if mentioned { special(&statement, target) } else { None };
            let what =
                special.or_else(|| (guarded && guard::may_change(&statement)).then_some(What::Changing));
            if let Some(what) = what {
                let has_parameters = statement.has_parameters;
                reading.found.push(Found { number, span: statement.span, what, has_parameters });
            }
        }
        reading
    }
}

fn special(statement: &Statement<'_>, target: Target) -> Option<What> {
    if statement.begins(&["call"]) {
        return called(statement, target);
    }
    if !grammar::is_ddlx(statement) {
        return None;
    }
    Some(match grammar::parse(statement) {
        Ok(command) => {
            let tag = tag(&command);
            let text = match target {
                Target::Synced { .. } => call(&command, statement.dialect()),
                Target::Shadow => NOTHING.to_vec(),
            };
            What::Replaced(text, tag)
        }
        Err(misfit) => What::Wrong(misfit),
    })
}

/// A call of one of the service's own procedures.
fn called(statement: &Statement<'_>, target: Target) -> Option<What> {
    let mut parser = Parser::new(statement);
    if !(parser.word("call") && parser.name().ok()? == *"electric" && parser.mark(b'.')) {
        return None;
    }
    let procedure = parser.name().ok()?;
    let electrifies = procedure == *"electrify";
    let tag = if electrifies { ENABLED } else { "CALL" };
    match target {
        Target::Shadow => Some(What::Replaced(NOTHING.to_vec(), tag)),
        Target::Synced { .. } => electrifies.then_some(What::Tagged(tag)),
    }
}

fn tag(command: &Command) -> &'static str {
    match command {
        Command::Enable(_) => ENABLED,
        Command::Disable(_) => "ELECTRIC DISABLE",
        Command::Unsupported(Unsupported::Grant) => "ELECTRIC GRANT",
        Command::Unsupported(Unsupported::Revoke) => "ELECTRIC REVOKE",
        Command::Unsupported(Unsupported::Assign) => "ELECTRIC ASSIGN",
        Command::Unsupported(Unsupported::Unassign) => "ELECTRIC UNASSIGN",
        Command::Unsupported(Unsupported::Sqlite) => "ELECTRIC SQLITE",
    }
}

fn call(command: &Command, dialect: Dialect) -> Vec<u8> {
    match command {
        Command::Enable(table) => [b"CALL electric.enable(", &table.expression(dialect)[..], b")"].concat(),
        Command::Disable(table) => [b"CALL electric.disable(", &table.expression(dialect)[..], b")"].concat(),
        Command::Unsupported(command) => format!("CALL electric.refuse('{}')", command.word()).into_bytes(),
    }
}
