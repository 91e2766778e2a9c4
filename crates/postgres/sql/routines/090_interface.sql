-- What users call (spec 04 §2, §6.2).

CREATE OR REPLACE PROCEDURE electric.electrify(name1 text, name2 text DEFAULT NULL)
    LANGUAGE plpgsql
    AS $$
    DECLARE
        parts pg_catalog.text[];
        relation pg_catalog.regclass;
    BEGIN
        IF name1 IS NULL THEN
            RAISE null_value_not_allowed USING MESSAGE = 'electrify needs the name of a table';
        ELSIF name2 IS NOT NULL THEN
            parts := ARRAY[name1, name2];
        ELSIF pg_catalog.strpos(name1, '.') > 0 THEN
            parts := pg_catalog.parse_ident(name1);
        ELSE
            parts := ARRAY[name1];
        END IF;
        -- The cast resolves the name, along the search path where it has no schema, and raises 42P01.
        relation := (
            SELECT pg_catalog.string_agg(pg_catalog.quote_ident(p.part), '.' ORDER BY p.place)
            FROM pg_catalog.unnest(parts) WITH ORDINALITY p (part, place)
        )::pg_catalog.regclass;
        CALL electric.electrify_table(relation::pg_catalog.oid, relation::pg_catalog.text);
    END
    $$;

-- One qualified name, quoted where needed. Without a schema it is one of `public`.
CREATE OR REPLACE PROCEDURE electric.enable(table_name text)
    LANGUAGE plpgsql
    AS $$
    DECLARE
        parts pg_catalog.text[] := pg_catalog.parse_ident(table_name);
    BEGIN
        IF pg_catalog.cardinality(parts) = 1 THEN
            parts := ARRAY['public', parts[1]];
        END IF;
        CALL electric.electrify(parts[1], parts[2]);
    END
    $$;

CREATE OR REPLACE PROCEDURE electric.migration_version(_version text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        CALL electric.assign_migration_version(_version, 32767);
    END
    $$;

-- What is not carried out is refused, never silently accepted (spec 04 §3.3).
CREATE OR REPLACE PROCEDURE electric.refuse(command text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        RAISE EXCEPTION 'ELECTRIC % is currently unsupported', command USING ERRCODE = 'EX001',
            DETAIL = 'We are working on implementing access controls -- when these features are completed then this command will work';
    END
    $$;

CREATE OR REPLACE PROCEDURE electric.grant(
    privilege_name text, on_table_name text, role_name text, columns text[], scope_name text, using_path text, check_fn text
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN CALL electric.refuse('GRANT'); END $$;

CREATE OR REPLACE PROCEDURE electric.revoke(
    privilege_name text, on_table_name text, role_name text, columns text[], scope_name text
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN CALL electric.refuse('REVOKE'); END $$;

CREATE OR REPLACE PROCEDURE electric.assign(VARIADIC arguments text[])
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN CALL electric.refuse('ASSIGN'); END $$;

CREATE OR REPLACE PROCEDURE electric.unassign(VARIADIC arguments text[])
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN CALL electric.refuse('UNASSIGN'); END $$;

CREATE OR REPLACE PROCEDURE electric.assign()
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN CALL electric.refuse('ASSIGN'); END $$;

CREATE OR REPLACE PROCEDURE electric.unassign()
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN CALL electric.refuse('UNASSIGN'); END $$;

CREATE OR REPLACE PROCEDURE electric.sqlite(sql text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN CALL electric.refuse('SQLITE'); END $$;

-- Who may use schema `electric` at all decides the database's administrator; there, only this is for everybody, and
-- what the scripts after this one grant.
REVOKE ALL ON ALL ROUTINES IN SCHEMA electric FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE
    electric.electrify(text, text), electric.electrify_table(oid, text), electric.enable(text),
    electric.migration_version(text), electric.grant(text, text, text, text[], text, text, text),
    electric.revoke(text, text, text, text[], text), electric.assign(), electric.assign(text[]), electric.unassign(), electric.unassign(text[]),
    electric.sqlite(text), electric.guard_all()
TO PUBLIC;
GRANT EXECUTE ON FUNCTION electric.guard_tier() TO PUBLIC;
