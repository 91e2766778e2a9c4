-- Writes by anybody but the sync service: triggers that keep the shadow table true (spec 05 §1.5, §7.2).
--
-- They work on whole statements, by transition tables. Five rules explain the generated code:
--
-- * It never joins the shadow table: one INSERT … ON CONFLICT per statement finds each row's shadow by its key. The
--   plan is then right for one row and for a million, although plpgsql keeps it for the session. For the same
--   reason the two transition tables of an UPDATE are never joined by nested loops, and nothing is compiled (a plan
--   made for many rows would be compiled again for each statement of one).
-- * A native write has observed everything and always wins: its tag has the transaction's start, or the newest moment in
--   the row's own tags where a client's clock was ahead, and no source, which sorts after every client.
-- * The service's own statements are left out, for it writes the shadows itself. They are known by the session's setting
--   electric.session_replication_role = replica together with a trigger depth of 0. What those statements set off
--   (foreign-key actions, the users' own triggers) has a greater depth and is a native write like any other.
--   So the service must write a row's shadow before it deletes rows, or an action's mark could be overwritten.
-- * Where statements can nest inside a statement (row-level triggers, foreign-key actions), the order in which these
--   triggers run is not the order of the writes. Then the table itself is asked whether a row is there in the end.
--
-- * A big INSERT first tries without ON CONFLICT, which costs a third of the time: only a dead row that comes back has a
--   shadow. Then, or when somebody leaves a tombstone at the same moment, the whole is done again the other way.
--
-- Tables that take part in inheritance or are partitions get row-level triggers with the same body: a statement that
-- names the parent does not fire their statement-level ones.

-- The statement that marks rows in the shadow, for one event of one table. `event`: insert, update, delete, truncate.
CREATE OR REPLACE FUNCTION electric.native_write_body(relation oid, event text, row_level boolean) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        registered electric.electrified;
        key text[] := electric.key_columns(relation);
        shadow_key text;
        nested boolean;
        deferrable_key boolean;
        first_key text := electric.quoted(key[1]);
        -- Lists over the key's columns.
        keys text; n_keys text; o_keys text; either_keys text; joined text; found_n text; found_o text;
        -- Lists over all columns, and over those with tags.
        tags text; no_tags text; changed text; set_changed text; marked text;
        newest text; image text; all_columns text;
        n_source text; o_source text;
        main text;
    BEGIN
        SELECT * INTO STRICT registered FROM electric.electrified e WHERE e.oid = relation;
        main := format('%I.%I', registered.schema_name, registered.table_name);
        SELECT electric.quoted(c.conname) INTO STRICT shadow_key
            FROM pg_constraint c WHERE c.conrelid = registered.shadow AND c.contype = 'p';
        SELECT coalesce(bool_or(c.contype = 'f' AND (c.confdeltype IN ('c', 'n', 'd') OR c.confupdtype IN ('c', 'n', 'd'))), false),
                coalesce(bool_or(c.contype = 'p' AND c.condeferrable), false)
            INTO nested, deferrable_key
            FROM pg_constraint c WHERE c.conrelid = relation;
        nested := nested OR deferrable_key;

        SELECT string_agg(q, ', '), string_agg('n.' || q, ', '), string_agg('o.' || q, ', '),
                string_agg('coalesce(n.' || q || ', o.' || q || ')', ', '),
                string_agg('o.' || q || ' = n.' || q, ' AND '),
                string_agg('m.' || q || ' = n.' || q, ' AND '), string_agg('m.' || q || ' = o.' || q, ' AND ')
            INTO keys, n_keys, o_keys, either_keys, joined, found_n, found_o
            FROM (SELECT electric.quoted(k) AS q FROM unnest(key) k) named;

        -- Text as replication prints it.
        SELECT string_agg(electric.quoted(a.attname), ', ' ORDER BY a.attnum),
                format('jsonb_object(ARRAY[%s], ARRAY[%s]::text[])',
                    string_agg(quote_literal(a.attname), ', ' ORDER BY a.attnum),
                    string_agg(electric.printed(a.atttypid, 'o.' || electric.quoted(a.attname)), ', ' ORDER BY a.attnum))
            INTO all_columns, image
            FROM pg_attribute a
            WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped;

        -- What counts as a change is what prints differently.
        SELECT coalesce(string_agg(', ' || tag, '' ORDER BY num), ''),
                coalesce(string_agg(', NULL::electric.tag', '' ORDER BY num), ''),
                coalesce(string_agg(format(
                    ', bool_or(n.%1$s IS NOT NULL AND (o.%1$s IS NULL OR %2$s)) AS c%3$s', first_key, differs, num), '' ORDER BY num), ''),
                coalesce(string_agg(format(', CASE WHEN r.c%s THEN this.native END', num), '' ORDER BY num), ''),
                coalesce(string_agg(format(
                    ', CASE WHEN excluded.%1$s IS NULL THEN s.%1$s ELSE w.tag END', tag), '' ORDER BY num), ''),
                coalesce(string_agg(format(', (s.%s)."timestamp"', tag), '' ORDER BY num), '')
            INTO tags, no_tags, changed, marked, set_changed, newest
            FROM (
                SELECT electric.quoted(t.value) AS tag, a.attnum AS num,
                    electric.prints_differently(a.atttypid, 'o.' || electric.quoted(t.key), 'n.' || electric.quoted(t.key)) AS differs
                FROM jsonb_each_text(registered.tag_columns) t
                JOIN pg_attribute a ON a.attrelid = relation AND a.attname = t.key
            ) tagged;
        newest := 'greatest((this.native)."timestamp", (s._tag)."timestamp", (s._base)."timestamp"' || newest || ')';

        n_source := CASE WHEN row_level THEN '(SELECT NEW.* OFFSET 0)' ELSE 'new_rows' END;
        o_source := CASE event
            WHEN 'truncate' THEN 'ONLY ' || main
            ELSE CASE WHEN row_level THEN '(SELECT OLD.* OFFSET 0)' ELSE 'old_rows' END
        END;
        found_n := format('(SELECT true FROM ONLY %s m WHERE %s LIMIT 1) IS TRUE', main, found_n);
        found_o := format('(SELECT true FROM ONLY %s m WHERE %s LIMIT 1) IS TRUE', main, found_o);

        RETURN format($body$
#variable_conflict use_column
<<this>>
DECLARE
    native electric.tag := ROW(transaction_timestamp()::timestamptz(3), NULL);
    epoch electric.tag := ROW('1970-01-01 00:00:00+00'::timestamptz, NULL);
    nested boolean := %s;
BEGIN
    %s
    RETURN NULL;
END
$body$,
            CASE WHEN nested THEN 'true'
                ELSE format('EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = %s AND NOT t.tgisinternal'
                    ' AND t.tgtype & 1 = 1 AND t.tgname NOT LIKE ''electric\_native\_%%'')', relation)
            END,
            CASE event
                WHEN 'insert' THEN CASE WHEN row_level OR deferrable_key THEN '' ELSE format(
                    'IF (SELECT count(*) FROM (SELECT FROM new_rows LIMIT 1000) few) = 1000 THEN
        BEGIN
            INSERT INTO %1$s (%2$s, _tags, _tag, _base)
            SELECT %3$s, ARRAY[this.native], this.native, this.native FROM new_rows n
            WHERE NOT this.nested OR %4$s;
            RETURN NULL;
        EXCEPTION WHEN unique_violation THEN
            NULL;
        END;
    END IF;
    ', registered.shadow::regclass, keys, n_keys, found_n) END || format(
                    'INSERT INTO %1$s AS s (%2$s, _tags, _tag, _base)
    SELECT %4$s%5$s, ARRAY[this.native], this.native, this.native FROM %6$s n
    WHERE NOT this.nested OR %7$s
    ON CONFLICT ON CONSTRAINT %8$s DO UPDATE SET (_tags, _tag, _base, _image%3$s) = (
        SELECT ARRAY[w.tag], w.tag, w.tag, NULL::jsonb%9$s FROM (SELECT ROW(%10$s, NULL)::electric.tag AS tag OFFSET 0) w
    );',
                    registered.shadow::regclass, keys, tags,
                    CASE WHEN deferrable_key THEN format('DISTINCT ON (%s) ', n_keys) ELSE '' END, n_keys,
                    n_source, found_n, shadow_key, no_tags, newest)
                WHEN 'update' THEN format(
                    -- One row for each key among the old and the new rows: a key only among the old died, one only among
                    -- the new was born.
                    'INSERT INTO %1$s AS s (%2$s, _tags, _tag, _base, _image%3$s)
    SELECT %2$s, CASE WHEN r.lives THEN ARRAY[this.native] ELSE ''{}'' END, this.native, this.epoch, r.image%4$s
    FROM (
        SELECT %5$s, bool_or(n.%6$s IS NOT NULL) AS lives,
            (array_agg(CASE WHEN n.%6$s IS NULL THEN %7$s END))[1] AS image%8$s
        FROM %9$s o FULL JOIN %10$s n ON %11$s
        WHERE NOT this.nested OR (n.%6$s IS NOT NULL) = CASE WHEN n.%6$s IS NULL THEN %12$s ELSE %13$s END
        GROUP BY %14$s
    ) r
    ON CONFLICT ON CONSTRAINT %15$s DO UPDATE SET (_tags, _tag, _image%3$s) = (
        SELECT CASE WHEN excluded._tags = ''{}'' THEN ''{}'' ELSE ARRAY[w.tag] END, w.tag, excluded._image%16$s
        FROM (SELECT ROW(%17$s, NULL)::electric.tag AS tag OFFSET 0) w
    );',
                    registered.shadow::regclass, keys, tags, marked,
                    (SELECT string_agg(format('coalesce(n.%1$s, o.%1$s) AS %1$s', electric.quoted(k)), ', ') FROM unnest(key) k),
                    first_key, image, changed, o_source, n_source, joined, found_o, found_n, either_keys,
                    shadow_key, set_changed, newest)
                ELSE format(
                    'INSERT INTO %1$s AS s (%2$s, _tags, _tag, _base, _image)
    SELECT %3$s%4$s, ''{}'', this.native, this.epoch, %5$s FROM %6$s o
    %7$s
    ON CONFLICT ON CONSTRAINT %8$s DO UPDATE SET _tags = ''{}'', _tag = ROW(%9$s, NULL)::electric.tag, _image = excluded._image;',
                    registered.shadow::regclass, keys,
                    CASE WHEN deferrable_key THEN format('DISTINCT ON (%s) ', o_keys) ELSE '' END, o_keys, image,
                    o_source,
                    CASE WHEN event = 'truncate' THEN '' ELSE format('WHERE NOT this.nested OR NOT %s', found_o) END,
                    shadow_key, newest)
            END
        );
    END
    $$;

-- (Re)creates the four functions of a table, and its triggers where they are missing or of the other level.
CREATE OR REPLACE PROCEDURE electric.install_native_triggers(relation oid)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        event text;
        function_name text;
        trigger_name text;
        existing_level integer;
        row_level boolean := EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = relation OR i.inhparent = relation);
        by_row boolean;
    BEGIN
        FOREACH event IN ARRAY ARRAY['insert', 'update', 'delete', 'truncate'] LOOP
            by_row := row_level AND event <> 'truncate';
            function_name := 'electric.' || electric.quoted(format('native_%s_%s', event, relation));
            trigger_name := 'electric_native_' || event;
            EXECUTE format(
                'CREATE OR REPLACE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER'
                ' SET search_path = pg_catalog, pg_temp SET enable_nestloop = off SET jit = off SET row_security = off %s AS %L',
                function_name,
                CASE WHEN event <> 'insert' THEN
                    'SET bytea_output = hex SET datestyle = ''ISO, DMY'' SET timezone = ''UTC'' SET intervalstyle = ''postgres'' SET extra_float_digits = 1'
                ELSE '' END,
                electric.native_write_body(relation, event, by_row)
            );
            EXECUTE format('REVOKE ALL ON FUNCTION %s() FROM PUBLIC', function_name);

            SELECT t.tgtype & 1 INTO existing_level FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = trigger_name;
            CONTINUE WHEN existing_level = by_row::integer;
            IF existing_level IS NOT NULL THEN
                EXECUTE format('DROP TRIGGER %I ON %s', trigger_name, relation::regclass);
            END IF;
            EXECUTE format(
                'CREATE TRIGGER %I %s %s ON %s %s FOR EACH %s'
                ' WHEN (pg_catalog.current_setting(''electric.session_replication_role'', true) IS DISTINCT FROM ''replica'''
                ' OR pg_catalog.pg_trigger_depth() > 0) EXECUTE FUNCTION %s()',
                trigger_name, CASE WHEN event = 'truncate' THEN 'BEFORE' ELSE 'AFTER' END, event, relation::regclass,
                CASE
                    WHEN by_row OR event = 'truncate' THEN ''
                    WHEN event = 'insert' THEN 'REFERENCING NEW TABLE AS new_rows'
                    WHEN event = 'delete' THEN 'REFERENCING OLD TABLE AS old_rows'
                    ELSE 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows'
                END,
                CASE WHEN by_row THEN 'ROW' ELSE 'STATEMENT' END, function_name
            );
            -- Also in sessions with the built-in role `replica`: a change that leaves no tag would mislead clients.
            EXECUTE format('ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER %I', relation::regclass, trigger_name);
        END LOOP;
    END
    $$;
