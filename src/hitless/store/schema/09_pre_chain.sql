-- Each fact carries a hash of itself and of all facts before it: whoever changes or removes one breaks the chain.
-- A table of its own, and a trigger, so that an older controller's facts are chained too.
CREATE TABLE hitless.chain (
    number   bigint PRIMARY KEY,  -- 1, 2, 3: the order in which facts were written, without gaps
    position bigint NOT NULL UNIQUE REFERENCES hitless.journal,
    hash     bytea NOT NULL
);

CREATE FUNCTION hitless.chain_line(line hitless.journal) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    last hitless.chain;
    plan text;
BEGIN
    LOCK TABLE hitless.chain IN SHARE ROW EXCLUSIVE MODE;  -- one after the other, also beside a controller on its way out
    SELECT * INTO last FROM hitless.chain ORDER BY number DESC LIMIT 1;
    SELECT encode(sha256(convert_to(r.plan::text, 'UTF8')), 'hex') INTO plan FROM hitless.run r WHERE r.run = line.run;
    INSERT INTO hitless.chain (number, position, hash) VALUES (
        coalesce(last.number, 0) + 1,
        line.position,
        sha256(coalesce(last.hash, ''::bytea) || convert_to(concat_ws(E'\n', line.position, line.run,
            (extract(epoch FROM line.at) * 1000000)::bigint, line.epoch, line.fact, plan, line.body::text), 'UTF8'))
    );
END $$;

CREATE FUNCTION hitless.chain_new_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM hitless.chain_line(NEW);
    RETURN NULL;
END $$;

DO $$ DECLARE line hitless.journal; BEGIN
    FOR line IN SELECT * FROM hitless.journal ORDER BY position LOOP PERFORM hitless.chain_line(line); END LOOP;
END $$;
CREATE TRIGGER chained AFTER INSERT ON hitless.journal FOR EACH ROW EXECUTE FUNCTION hitless.chain_new_line();

CREATE FUNCTION hitless.refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: what was written down stays', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER links_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON hitless.chain
    FOR EACH STATEMENT EXECUTE FUNCTION hitless.refuse_rewriting();
CREATE TRIGGER runs_stay BEFORE UPDATE OF run, change, plan, claims, created_at OR DELETE OR TRUNCATE ON hitless.run
    FOR EACH STATEMENT EXECUTE FUNCTION hitless.refuse_rewriting();
