"""Two schema versions live at once: both read and write, every row is compared, and there is a way back."""

import re
from dataclasses import replace

import psycopg
import pytest

from hitless.database import ledger, verifying
from hitless.database.driver import DatabaseDriver, baseline, drift, history, sessions
from hitless.database.migration import Migration
from hitless.database.postgres import Target
from hitless.database.steps import SchemaSteps, schema_steps
from hitless.database.urls import version_url
from hitless.kit.errors import HitlessError, Refused
from hitless.plan.ports import Moment, StepFailed

pytestmark = pytest.mark.live

SPLIT = """
operations:
  - add_column: {table: people, up: "split_part(name, ' ', 1)", column: {name: first, type: text}}
  - add_column: {table: people, up: "substr(name, strpos(name || ' ', ' ') + 1)", column: {name: last, type: text}}
  - drop_column: {table: people, column: name, down: "first || ' ' || last"}
"""
WIDEN = """
operations:
  - alter_column: {table: people, column: age, type: bigint, up: age::bigint, down: age::integer}
"""


async def note(remark: dict[str, object]) -> None:
    assert remark


MOMENT = Moment(run="r1", position=0, started_at=0.0, note=note)


@pytest.fixture
async def people(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE people (id bigint PRIMARY KEY, name text NOT NULL, age int)")
        connection.execute(
            "INSERT INTO people SELECT g, 'First' || g || ' Last' || g, g % 90 FROM generate_series(1, 5000) g"
        )
    await baseline(database_url, "0001_people")
    return database_url


def steps_of(text: str, name: str = "0002_change") -> SchemaSteps:
    return schema_steps("main", (Migration(name=name, text=text),))


async def up_to_code(url: str, steps: SchemaSteps) -> DatabaseDriver:
    driver = DatabaseDriver(lambda _: url)
    for step in steps.before:
        await driver.do(step, MOMENT)
    return driver


async def test_each_version_reads_what_the_other_one_writes(people: str) -> None:
    await up_to_code(people, steps_of(SPLIT))
    with (
        psycopg.connect(version_url(people, "0001_people"), autocommit=True) as old,
        psycopg.connect(version_url(people, "0002_change"), autocommit=True) as new,
    ):
        assert new.execute("SELECT first, last FROM people WHERE id = 7").fetchone() == ("First7", "Last7")
        old.execute("INSERT INTO people (id, name) VALUES (6000, 'Ada Lovelace')")
        assert new.execute("SELECT first, last FROM people WHERE id = 6000").fetchone() == ("Ada", "Lovelace")
        new.execute("INSERT INTO people (id, first, last) VALUES (6001, 'Alan', 'Turing')")
        assert old.execute("SELECT name FROM people WHERE id = 6001").fetchone() == ("Alan Turing",)
        new.execute("UPDATE people SET last = 'Byron' WHERE id = 6000")
        assert old.execute("SELECT name FROM people WHERE id = 6000").fetchone() == ("Ada Byron",)
        old.execute("UPDATE people SET name = 'Grace Hopper' WHERE id = 6001")
        assert new.execute("SELECT first, last FROM people WHERE id = 6001").fetchone() == ("Grace", "Hopper")
        upsert = "INSERT INTO people (id, first, last) VALUES (1, 'x', 'y') ON CONFLICT (id) DO UPDATE SET first = 'Z' RETURNING first"
        assert new.execute(upsert).fetchone() == ("Z",)
        assert old.execute("SELECT name FROM people WHERE id = 1").fetchone() == ("Z Last1",)


async def test_the_new_version_writes_a_row_that_the_backfill_has_not_reached_and_loses_nothing(people: str) -> None:
    steps = steps_of(SPLIT)
    driver = DatabaseDriver(lambda _: people)
    await driver.do(steps.before[0], MOMENT)
    with psycopg.connect(version_url(people, "0002_change"), autocommit=True) as new:
        new.execute("UPDATE people SET first = 'Only' WHERE id = 5")
    for step in steps.before[1:]:
        await driver.do(step, MOMENT)
    with psycopg.connect(people) as base:
        assert base.execute("SELECT name, first, last FROM people WHERE id = 5").fetchone() == (
            "Only Last5",
            "Only",
            "Last5",
        )


async def test_going_back_after_the_switch_keeps_what_the_new_version_wrote(people: str) -> None:
    steps = steps_of(SPLIT)
    driver = await up_to_code(people, steps)
    with psycopg.connect(version_url(people, "0002_change"), autocommit=True) as new:
        new.execute("INSERT INTO people (id, first, last) VALUES (9000, 'Edsger', 'Dijkstra')")
    back = steps.before[0].inverse()
    await driver.do(back, MOMENT)
    assert await driver.done(back, MOMENT)
    await driver.do(back, MOMENT)  # once more, as after a kill
    with psycopg.connect(version_url(people, "0001_people")) as old:
        assert old.execute("SELECT * FROM people WHERE id = 9000").fetchone() == (9000, "Edsger Dijkstra", None)
    await up_to_code(people, steps)  # it can be applied again


async def test_a_kill_in_the_backfill_costs_no_row(people: str) -> None:
    steps = steps_of(SPLIT)
    batches = 0

    async def saboteur() -> None:
        nonlocal batches
        batches += 1
        if batches == 3:
            with psycopg.connect(people, autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'hitless' AND datname = current_database()"
                )

    await DatabaseDriver(lambda _: people).do(steps.before[0], MOMENT)
    with pytest.raises(HitlessError) as failure:
        await DatabaseDriver(lambda _: people, saboteur).do(steps.before[1], MOMENT)
    assert failure.value.code == "database-down"
    assert not isinstance(failure.value, StepFailed)  # a lost connection takes nothing back
    driver = DatabaseDriver(lambda _: people)
    for step in steps.before[1:]:
        await driver.do(step, MOMENT)
    with psycopg.connect(people) as base:
        assert base.execute(
            "SELECT count(*) FROM people WHERE name IS DISTINCT FROM first || ' ' || last"
        ).fetchone() == (0,)


async def test_a_row_that_differs_is_named_and_stops_the_change(people: str) -> None:
    steps = steps_of(WIDEN)
    driver = await up_to_code(people, steps)
    with psycopg.connect(people) as base:
        base.execute("SET hitless.sync = 'off'")
        base.execute("UPDATE people SET age = 1000 WHERE id = 77")
    with pytest.raises(StepFailed, match=r"differ, at least at key 77\n"):
        await driver.do(steps.after[0], MOMENT)
    with pytest.raises(StepFailed, match=r"differ, at least at key 77\n"):
        await driver.do(steps.after[1], MOMENT)


async def test_contract_waits_for_sessions_of_the_old_version(people: str) -> None:
    steps = steps_of(WIDEN)
    driver = await up_to_code(people, steps)
    with psycopg.connect(version_url(people, "0001_people")) as old:
        old.execute("SELECT 1")
        assert len(await sessions(people, "0001_people")) == 1
        with pytest.raises(Refused) as refusal:
            await driver.do(steps.after[1], MOMENT)
    assert refusal.value.code == "contract-too-early"
    assert "1 session does not use schema version" in refusal.value.text
    await driver.do(steps.after[1], MOMENT)
    assert await driver.done(steps.after[1], MOMENT)
    assert await drift(people) == []
    assert [each.name for each in await history(people)] == ["0002_change"]
    with psycopg.connect(version_url(people, "0002_change")) as new:
        new.execute("UPDATE people SET age = 5000000000 WHERE id = 1")
        assert new.execute("SELECT age FROM people WHERE id = 1").fetchone() == (5_000_000_000,)
    with pytest.raises(StepFailed) as failure:
        await driver.do(steps.before[0].inverse(), MOMENT)
    assert failure.value.code == "contracted"


async def test_a_value_that_the_old_side_cannot_hold_is_refused_and_never_changed(people: str) -> None:
    await up_to_code(people, steps_of(WIDEN))
    with psycopg.connect(version_url(people, "0002_change"), autocommit=True) as new:
        with pytest.raises(psycopg.errors.NumericValueOutOfRange):
            new.execute("UPDATE people SET age = 5000000000 WHERE id = 1")
        assert new.execute("SELECT age FROM people WHERE id = 1").fetchone() == (1,)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("operations: [{drop_column: {table: people, column: nome}}]", "no-such-column"),
        ("operations: [{drop_column: {table: people, column: name}}]", "down-missing"),
        ("operations: [{drop_table: {name: peple}}]", "no-such-table"),
        ("operations: [{sql: {up: CREATE TABEL x ()}}]", "statement-failed"),
        ("operations: [{alter_column: {table: people, column: id, type: text}}]", "key-column"),
    ],
)
async def test_what_cannot_be_right_leaves_nothing_behind(people: str, text: str, code: str) -> None:
    with pytest.raises(HitlessError) as failure:
        await up_to_code(people, steps_of(text))
    assert failure.value.code == code
    with psycopg.connect(people) as base:
        assert base.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'hitless_0002_change'").fetchone() == (
            0,
        )


@pytest.mark.parametrize(
    ("operation", "rule"),
    [
        ("create_constraint: {table: people, name: young, type: check, columns: [age], check: age < 80}", "young"),
        (
            "create_constraint: {table: people, name: aged, type: foreign_key, columns: [age], references: {table: people}}",
            "aged",
        ),
    ],
)
async def test_rows_that_break_a_new_rule_are_to_be_corrected_and_their_values_stay_untold(
    people: str, operation: str, rule: str
) -> None:
    with pytest.raises(StepFailed) as failure:
        await up_to_code(people, steps_of(f"operations:\n  - {operation}\n"))
    assert failure.value.code == "rows-break-rule"
    assert f"rows of people break a rule ({rule})" in failure.value.text
    assert "correct the rows" in failure.value.hint
    assert not re.search("First|[(]0|=", str(failure.value))


async def test_who_holds_a_lock_is_named_before_anybody_waits(people: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hitless.database.postgres.LOCK_TOTAL_S", 1.5)
    with psycopg.connect(people) as idle:
        idle.execute("SELECT count(*) FROM people")
        with pytest.raises(StepFailed) as failure:
            await up_to_code(people, steps_of(WIDEN))
        assert failure.value.code == "blocked"
        assert f"session {idle.info.backend_pid} " in failure.value.text
    await up_to_code(people, steps_of(WIDEN))
    async with Target.open(people) as target:
        found = await ledger.change(target, "0002_change")
        assert found is not None
        assert found.compiled is not None
        assert await verifying.differing(target, found.compiled) == []


async def test_verification_notes_how_many_rows_it_compared(people: str) -> None:
    steps, noted = steps_of(SPLIT), list[dict[str, object]]()

    async def keep(remark: dict[str, object]) -> None:
        noted.append(remark)

    driver = DatabaseDriver(lambda _: people)
    for step in steps.before:
        await driver.do(step, replace(MOMENT, note=keep))
    assert noted[-1] == {"table": "people", "rows": 5000, "compared": 5000, "differing": 0}
