-- The guard: after every change of a synced table, what is additive is passed on to clients, what they can't follow is refused
-- (spec 04 §8). It compares states, so it doesn't matter what was said to whom to bring the change about.
--
-- Without just-in-time compilation: the queries are small, and their costs guessed much too high.

-- The name of the role that the session acts as. Inside of functions that run as their owner, Postgres does not tell.
CREATE OR REPLACE FUNCTION electric.acting_role() RETURNS name
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT CASE WHEN current_setting('role') = 'none' THEN session_user ELSE current_setting('role')::name END $$;

CREATE OR REPLACE FUNCTION electric.bypass_requested() RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT coalesce(lower(current_setting('electric.bypass_guards', true)), '') IN ('on', 'true', 'yes', '1', 't', 'y') $$;

-- Whether refused changes go through, at the price that the table is no longer synced.
CREATE OR REPLACE FUNCTION electric.is_bypassed() RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT electric.bypass_requested()
            AND (SELECT pg_has_role(electric.acting_role(), n.nspowner, 'MEMBER') FROM pg_namespace n WHERE n.nspname = 'electric')
    $$;

-- Compares a registered table with what is remembered of it. `verdict`: same, additive or refused; with `code`, `message`,
-- `hint` and `reason` (what was done) if refused. No row if the table is not registered.
CREATE OR REPLACE FUNCTION electric.inspect(relation oid)
    RETURNS TABLE (verdict text, code text, message text, reason text, hint text, before jsonb, after jsonb)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
    AS $$
    DECLARE
        registered electric.electrified;
        refusal record;
    BEGIN
        SELECT * INTO registered FROM electric.electrified e WHERE e.oid = relation;
        IF NOT FOUND THEN
            RETURN;
        END IF;
        before := registered.guarded;
        after := electric.guard_state(relation);
        verdict := 'same';
        IF after IS NULL THEN
            verdict := 'refused';
            code := 'EX004';
            before := jsonb_build_object('schema', registered.schema_name, 'name', registered.table_name);
            message := format('Cannot drop electrified table %s', electric.shown_name(before));
            reason := 'it was dropped';
            hint := format('Take it out of the sync first: CALL electric.disable(%L); or, for maintenance, SET electric.bypass_guards = on;',
                format('%I.%I', registered.schema_name, registered.table_name));
        ELSIF before <> after THEN
            SELECT r.* INTO refusal FROM electric.refusals(before, after) r ORDER BY r.place, r.message LIMIT 1;
            IF FOUND THEN
                verdict := 'refused';
                code := refusal.code;
                message := refusal.message;
                reason := refusal.reason;
                hint := refusal.hint;
            ELSIF electric.additions(before, after) IS NOT NULL THEN
                verdict := 'additive';
            END IF;
        END IF;
        RETURN NEXT;
    END
    $$;

-- Takes the state of a table as it is: everything of ours that depends on it is made to fit, and clients will be told.
CREATE OR REPLACE PROCEDURE electric.absorb(relation oid)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
    AS $$
    BEGIN
        CALL electric.lock_migrations();
        -- First, for what follows may change the table's triggers, and be guarded itself.
        CALL electric.remember(relation);
        CALL electric.sync_shadow(relation);
        CALL electric.install_native_triggers(relation);
        CALL electric.capture(relation);
    END
    $$;

-- What the comparison of one table leads to. A table that is not registered is nobody's concern.
CREATE OR REPLACE PROCEDURE electric.guard(relation oid)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
    AS $$
    DECLARE
        found record;
        statement text;
        trigger_name name;
    BEGIN
        SELECT * INTO found FROM electric.inspect(relation);
        IF found.verdict = 'additive' THEN
            -- What another session has passed on in the meantime is not news any more.
            CALL electric.lock_migrations();
            SELECT * INTO found FROM electric.inspect(relation);
        END IF;

        IF found.verdict = 'additive' THEN
            FOREACH statement IN ARRAY electric.additions(found.before, found.after) LOOP
                RAISE NOTICE 'Migration affecting electrified table %', electric.shown_name(found.after)
                    USING DETAIL = 'Capturing migration: ' || statement, SCHEMA = found.after ->> 'schema', TABLE = found.after ->> 'name';
            END LOOP;
            BEGIN
                IF found.before -> 'columns' <> found.after -> 'columns' THEN
                    CALL electric.absorb(relation);
                    CALL electric.warn_of_limits(relation, electric.relation_text(relation));
                ELSE
                    CALL electric.remember(relation);
                    CALL electric.capture(relation);
                END IF;
            EXCEPTION WHEN OTHERS THEN
                -- Class 40 and 55P03 are about other sessions, and may be gone at the next try.
                IF SQLSTATE LIKE '40%' OR SQLSTATE = '55P03' THEN
                    RAISE;
                ELSIF electric.is_bypassed() THEN
                    CALL electric.suspend_table(relation, 'its change can''t be passed on to clients: ' || SQLERRM);
                ELSE
                    RAISE EXCEPTION USING ERRCODE = SQLSTATE,
                        MESSAGE = format('Cannot capture the change of electrified table %s: %s', electric.shown_name(found.after), SQLERRM),
                        HINT = 'Clients would go wrong without it. For maintenance, SET electric.bypass_guards = on; the table then leaves the sync.',
                        SCHEMA = found.after ->> 'schema', TABLE = found.after ->> 'name';
                END IF;
            END;
        ELSIF found.verdict = 'refused' AND electric.is_bypassed() THEN
            IF found.code = 'EX004' THEN
                CALL electric.remove_table(relation);
            ELSE
                CALL electric.suspend_table(relation, found.reason);
            END IF;
        ELSIF found.verdict = 'refused' THEN
            RAISE EXCEPTION USING ERRCODE = found.code, MESSAGE = found.message,
                DETAIL = 'Electric currently only supports additive migrations (ADD COLUMN, ADD INDEX)',
                HINT = found.hint || CASE WHEN electric.bypass_requested() THEN
                    ' (electric.bypass_guards is for superusers and members of the owner of schema electric, which '
                    || electric.acting_role() || ' is not.)' ELSE '' END,
                SCHEMA = found.before ->> 'schema', TABLE = found.before ->> 'name';
        ELSIF found.before - 'clustered_now' <> found.after - 'clustered_now' THEN
            -- Nothing that clients see. Triggers work otherwise on tables that others inherit from.
            CALL electric.remember(relation);
            IF found.before -> 'is_parent' <> found.after -> 'is_parent' THEN
                CALL electric.install_native_triggers(relation);
            END IF;
        END IF;

        -- DISABLE TRIGGER ALL means the users' triggers: a change that leaves no tag would mislead clients.
        FOR trigger_name IN
            SELECT t.tgname FROM pg_trigger t
            WHERE t.tgrelid = relation AND t.tgname LIKE 'electric\_native\_%' AND t.tgenabled <> 'A' AND NOT electric.is_bypassed()
        LOOP
            EXECUTE format('ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER %I', relation::regclass, trigger_name);
        END LOOP;
    END
    $$;

-- Whether the running transaction may have changed a table: who does so locks it, or one of its indexes, until the end. A type or
-- a schema is changed without that.
CREATE OR REPLACE FUNCTION electric.may_be_ours(relation oid, before jsonb, after jsonb) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
    AS $$
        SELECT before -> 'enums' <> after -> 'enums' OR before -> 'schema' <> after -> 'schema'
            OR EXISTS (SELECT FROM electric.refusals(before, after) r WHERE r.code = 'EX003')
            OR EXISTS (
                SELECT FROM pg_locks l
                WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation'
                    AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
                    AND (l.relation = $1 OR l.relation IN (SELECT i.indexrelid FROM pg_index i WHERE i.indrelid = $1))
            )
    $$;

-- The same for all registered tables, also those that are gone: what there is where event triggers are not (spec 04 §11). What
-- others did to a table past the proxy is no fault of this transaction, and columns that they added may have got values
-- since: that is for electric.settle_drift.
CREATE OR REPLACE PROCEDURE electric.guard_all()
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
    AS $$
    DECLARE
        relation oid;
        found record;
    BEGIN
        FOR relation IN SELECT e.oid FROM electric.electrified e ORDER BY e.id LOOP
            SELECT * INTO found FROM electric.inspect(relation);
            CONTINUE WHEN found.before - 'clustered_now' = found.after - 'clustered_now';
            CONTINUE WHEN (
                    found.verdict = 'refused'
                    OR found.verdict = 'additive' AND EXISTS (SELECT FROM electric.changed_columns(found.before, found.after) c WHERE c.old IS NULL)
                ) AND electric.may_be_ours(relation, found.before, found.after) IS NOT TRUE;
            CALL electric.guard(relation);
        END LOOP;
        CALL electric.watch_frameworks();
    END
    $$;
