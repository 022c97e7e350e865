"""What tests of schema changes do again and again."""

import os
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings

from hitless.database.driver import DatabaseDriver, baseline
from hitless.database.migration import Migration
from hitless.database.steps import SchemaSteps, schema_steps
from hitless.database.urls import version_url
from hitless.plan.ports import Moment

OLD, NEW = "0001_before", "0002_change"
EXAMPLES = int(os.environ.get("HITLESS_EXAMPLES", "5"))  # of each property; more are other ones each time
DERANDOMIZED = "HITLESS_EXAMPLES" not in os.environ
ANY_WRITES = settings(  # of properties: each example is a database of its own, and none is kept
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=DERANDOMIZED,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
SPLIT = """
operations:
  - shadow_table:
      table: articles
      rows: many
      split_by: string_to_table(tags, ',')
      columns:
        - {name: article, type: int, pk: true}
        - {name: place, type: int, pk: true}
        - {name: title, type: text}
        - {name: tag, type: text}
      up: {article: id, place: place, tag: part}
      down: {id: article, title: max(title), tags: "string_agg(tag, ',' ORDER BY place)"}
"""
MERGE = """
operations:
  - shadow_table:
      table: stock
      rows: many
      merge_on: [product]
      split_by: unnest(amounts)
      columns:
        - {name: product, type: text, pk: true}
        - {name: ids, type: "int[]"}
        - {name: amounts, type: "int[]"}
      up: {ids: array_agg(id ORDER BY id), amounts: array_agg(amount ORDER BY id)}
      down: {id: "ids[place]", product: product, amount: part}
"""


async def note(remark: dict[str, object]) -> None:
    assert remark


MOMENT = Moment(run="r1", position=0, started_at=0.0, note=note)


@pytest.fixture(scope="session")
def server(postgres: Any) -> Any:
    """The server on which changes are tried; some files try them on several."""
    return postgres


class Changing:
    """A database with tables of its own, and a change of them."""

    def __init__(self, url: str, text: str) -> None:
        self.url = url
        self.steps: SchemaSteps = schema_steps("main", (Migration(name=NEW, text=text),))
        self.driver = DatabaseDriver(lambda _: url)
        self.old_url, self.new_url = version_url(url, OLD), version_url(url, NEW)

    async def begin(self) -> None:
        await baseline(self.url, OLD)

    async def up_to_code(self) -> None:
        for step in self.steps.before:
            await self.driver.do(step, MOMENT)

    async def back(self) -> None:
        await self.driver.do(self.steps.before[0].inverse(), MOMENT)

    async def there_and_back(self) -> list[tuple[Any, ...]]:
        """Take the baseline, up to the code, back to the same catalogue, which is returned, and up again."""
        await self.begin()
        before = self.catalogue()
        await self.up_to_code()
        await self.back()
        assert self.catalogue() == before
        await self.up_to_code()
        return before

    async def verify(self) -> None:
        await self.driver.do(self.steps.after[0], MOMENT)

    async def contract(self) -> None:
        for step in self.steps.after:
            await self.driver.do(step, MOMENT)

    def rows(self, url: str, sql: str) -> list[tuple[Any, ...]]:
        """Ask or write, in a session of its own; a write without RETURNING gives []."""
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def catalogue(self) -> list[tuple[Any, ...]]:
        """Everything that a change may touch, as the server tells it; our own schemas left out."""
        found: list[tuple[Any, ...]] = []
        with psycopg.connect(self.url) as connection:
            for sql in CATALOGUE:
                found += connection.execute(sql).fetchall()
        return sorted(found, key=repr)


CATALOGUE = (
    (
        "SELECT 'column', table_schema || '.' || table_name, column_name, udt_name, character_maximum_length, is_nullable, "
        "column_default, is_identity, is_generated, generation_expression FROM information_schema.columns "
        "WHERE table_schema !~ '^(pg_|information_schema|hitless)'"
    ),
    (
        "SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated "
        "FROM pg_constraint WHERE connamespace::regnamespace::text !~ '^(pg_|information_schema|\"?hitless)' AND contype <> 'n'"
    ),
    "SELECT 'index', schemaname, tablename, indexname, indexdef FROM pg_indexes WHERE schemaname !~ '^(pg_|hitless)'",
    "SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "SELECT 'sequence', schemaname, sequencename, data_type::text FROM pg_sequences WHERE schemaname !~ '^(pg_|hitless)'",
    (
        "SELECT 'enum', typname, array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_enum e JOIN pg_type t "
        "ON t.oid = e.enumtypid GROUP BY typname"
    ),
    (
        "SELECT 'comment', objoid::regclass::text, objsubid, description FROM pg_description "
        "WHERE classoid = 'pg_class'::regclass AND objoid::regclass::text !~ '^(pg_|information_schema|hitless)' "
        "AND (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = objoid) !~ '^(pg_catalog|information_schema|pg_toast)'"
    ),
    "SELECT 'function', proname FROM pg_proc WHERE pronamespace::regnamespace::text IN ('public', 'hitless')",
    (
        "SELECT 'replica identity', oid::regclass::text, relreplident FROM pg_class WHERE relkind = 'r' "
        "AND relnamespace = 'public'::regnamespace"
    ),
)


@pytest.fixture
def changing(server: Any) -> Callable[[str, str], Changing]:
    """Makes a fresh database on the server, with some tables, and a change that is to come."""

    def make(setup: str, text: str) -> Changing:
        url = server.fresh_database()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(setup.encode())
        return Changing(url, text)

    return make
