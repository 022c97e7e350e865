-- What every controller needs. Later files only add (01_pre_ before new code, _post_ after the old code is gone), and code
-- names its columns, so that an older controller works on a newer schema.
CREATE TABLE hitless.lease (
    "only" boolean PRIMARY KEY DEFAULT true CHECK ("only"),
    epoch  bigint NOT NULL,
    holder jsonb NOT NULL DEFAULT '{}'
);
INSERT INTO hitless.lease (epoch) VALUES (0);

CREATE SEQUENCE hitless.run_number;

CREATE TABLE hitless.run (
    run        text PRIMARY KEY,
    change     text NOT NULL,
    plan       jsonb NOT NULL,
    claims     text[] NOT NULL,
    state      text NOT NULL DEFAULT 'running',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX run_in_flight ON hitless.run (created_at) WHERE state IN ('running', 'held', 'rollback-incomplete');

CREATE TABLE hitless.journal (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run      text NOT NULL REFERENCES hitless.run,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    epoch    bigint NOT NULL,
    fact     text NOT NULL,
    body     jsonb NOT NULL
);
CREATE INDEX journal_of_run ON hitless.journal (run, position);
