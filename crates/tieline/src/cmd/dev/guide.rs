//! What is printed once everything runs.

use std::path::Path;

/// Prints where everything is and what to do next.
pub fn print(postgres: &str, service: &str, token: &str, directory: &Path) {
    let directory = directory.display();
    println!(
        "
Tieline runs, in insecure mode (tokens are not verified; this machine only).

  Postgres   {postgres}
  Service    {service}
  Token      {token}

In an app (npm install electric-sql@0.12):

  const electric = await electrify(db, schema, {{ url: '{service}' }})
  await electric.connect('{token}')
  await (await electric.db.items.sync()).synced

Change something in Postgres and see it arrive:

  psql \"$(cat {directory}/url)\" -c \"INSERT INTO items VALUES (gen_random_uuid(), 'hello from psql')\"

Sync a table of your own:

  psql \"$(cat {directory}/url)\" -c \"CREATE TABLE notes (id uuid PRIMARY KEY, body text NOT NULL)\" -c \"CALL electric.electrify('notes')\"

`make demo` shows two real clients and psql at work. Ctrl-C stops everything; the data stays in {directory}."
    );
}
