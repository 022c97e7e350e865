"""The journal on a real PostgreSQL: append-only, fenced, and at an end when its connection is."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import pytest

from hitless.kit.errors import Abandon, HitlessError, Refused
from hitless.store import postgres as store_module
from hitless.store.postgres import Store, create_database

pytestmark = pytest.mark.live


def plan(*claims: str, change: str = "faster") -> dict[str, Any]:
    return {"change": change, "claims": list(claims), "steps": []}


Opened = Callable[[], Awaitable[Store]]


@pytest.fixture
async def opened(database_url: str) -> AsyncIterator[Opened]:
    """Open the store once more, as another controller does."""
    async with AsyncExitStack() as all_of_them:

        async def another() -> Store:
            store = await Store.open(database_url)
            all_of_them.push_async_callback(store.close)
            await store.migrate()
            return store

        yield another


@pytest.fixture
async def store(opened: Opened) -> Store:
    store = await opened()
    await store.take_over({"pid": 1})
    return store


async def test_facts_are_read_back_in_the_order_they_were_written(store: Store) -> None:
    run = await store.create_run(plan("orders"))
    written = [await store.append(run, "noted", {"position": number, "remark": {}}, "running") for number in range(5)]
    assert await store.facts(run) == written
    assert await store.facts(run, after=written[2].position) == written[3:]
    assert [fact.position for fact in written] == sorted({fact.position for fact in written})
    assert [fact.at for fact in written] == sorted(fact.at for fact in written)


async def test_facts_of_runs_side_by_side_share_one_order_and_stay_apart(store: Store) -> None:
    first, second = await store.create_run(plan("orders")), await store.create_run(plan("accounts"))
    await asyncio.gather(*(store.append(run, "held", {"why": run}, "held") for run in [first, second] * 5))
    everything = await store.facts(None)
    assert [fact.position for fact in everything] == sorted(fact.position for fact in everything)
    assert {fact.body["why"] for fact in await store.facts(first)} == {first}
    assert len(everything) == 10


async def test_a_written_fact_cannot_be_changed_or_removed(store: Store, database_url: str) -> None:
    run = await store.create_run(plan("orders"))
    await store.append(run, "held", {"why": "lunch"}, "held")
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as stranger:
        for statement in (
            "UPDATE hitless.journal SET fact = 'resumed'",
            "DELETE FROM hitless.journal",
            "TRUNCATE hitless.journal",
        ):
            with pytest.raises(psycopg.Error):
                await stranger.execute(statement.encode())
    assert [fact.fact for fact in await store.facts(run)] == ["held"]


async def test_a_run_on_claimed_services_is_refused_until_the_other_has_come_to_rest(store: Store) -> None:
    run = await store.create_run(plan("orders", "web"))
    with pytest.raises(Refused, match="web"):
        await store.create_run(plan("web"))
    other = await store.create_run(plan("accounts"))
    await store.append(run, "ended", {"state": "completed", "code": "", "text": ""}, "completed")
    await store.create_run(plan("web"))
    assert {row["run"] for row in await store.runs(in_flight=True)} > {other}


async def test_a_run_that_needs_a_human_keeps_its_claims(store: Store) -> None:
    run = await store.create_run(plan("orders"))
    await store.append(run, "ended", {"state": "rollback-incomplete", "code": "x", "text": "y"}, "rollback-incomplete")
    with pytest.raises(Refused):
        await store.create_run(plan("orders"))


async def test_runs_begun_at_the_same_moment_do_not_both_get_a_service(store: Store) -> None:
    outcomes = await asyncio.gather(*(store.create_run(plan("orders")) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(outcome, str) for outcome in outcomes) == 1
    assert all(isinstance(outcome, str | Refused) for outcome in outcomes)


async def test_a_second_controller_waits_for_the_lease_and_gets_a_higher_epoch(store: Store, opened: Opened) -> None:
    second = await opened()
    waiting = asyncio.ensure_future(second.take_over({"pid": 2}))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.5)
    await store.close()
    assert await waiting == store.epoch + 1


async def test_a_second_controller_gives_up_when_the_first_one_lives(
    store: Store, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "TAKE_OVER_S", 0.3)
    second = await opened()
    with pytest.raises(Abandon, match="another controller"):
        await second.take_over({"pid": 2})


async def test_what_a_replaced_controller_writes_is_refused(store: Store, database_url: str) -> None:
    run = await store.create_run(plan("orders"))
    await store.append(run, "held", {"why": "lunch"}, "held")
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as server:
        await server.execute("UPDATE hitless.lease SET epoch = epoch + 1")  # as the next controller does
    with pytest.raises(Abandon):
        await store.append(run, "resumed", {}, "running")
    with pytest.raises(Abandon):
        await store.create_run(plan("accounts"))
    assert [fact.fact for fact in await store.facts(run)] == ["held"]
    assert (await store.runs(run=run))[0]["state"] == "held"


async def test_a_controller_that_never_took_over_writes_nothing(opened: Opened) -> None:
    stranger = await opened()
    with pytest.raises(Abandon):
        await stranger.create_run(plan("orders"))


async def test_a_lost_connection_is_the_end_of_the_controller(store: Store, database_url: str) -> None:
    run = await store.create_run(plan("orders"))
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as server:
        await server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hitless' AND datname = current_database()"
        )
    with pytest.raises(Abandon):
        await store.append(run, "held", {"why": "lunch"}, "held")
    with pytest.raises(Abandon):  # it does not come back by itself: the lease is gone
        await store.ping()


async def test_a_restart_of_the_server_loses_no_acknowledged_fact(postgres: Any, opened: Opened) -> None:
    before = await opened()
    epoch = await before.take_over({"pid": 1})
    run = await before.create_run(plan("orders"))
    written = [await before.append(run, "held", {"why": str(number)}, "held") for number in range(3)]
    await asyncio.to_thread(postgres.restart)
    with pytest.raises(Abandon):
        await before.append(run, "resumed", {}, "running")
    after = await opened()
    assert await after.take_over({"pid": 2}) == epoch + 1
    assert await after.facts(run) == written
    await after.append(run, "resumed", {}, "running")


async def test_a_cancelled_write_is_there_or_not_and_the_next_one_is_not_harmed(store: Store) -> None:
    """Cancelled anywhere: the store either goes on or says that it is lost; what it acknowledged is there."""
    run = await store.create_run(plan("orders"))
    acknowledged = 0
    for pause_ms in range(12):
        task = asyncio.ensure_future(store.append(run, "noted", {"position": pause_ms, "remark": {}}, "running"))
        await asyncio.sleep(pause_ms / 4000)
        task.cancel()
        result = (await asyncio.gather(task, return_exceptions=True))[0]
        acknowledged += not isinstance(result, BaseException)
    await store.append(run, "held", {"why": "the end"}, "held")
    facts = await store.facts(run)
    assert facts[-1].fact == "held"
    assert len(facts) - 1 >= acknowledged


async def test_the_schema_is_brought_up_once_by_whoever_comes_first(database_url: str) -> None:
    stores = [await Store.open(database_url) for _ in range(4)]
    try:
        ran = await asyncio.gather(*(store.migrate() for store in stores))
    finally:
        for store in stores:
            await store.close()
    assert sorted(map(bool, ran)) == [False, False, False, True]


async def test_this_controller_works_on_a_schema_of_a_later_version(
    store: Store, opened: Opened, database_url: str
) -> None:
    """Later schema files only add: columns with defaults, tables, indexes."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as server:
        await server.execute("ALTER TABLE hitless.run ADD COLUMN later text NOT NULL DEFAULT 'x'")
        await server.execute("ALTER TABLE hitless.journal ADD COLUMN later int NOT NULL DEFAULT 1")
        await server.execute("ALTER TABLE hitless.lease ADD COLUMN later jsonb")
        await server.execute("CREATE TABLE hitless.later (id int)")
        await server.execute("INSERT INTO hitless.schema_file (number, name) VALUES (99, '99_pre_later.sql')")
    run = await store.create_run(plan("orders"))
    fact = await store.append(run, "held", {"why": "lunch"}, "held")
    await store.close()
    older = await opened()
    assert await older.migrate() == []
    await older.take_over({"pid": 2})
    assert await older.facts(run) == [fact]
    assert [row["run"] for row in await older.runs(in_flight=True)] == [run]
    await older.append(run, "resumed", {}, "running")


async def test_who_waits_for_news_hears_of_a_fact(store: Store) -> None:
    run = await store.create_run(plan("orders"))
    waiting = asyncio.ensure_future(store.news(30))
    await asyncio.sleep(0)
    await store.append(run, "held", {"why": "lunch"}, "held")
    await asyncio.wait_for(waiting, 10)
    await store.news(0.01)  # and nobody waits longer than asked


async def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(HitlessError, match="does not answer") as caught:
        await Store.open("postgresql://nobody@127.0.0.1:1/none")
    assert caught.value.code == "store-down"


async def test_a_database_is_created_once_whatever_its_name(postgres: Any, database_url: str) -> None:
    name = 'odd "name"; DROP'
    await create_database(database_url, name)
    await create_database(database_url, name)
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        found = await (
            await connection.execute("SELECT count(*) FROM pg_database WHERE datname = %s", (name,))
        ).fetchone()
    assert found == (1,)


async def test_names_without_a_schema_mean_those_of_one_that_is_asked_for(postgres: Any, database_url: str) -> None:
    name = database_url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]

    async def made_in() -> Any:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            await connection.execute("CREATE SCHEMA IF NOT EXISTS AUTHORIZATION current_user")
            await connection.execute("CREATE SCHEMA IF NOT EXISTS other")
            return (await (await connection.execute("SELECT current_schema()")).fetchone() or ("",))[0]

    assert await made_in() == "hitless"  # the role's own
    await create_database(database_url, name, schema="public")
    assert await made_in() == "public"
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(f"ALTER DATABASE {name} SET search_path = other".encode())
    await create_database(database_url, name, schema="public")  # what somebody chose stays
    assert await made_in() == "other"


async def test_the_evidence_of_a_run_is_replaced_and_outlives_the_controller(store: Store, opened: Opened) -> None:
    run = await store.create_run(plan("orders"))
    assert await store.evidence(run, "orders") is None
    for state in (b"first", b"second \x00\xff"):
        await store.keep_evidence(run, "orders", state)
    await store.close()
    following = await opened()
    await following.take_over({"pid": 2})
    assert await following.evidence(run, "orders") == b"second \x00\xff"
    assert await following.evidence(run, "web") is None


async def test_a_replaced_controller_keeps_no_evidence(store: Store, database_url: str) -> None:
    run = await store.create_run(plan("orders"))
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as server:
        await server.execute("UPDATE hitless.lease SET epoch = epoch + 1")
    with pytest.raises(Abandon):
        await store.keep_evidence(run, "orders", b"late")
    assert await store.evidence(run, "orders") is None
