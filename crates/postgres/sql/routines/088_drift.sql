-- Changes of synced tables that no guard saw (spec 04 §11): found by comparing what is recorded with the catalogue, and
-- passed on if clients can follow, even where the guard would have asked for another way. A table that they can't follow
-- is suspended, and comes back by itself when the difference is undone: clients load it anew then. Writes in Postgres go
-- on in any case.

-- Why clients can't follow from what they were last told of a table to what it is now; NULL if they can. With `put_back`
-- they will load it anew, so a column may have been dropped and made again.
CREATE OR REPLACE FUNCTION electric.difference(relation oid, put_back boolean) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        told jsonb := (
            SELECT d.snapshot FROM electric.ddl_commands d
            WHERE d.snapshot ? 'table' AND d.snapshot -> 'table' -> 'oid' = to_jsonb(relation::bigint) ORDER BY d.id DESC LIMIT 1
        );
        now jsonb := electric.table_snapshot(relation);
        reason text;
        added record;
        has_values boolean;
    BEGIN
        IF told IS NULL OR now IS NULL THEN
            RETURN NULL;
        ELSIF told -> 'table' -> 'schema' <> now -> 'table' -> 'schema' OR told -> 'table' -> 'name' <> now -> 'table' -> 'name' THEN
            RETURN format('it is now %s.%s', quote_ident(now -> 'table' ->> 'schema'), quote_ident(now -> 'table' ->> 'name'));
        ELSIF told -> 'table' -> 'primary_key' -> 'columns' IS DISTINCT FROM now -> 'table' -> 'primary_key' -> 'columns' THEN
            RETURN 'its primary key was changed';
        ELSIF NOT put_back AND (SELECT c.relreplident <> 'f' FROM pg_class c WHERE c.oid = relation) THEN
            RETURN 'it has lost its REPLICA IDENTITY FULL';
        END IF;

        -- Columns that clients have.
        SELECT CASE
                WHEN n.col IS NOT NULL AND put_back OR n.col -> 'attnum' = t.col -> 'attnum' THEN
                    format('column %s was changed: it was %s%s, and is %s%s', quote_ident(t.col ->> 'name'),
                        t.col ->> 'sql_type', CASE WHEN (t.col ->> 'not_null')::boolean THEN ' NOT NULL' ELSE '' END,
                        n.col ->> 'sql_type', CASE WHEN (n.col ->> 'not_null')::boolean THEN ' NOT NULL' ELSE '' END)
                WHEN r.col IS NOT NULL THEN
                    format('column %s was renamed to %s', quote_ident(t.col ->> 'name'), quote_ident(r.col ->> 'name'))
                ELSE format('column %s was dropped', quote_ident(t.col ->> 'name')) || CASE WHEN n.col IS NULL THEN '' ELSE ' and made anew' END
            END
            INTO reason
            FROM jsonb_array_elements(told -> 'table' -> 'columns') WITH ORDINALITY t (col, place)
            LEFT JOIN jsonb_array_elements(now -> 'table' -> 'columns') n (col) ON n.col -> 'name' = t.col -> 'name'
            LEFT JOIN jsonb_array_elements(now -> 'table' -> 'columns') r (col) ON r.col -> 'attnum' = t.col -> 'attnum'
            WHERE n.col IS NULL OR n.col - 'attnum' <> t.col - 'attnum' OR (NOT put_back AND n.col -> 'attnum' <> t.col -> 'attnum')
            ORDER BY t.place LIMIT 1;
        IF reason IS NOT NULL THEN
            RETURN reason;
        END IF;

        -- Columns that they don't have, with values that did not come to them as changes.
        FOR added IN
            SELECT a.attname FROM pg_attribute a
            WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
                AND NOT EXISTS (SELECT FROM jsonb_array_elements(told -> 'table' -> 'columns') t WHERE t ->> 'name' = a.attname)
            ORDER BY a.attnum
        LOOP
            EXECUTE format('SELECT EXISTS (SELECT FROM ONLY %s WHERE %s IS NOT NULL)', relation::regclass, electric.quoted(added.attname))
                INTO has_values;
            IF has_values THEN
                RETURN format('column %s is new and has values already, which clients lack', quote_ident(added.attname));
            END IF;
        END LOOP;

        SELECT format('foreign key %s was %s', quote_ident(coalesce(t.key, n.key) ->> 'name'),
                CASE WHEN n.key IS NULL THEN 'dropped' WHEN t.key IS NULL THEN 'added' ELSE 'changed' END)
            INTO reason
            FROM jsonb_array_elements(told -> 'table' -> 'foreign_keys') t (key)
            FULL JOIN jsonb_array_elements(now -> 'table' -> 'foreign_keys') n (key) ON n.key -> 'name' = t.key -> 'name'
            WHERE t.key IS NULL OR n.key IS NULL OR t.key -> 'definition' <> n.key -> 'definition'
            ORDER BY 1 LIMIT 1;
        IF reason IS NOT NULL THEN
            RETURN reason;
        END IF;

        -- Labels that they have, in their order.
        SELECT format('type %s was changed', quote_ident(t.type ->> 'name')) INTO reason
            FROM jsonb_array_elements(told -> 'enums') t (type)
            JOIN jsonb_array_elements(now -> 'enums') n (type) ON n.type -> 'name' = t.type -> 'name' AND n.type -> 'schema' = t.type -> 'schema'
            WHERE t.type -> 'labels' <> (
                SELECT coalesce(jsonb_agg(l.label ORDER BY l.place), '[]')
                FROM jsonb_array_elements(n.type -> 'labels') WITH ORDINALITY l (label, place)
                WHERE t.type -> 'labels' @> l.label
            )
            LIMIT 1;
        RETURN reason;
    END
    $$;

-- What electrification has against the table as it is now; NULL if nothing.
CREATE OR REPLACE FUNCTION electric.objection(relation oid) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        CALL electric.check_table(relation, electric.relation_text(relation));
        RETURN NULL;
    EXCEPTION WHEN raise_exception THEN
        RETURN regexp_replace(SQLERRM, '\s+', ' ', 'g');
    END
    $$;

-- Tables that are suspended: out of the registry, not disabled, and still there.
CREATE OR REPLACE FUNCTION electric.suspended_tables() RETURNS TABLE (relation oid, reason text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT l.relation, l.snapshot -> 'suspended' ->> 'reason'
        FROM (
            SELECT DISTINCT ON (coalesce(d.snapshot -> 'suspended' -> 'oid', d.snapshot -> 'removed' -> 'oid'))
                coalesce(d.snapshot -> 'suspended' -> 'oid', d.snapshot -> 'removed' -> 'oid')::bigint::oid AS relation, d.snapshot
            FROM electric.ddl_commands d
            WHERE d.snapshot ?| ARRAY['suspended', 'removed']
            ORDER BY coalesce(d.snapshot -> 'suspended' -> 'oid', d.snapshot -> 'removed' -> 'oid'), d.id DESC
        ) l
        JOIN pg_class c ON c.oid = l.relation
        WHERE l.snapshot ? 'suspended' AND NOT EXISTS (SELECT FROM electric.electrified e WHERE e.oid = l.relation)
    $$;

-- Another value whenever the catalogue says something new of a table that is synced or suspended. Far cheaper than a
-- comparison; what it is does not matter, nor that now and then it is another without need.
CREATE OR REPLACE FUNCTION electric.catalogue_mark() RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
    AS $$
        WITH relations AS MATERIALIZED (
            SELECT e.oid FROM electric.electrified e UNION SELECT s.relation FROM electric.suspended_tables() s
        ), seen (what) AS (
            SELECT 'registry ' || e.oid || ' ' || e.xmin FROM electric.electrified e
            UNION ALL SELECT 'table ' || c.oid || ' ' || c.xmin || ' ' || n.xmin
                FROM relations r JOIN pg_class c ON c.oid = r.oid JOIN pg_namespace n ON n.oid = c.relnamespace
            UNION ALL SELECT 'column ' || a.attrelid || ' ' || a.attnum || ' ' || a.xmin
                FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0
            UNION ALL SELECT 'default ' || d.oid || ' ' || d.xmin FROM relations r JOIN pg_attrdef d ON d.adrelid = r.oid
            UNION ALL SELECT 'constraint ' || k.oid || ' ' || k.xmin FROM relations r JOIN pg_constraint k ON k.conrelid = r.oid
            UNION ALL SELECT 'index ' || i.indexrelid || ' ' || i.xmin || ' ' || x.xmin
                FROM relations r JOIN pg_index i ON i.indrelid = r.oid JOIN pg_class x ON x.oid = i.indexrelid
            UNION ALL SELECT 'parent ' || h.inhparent || ' ' || h.inhrelid || ' ' || h.xmin FROM pg_inherits h
            UNION ALL SELECT 'type ' || t.oid || ' ' || t.xmin FROM pg_type t WHERE t.typtype IN ('e', 'd') AND t.oid >= 16384
            UNION ALL SELECT 'label ' || l.oid || ' ' || l.xmin FROM pg_enum l
        )
        SELECT coalesce(sum(hashtextextended(s.what, 0)), 0)::text FROM seen s
    $$;

-- Tables to call electric.settle_drift for. Takes no locks and changes nothing.
CREATE OR REPLACE FUNCTION electric.drift() RETURNS TABLE (relation oid)
    LANGUAGE sql SET search_path = pg_catalog, pg_temp SET jit = off
    AS $$
        SELECT e.oid FROM electric.electrified e
        WHERE CASE
            WHEN EXISTS (SELECT FROM pg_class c WHERE c.oid = e.oid) THEN (SELECT i.verdict <> 'same' FROM electric.inspect(e.oid) i)
            ELSE true
        END
        UNION ALL
        SELECT s.relation FROM electric.suspended_tables() s
        WHERE electric.difference(s.relation, true) IS NULL AND electric.objection(s.relation) IS NULL
    $$;

-- Settles what there is about one table, one service at a time: absorbed, suspended, resumed, removed, or NULL if nothing
-- is left to do. Fails for lack of a lock on a table that somebody is working on, to be tried again later.
CREATE OR REPLACE FUNCTION electric.settle_drift(relation oid, OUT action text, OUT table_name text, OUT reason text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms'
    AS $$
    DECLARE
        registered electric.electrified;
    BEGIN
        CALL electric.lock_migrations();
        SELECT e.* INTO registered FROM electric.electrified e WHERE e.oid = relation;
        table_name := coalesce(
            quote_ident(registered.schema_name) || '.' || quote_ident(registered.table_name),
            (SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation)
        );
        IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = relation) THEN
            IF registered.oid IS NOT NULL THEN
                CALL electric.remove_table(relation);
                action := 'removed';
            END IF;
            RETURN;
        END IF;
        -- From here on nobody changes it, nor writes to it: what is written after this is read with the new definition.
        EXECUTE format('LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE', relation::regclass);

        IF registered.oid IS NULL THEN
            IF relation IN (SELECT s.relation FROM electric.suspended_tables() s)
                AND electric.difference(relation, true) IS NULL AND electric.objection(relation) IS NULL
            THEN
                CALL electric.electrify_table(relation, electric.relation_text(relation));
                action := 'resumed';
            END IF;
            RETURN;
        END IF;

        IF (SELECT i.verdict = 'same' FROM electric.inspect(relation) i) THEN
            RETURN;
        END IF;
        reason := coalesce(electric.difference(relation, false), electric.objection(relation));
        IF reason IS NULL THEN
            CALL electric.absorb(relation);
            action := 'absorbed';
        ELSE
            CALL electric.suspend_table(relation, reason);
            action := 'suspended';
        END IF;
    END
    $$;

REVOKE ALL ON FUNCTION electric.difference(oid, boolean), electric.objection(oid), electric.suspended_tables(),
    electric.catalogue_mark(), electric.drift(), electric.settle_drift(oid) FROM PUBLIC;
