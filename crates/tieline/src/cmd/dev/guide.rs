//! What is printed once everything runs.

use std::path::Path;

/// Where everything is.
pub struct Places<'a> {
    /// Postgres itself.
    pub postgres: &'a str,
    /// The migrations proxy.
    pub proxy: &'a str,
    /// The service.
    pub service: &'a str,
}

/// Prints where everything is and what to do next.
pub fn print(places: &Places<'_>, token: &str, directory: &Path) {
    let Places { postgres, proxy, service } = places;
    let directory = directory.display();
    println!(
        "
Tieline runs, in insecure mode (tokens are not verified; this machine only).

  Postgres   {postgres}
  Service    {service}
  Token      {token}
  Migrations {proxy}

In an app (npm install electric-sql@0.12):

  const electric = await electrify(db, schema, {{ url: '{service}' }})
  await electric.connect('{token}')
  await (await electric.db.items.sync()).synced

Change something in Postgres and see it arrive:

  psql \"$(cat {directory}/url)\" -c \"INSERT INTO items VALUES (gen_random_uuid(), 'hello from psql')\"

Sync a table of your own:

  psql \"$(cat {directory}/url)\" -c \"CREATE TABLE notes (id uuid PRIMARY KEY, body text NOT NULL)\" -c \"CALL electric.electrify('notes')\"

The same through the migrations proxy, which is also what `npx electric-sql generate` connects to:

  psql \"{proxy}\" -c \"CREATE TABLE notes (id uuid PRIMARY KEY, body text NOT NULL)\" -c \"ALTER TABLE notes ENABLE ELECTRIC\"

`make demo` shows two real clients and psql at work. Ctrl-C stops everything; the data stays in {directory}."
    );
}
