-- What the guard remembers of a synced table (electric.guard_state); NULL until it has been looked at.
ALTER TABLE electric.electrified ADD COLUMN IF NOT EXISTS guarded jsonb;
