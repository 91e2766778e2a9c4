-- What electric.ddl_commands last said of a table, and which tables left the sync and how.
CREATE INDEX IF NOT EXISTS ddl_commands_of_table ON electric.ddl_commands ((snapshot -> 'table' -> 'oid'), id)
    WHERE snapshot ? 'table';
CREATE INDEX IF NOT EXISTS ddl_commands_departures
    ON electric.ddl_commands ((coalesce(snapshot -> 'suspended' -> 'oid', snapshot -> 'removed' -> 'oid')), id)
    WHERE snapshot ?| ARRAY['suspended', 'removed'];
