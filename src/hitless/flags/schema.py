"""The tables of this room, made where they lack. Pure."""

SCHEMA = b"""
CREATE SCHEMA IF NOT EXISTS hitless_flags;
CREATE TABLE IF NOT EXISTS hitless_flags.sets (
    name text PRIMARY KEY,
    document text NOT NULL,
    bucketing text NOT NULL DEFAULT 'v3'
);
CREATE TABLE IF NOT EXISTS hitless_flags.edits (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    set_name text NOT NULL REFERENCES hitless_flags.sets (name),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    who text NOT NULL,
    why text NOT NULL,
    flag text NOT NULL,
    before text NOT NULL,
    after text NOT NULL
);
CREATE INDEX IF NOT EXISTS edits_by_flag ON hitless_flags.edits (set_name, flag, position DESC);
CREATE TABLE IF NOT EXISTS hitless_flags.scheduled (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    set_name text NOT NULL REFERENCES hitless_flags.sets (name),
    flag text NOT NULL,
    wish json NOT NULL,
    due timestamptz NOT NULL,
    who text NOT NULL,
    why text NOT NULL,
    state text NOT NULL DEFAULT 'waiting',
    note text NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS scheduled_by_time ON hitless_flags.scheduled (due) WHERE state = 'waiting';
"""
