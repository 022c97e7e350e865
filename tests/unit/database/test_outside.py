"""What cannot run inside a transaction is known by its words, and by no text or comment that only looks like it."""

import pytest

from hitless.database.transaction_words import outside_transaction


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("CREATE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX CONCURRENTLY"),
        ("SELECT 1; create unique\n index concurrently i ON t (a)", "create unique index concurrently"),
        ("-- first\nDROP INDEX CONCURRENTLY i", "DROP INDEX CONCURRENTLY"),
        ("REINDEX (VERBOSE) TABLE CONCURRENTLY t", "REINDEX (VERBOSE) TABLE CONCURRENTLY"),
        ("/* a */ VACUUM t", "VACUUM"),
        ("ALTER TABLE t DETACH PARTITION p CONCURRENTLY", "ALTER TABLE t DETACH PARTITION p CONCURRENTLY"),
        ("ALTER SYSTEM SET work_mem = '1MB'", "ALTER SYSTEM"),
        ("CREATE INDEX i ON t (a)", None),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY v", None),
        ("INSERT INTO t VALUES ('; VACUUM')", None),
        ("SELECT 1 -- ; VACUUM\n", None),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $x$ SELECT 1; VACUUM $x$", None),
        ('CREATE TABLE "a;VACUUM" (id int)', None),
        ("CREATE TABLE vacuumed (id int)", None),
    ],
)
def test_a_statement_that_needs_to_be_alone_is_named(sql: str, said: str | None) -> None:
    assert outside_transaction(sql) == said
