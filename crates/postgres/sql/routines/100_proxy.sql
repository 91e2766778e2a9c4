-- What the migrations proxy calls in place of statements that Postgres can't parse (spec 04 §3), beside the public procedures.

-- The first of these qualified, quoted names that a relation has; without one, the first. DDLX folds a bare name's letters in
-- all of Unicode, Postgres only in ASCII; this is how the proxy asks which of the two is meant.
CREATE OR REPLACE FUNCTION electric.known_name(VARIADIC names text[]) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT coalesce(
            (SELECT n.name FROM unnest(names) WITH ORDINALITY n (name, place)
                WHERE to_regclass(n.name) IS NOT NULL ORDER BY n.place LIMIT 1),
            names[1])
    $$;

GRANT EXECUTE ON FUNCTION electric.known_name(text[]) TO PUBLIC;
GRANT EXECUTE ON PROCEDURE electric.refuse(text) TO PUBLIC;
