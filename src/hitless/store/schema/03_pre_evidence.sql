-- What a run has found so far about each service that it changes, so that a new controller goes on with the same test.
CREATE TABLE hitless.evidence (
    run     text NOT NULL REFERENCES hitless.run,
    service text NOT NULL,
    state   bytea NOT NULL CHECK (length(state) <= 1048576),
    epoch   bigint NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run, service)
);
