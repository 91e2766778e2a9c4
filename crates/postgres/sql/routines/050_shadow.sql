-- Shadow tables: what merging knows of a row beside its values (spec 05 §1.2).
--
--   the key columns   as in the table itself
--   _tags             the tags that keep the row alive; none: it is dead
--   _tag              the tag of the last write
--   _image            of a dead row, its last values: column name -> text as replication prints it, or null; of a live one nothing,
--                     but for a note if the client that wrote it last did not know how it stood
--   _tag_<column>     for each other column, the tag of the write whose value it has; NULL where _base says it
--   _base             the tag of all columns that have none of their own, so that a new row costs one tag and not one for
--                     each column

-- Names for the tag columns of a table, given those that exist: column -> tag column. A name that would be longer than
-- Postgres allows, or is a key column's, gives way to one made from the column's number.
CREATE OR REPLACE FUNCTION electric.tag_column_names(relation oid, existing jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        key text[] := electric.key_columns(relation);
        names jsonb := '{}';
        col record;
        candidate text;
        attempt integer;
    BEGIN
        FOR col IN
            SELECT a.attname::text AS name, a.attnum FROM pg_attribute a
            WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL (key)
            -- Those that have a name already keep it.
            ORDER BY existing ? a.attname::text DESC, a.attnum
        LOOP
            candidate := coalesce(existing ->> col.name, '_tag_' || col.name);
            attempt := 0;
            WHILE octet_length(candidate) > 63
                OR candidate = ANY (key || ARRAY['_tags', '_tag', '_base', '_image'])
                OR EXISTS (SELECT FROM jsonb_each_text(names || coalesce(existing - col.name, '{}')) t WHERE t.value = candidate)
            LOOP
                candidate := '_tag_' || col.attnum || repeat('_', attempt);
                attempt := attempt + 1;
            END LOOP;
            names := names || jsonb_build_object(col.name, candidate);
        END LOOP;
        RETURN names;
    END
    $$;

-- Creates the shadow table, or adds the tag columns that an existing one lacks, and records both in the registry.
CREATE OR REPLACE PROCEDURE electric.sync_shadow(relation oid)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        registered electric.electrified;
        names jsonb;
        shadow_name text;
        columns text;
        key text;
    BEGIN
        SELECT * INTO STRICT registered FROM electric.electrified e WHERE e.oid = relation;
        names := electric.tag_column_names(relation, coalesce(registered.tag_columns, '{}'));

        IF registered.shadow IS NULL THEN
            shadow_name := 'shadow__' || registered.schema_name || '__' || registered.table_name;
            IF octet_length(shadow_name) > 63 OR to_regclass('electric.' || electric.quoted(shadow_name)) IS NOT NULL THEN
                shadow_name := 'shadow__' || relation;
            END IF;
            SELECT string_agg(
                    electric.quoted(a.attname) || ' ' || format_type(b.base, b.base_modifier)
                    || CASE WHEN a.attcollation <> 0 THEN (
                        SELECT ' COLLATE ' || electric.quoted(n.nspname) || '.' || electric.quoted(c.collname)
                        FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE c.oid = a.attcollation
                    ) ELSE '' END, ', ' ORDER BY k.place),
                string_agg(electric.quoted(a.attname), ', ' ORDER BY k.place)
                INTO columns, key
                FROM unnest(electric.key_columns(relation)) WITH ORDINALITY k (name, place)
                JOIN pg_attribute a ON a.attrelid = relation AND a.attname = k.name
                -- The constraints of a domain are the table's own affair.
                CROSS JOIN LATERAL electric.base_type(a.atttypid, a.atttypmod) b;
            EXECUTE format(
                'CREATE TABLE electric.%s (%s, _tags electric.tag[] NOT NULL DEFAULT ''{}'', _tag electric.tag, _base electric.tag, _image jsonb,'
                ' CONSTRAINT %s PRIMARY KEY (%s))',
                electric.quoted(shadow_name), columns, electric.quoted('shadow_pkey_' || relation), key
            );
            registered.shadow := to_regclass('electric.' || electric.quoted(shadow_name));
        END IF;

        SELECT string_agg('ADD COLUMN ' || electric.quoted(t.value) || ' electric.tag', ', ' ORDER BY t.attnum) INTO columns
            FROM (
                SELECT n.value, a.attnum FROM jsonb_each_text(names) n
                JOIN pg_attribute a ON a.attrelid = relation AND a.attname = n.key
                UNION ALL VALUES ('_base', 0)
            ) t
            WHERE NOT EXISTS (
                SELECT FROM pg_attribute s
                WHERE s.attrelid = registered.shadow AND s.attname = t.value AND NOT s.attisdropped
            );
        IF columns IS NOT NULL THEN
            EXECUTE format('ALTER TABLE %s %s', registered.shadow::regclass, columns);
        END IF;

        UPDATE electric.electrified e SET shadow = registered.shadow, tag_columns = names WHERE e.oid = relation;
    END
    $$;

-- Whether a version of a row, by its xmin, was written by the running transaction or one of its subtransactions.
CREATE OR REPLACE FUNCTION electric.is_own_write(xmin xid) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        own bigint := pg_current_xact_id()::text::bigint;
        -- How far the 32 bits of one are from those of the other, in either direction.
        distance bigint := ((xmin::text::bigint - own + 2147483648) & 4294967295) - 2147483648;
    BEGIN
        -- What is in progress and can be seen is one's own.
        RETURN coalesce(pg_xact_status(greatest(own + distance, 3)::text::xid8) = 'in progress', false);
    EXCEPTION WHEN invalid_parameter_value THEN
        -- So old that its number has been used again.
        RETURN false;
    END
    $$;

-- Says that somebody else has made a row in the meantime, as a unique index would say it.
CREATE OR REPLACE FUNCTION electric.lost_race() RETURNS electric.tag[]
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        RAISE unique_violation USING MESSAGE = 'somebody else has made this row', SCHEMA = 'electric';
    END
    $$;

-- Makes the publication whole: creates it, adds tables that it lacks. Shadow tables are published without the columns
-- that the stream needs not, where Postgres (15) can do that.
CREATE OR REPLACE PROCEDURE electric.repair_publication()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        missing record;
        columns text;
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_publication p WHERE p.pubname = 'electric_publication') THEN
            CREATE PUBLICATION electric_publication WITH (publish = 'insert, update, delete, truncate');
        ELSIF (SELECT p.puballtables FROM pg_publication p WHERE p.pubname = 'electric_publication') THEN
            RETURN;
        END IF;
        FOR missing IN
            SELECT listed.oid, bool_or(listed.shadow) AS shadow, min(listed.main) AS main FROM (
                SELECT unnest(ARRAY['electric.ddl_commands', 'electric.acknowledged_client_lsns']::regclass[])::oid AS oid, false AS shadow, 0::bigint AS main
                UNION ALL SELECT e.oid, false, 0 FROM electric.electrified e
                UNION ALL SELECT e.shadow, true, e.oid::bigint FROM electric.electrified e
            ) listed
            JOIN pg_class c ON c.oid = listed.oid
            WHERE NOT EXISTS (
                SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
                WHERE p.pubname = 'electric_publication' AND r.prrelid = listed.oid
            )
            GROUP BY listed.oid ORDER BY listed.oid
        LOOP
            columns := '';
            IF missing.shadow AND current_setting('server_version_num')::integer >= 150000 THEN
                SELECT format(' (%s, _tags, _tag, _image)', string_agg(electric.quoted(k), ', ')) INTO columns
                    FROM unnest(electric.key_columns(missing.main::oid)) k;
            END IF;
            EXECUTE format('ALTER PUBLICATION electric_publication ADD TABLE ONLY %s%s', missing.oid::regclass, columns);
        END LOOP;
    END
    $$;
