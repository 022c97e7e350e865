"""Every example of pgroll: start, roll back, start, complete, in order, on one database.

The examples are those of github.com/xataio/pgroll (Copyright Xata, Inc., Apache-2.0), unchanged.
"""

import json
from pathlib import Path

import psycopg
import pytest

from hitless.database.driver import DatabaseDriver, current_version, drift
from hitless.database.migration import Migration
from hitless.database.steps import schema_steps
from hitless.plan.ports import Moment

pytestmark = pytest.mark.live
EXAMPLES = json.loads((Path(__file__).parent / "pgroll_examples.json").read_text())


async def note(remark: dict[str, object]) -> None:
    assert remark


MOMENT = Moment(run="r1", position=0, started_at=0.0, note=note)


def columns(url: str) -> list[tuple[object, ...]]:
    """What a rollback must give back, and what a completed migration leaves."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
            "WHERE table_schema = 'public' ORDER BY 1, 2"
        ).fetchall()


@pytest.mark.parametrize(
    "together", [1, 2, 10], ids=["each a change", "two files in a change", "ten files in a change"]
)
async def test_each_example_starts_rolls_back_starts_again_and_completes(database_url: str, together: int) -> None:
    driver = DatabaseDriver(lambda _: database_url)
    migrations = [Migration(name=name, text=text) for name, text in EXAMPLES.items()]
    for first in range(0, len(migrations), together):
        some = tuple(migrations[first : first + together])
        name, text = some[-1].name, "".join(each.text for each in some)
        steps = schema_steps("main", some)
        expand = steps.before[0]
        before = columns(database_url)
        await driver.do(expand, MOMENT)
        await driver.do(expand.inverse(), MOMENT)
        assert columns(database_url) == before, name
        if "CREATE TYPE" in text:  # its author gave no way back
            with psycopg.connect(database_url) as connection:
                connection.execute("DROP TYPE fruit_size")
        for step in (*steps.before, *steps.after):
            assert not await driver.done(step, MOMENT) or step.kind == "verify", name
            await driver.do(step, MOMENT)
            assert await driver.done(step, MOMENT) or step.kind == "verify"
        assert await current_version(database_url) == expand.version
        assert await drift(database_url) == [], name
    assert not [row for row in columns(database_url) if "_hitless" in str(row[1])]
