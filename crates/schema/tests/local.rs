//! Local databases of clients.

use schema::Migration;

use crate::support::statements;

/// A SQLite in which all migrations have been run, with foreign keys enforced.
pub fn sqlite_with(migrations: &[&Migration]) -> rusqlite::Connection {
    let db = rusqlite::Connection::open_in_memory().unwrap();
    db.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    for sql in migrations.iter().flat_map(|m| statements(m)).filter_map(|s| s.sqlite.as_deref()) {
        db.execute(sql, []).unwrap_or_else(|error| panic!("{error}: {sql}"));
    }
    db
}
