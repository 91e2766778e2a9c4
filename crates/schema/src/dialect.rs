//! The two kinds of database that clients have.

use std::{fmt, str::FromStr};

use crate::{Migration, MigrationOp, Statement};

/// Which SQL a client executes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// SQLite, the default on the wire.
    #[default]
    Sqlite,
    /// Postgres and PGlite.
    Postgres,
}

/// Neither `sqlite` nor `postgresql`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported dialect; it is one of sqlite, postgresql")]
pub struct UnknownDialect;

/// The names of `GET /api/migrations` (spec 04 §10.2).
impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(text: &str) -> Result<Dialect, UnknownDialect> {
        match text {
            "sqlite" => Ok(Dialect::Sqlite),
            "postgresql" => Ok(Dialect::Postgres),
            _ => Err(UnknownDialect),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dialect::Sqlite => "sqlite",
            Dialect::Postgres => "postgresql",
        })
    }
}

impl Statement {
    /// The text for clients of this dialect, as it goes into an operation; `None` if they can't have the statement.
    #[must_use]
    pub fn sql(&self, dialect: Dialect) -> Option<&str> {
        match dialect {
            Dialect::Sqlite => self.sqlite.as_deref(),
            Dialect::Postgres => Some(&self.postgres),
        }
    }
}

impl Migration {
    /// All statements as one script: each ended with `;`, a blank line between them, no line break at the end. This is
    /// `migration.sql` of `GET /api/migrations` (spec 04 §10.2); empty if there is nothing to execute.
    #[must_use]
    pub fn script(&self, dialect: Dialect) -> String {
        let mut script = String::new();
        let mut push = |sql: &str| {
            if !script.is_empty() {
                script.push_str("\n\n");
            }
            script.push_str(sql.trim_end().trim_end_matches(';'));
            script.push(';');
        };
        for op in &self.ops {
            match op {
                MigrationOp::Enum { postgres, .. } if dialect == Dialect::Postgres => {
                    postgres.iter().for_each(|sql| push(sql));
                }
                MigrationOp::Enum { .. } => {}
                MigrationOp::Table { statements, .. } | MigrationOp::Statements(statements) => {
                    statements.iter().filter_map(|s| s.sql(dialect)).for_each(&mut push);
                }
            }
        }
        script
    }
}
