"""What a backfill sees of others on a real server, also where its role may not see what other roles do."""

from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from hitless.database.queries import PRESSURE

pytestmark = pytest.mark.live


def others(postgres: Any, url: str, role: str | None = None) -> bool:
    with psycopg.connect(url, application_name="hitless", autocommit=True, row_factory=dict_row) as connection:
        if role is not None:
            connection.execute(f"SET SESSION AUTHORIZATION {role}".encode())
        row = connection.execute(PRESSURE.encode()).fetchone()
    assert row is not None
    return bool(row["others"])


def test_a_session_that_did_something_just_now_is_at_work(postgres: Any) -> None:
    url = postgres.fresh_database()
    with psycopg.connect(url, autocommit=True) as other:
        for _ in range(100):  # a busy machine may take longer than "just now" lasts
            other.execute("SELECT 1")
            if others(postgres, url):
                return
    raise AssertionError("it was never seen at work")


def test_a_session_of_which_one_may_see_nothing_counts_as_at_work(postgres: Any) -> None:
    url = postgres.fresh_database()
    with psycopg.connect(url, autocommit=True, application_name="hitless") as admin:
        admin.execute("DROP ROLE IF EXISTS sees_nothing")
        admin.execute("CREATE ROLE sees_nothing LOGIN")
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_sleep(1.5)")
        assert others(postgres, url, "sees_nothing")
