"""What is said when the database goes away holds with a run and without one."""

import psycopg
import pytest

from hitless.database.connecting import as_failure
from hitless.kit.errors import Exit, HitlessError


def test_a_lost_connection_promises_another_try_only_for_a_run_that_has_begun() -> None:
    with pytest.raises(HitlessError) as failure, as_failure():
        raise psycopg.OperationalError("server closed the connection unexpectedly")
    assert (failure.value.code, failure.value.exit) == ("database-down", Exit.FAILED)
    assert (
        failure.value.hint
        == "a run that has begun tries again by itself; without one, give the command again once it answers"
    )
