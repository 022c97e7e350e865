-- The journal is the single truth about a run: written once, never changed, never removed.
CREATE FUNCTION hitless.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON hitless.journal
    FOR EACH STATEMENT EXECUTE FUNCTION hitless.refuse_change();
