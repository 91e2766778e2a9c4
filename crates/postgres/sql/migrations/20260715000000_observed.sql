-- Transactions whose additional data a client has said to have seen, the last time that it said so.
ALTER TABLE electric.clients ADD COLUMN IF NOT EXISTS observed bigint[] NOT NULL DEFAULT '{}';
