"""Nobody rewrites the journal unseen: the server refuses, and who gets around it breaks the chain."""

import psycopg
import pytest

from hitless.store.chain import Chain, follow
from hitless.store.postgres import Store

pytestmark = pytest.mark.live


async def written(store: Store, facts: int = 6) -> str:
    run = await store.create_run({"change": "faster", "claims": ["orders"], "why": 'a "plan"\nwith lines', "steps": []})
    for number in range(facts):
        await store.append(run, "noted", {"position": number, "remark": {"é": 1.25, "text": "a\nb"}}, "running")
    return run


async def verified(store: Store, *, expected: str = "", limit: int = 2) -> Chain:
    chain = Chain(expected=expected)
    while not chain.broken and (lines := await store.links(chain.facts, limit)):
        chain = follow(chain, lines)
    return chain.at_end()


async def by_force(url: str, statement: str) -> None:
    """Do what only an owner of the tables can: past all triggers."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(statement.encode())


async def test_an_untouched_journal_holds_to_its_end(store: Store) -> None:
    await written(store)
    await written_by_another_run(store)
    chain = await verified(store)
    assert (chain.facts, chain.broken) == (8, "")


async def written_by_another_run(store: Store) -> None:
    run = await store.create_run({"change": "other", "claims": ["web"], "steps": []})
    await store.append(run, "started", {"position": 0}, "running")
    await store.append(run, "ended", {"state": "completed"}, "completed")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE hitless.journal SET fact = 'ended'",
        "DELETE FROM hitless.journal",
        "TRUNCATE hitless.journal CASCADE",
        "UPDATE hitless.chain SET hash = ''",
        "DELETE FROM hitless.chain",
        "UPDATE hitless.run SET plan = '{}'",
        "DELETE FROM hitless.run",
    ],
)
async def test_the_server_refuses_to_rewrite(store: Store, database_url: str, statement: str) -> None:
    await written(store)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
            await connection.execute(statement.encode())
    assert (await verified(store)).broken == ""


@pytest.mark.parametrize(
    ("statement", "facts", "says"),
    [
        ("UPDATE hitless.journal SET body = '{}' WHERE position = 4", 3, "fact 4 of r1, or its plan, was changed"),
        ("UPDATE hitless.journal SET at = at - interval '1 second' WHERE position = 4", 3, "fact 4"),
        ("UPDATE hitless.run SET plan = '{}'", 0, "fact 1"),
        ("DELETE FROM hitless.journal WHERE position = 4", 3, "fact 4 is gone"),
        ("DELETE FROM hitless.chain WHERE position = 4", 3, "the facts before 5 are gone"),
        (
            "INSERT INTO hitless.journal (run, epoch, fact, body) VALUES ('r1', 1, 'approved', '{\"who\": \"me\"}')",
            6,
            "fact 7 was written past the chain",
        ),
    ],
)
async def test_the_first_fact_that_is_not_as_written_is_named(
    store: Store, database_url: str, statement: str, facts: int, says: str
) -> None:
    await written(store)
    await by_force(database_url, statement)
    chain = await verified(store)
    assert chain.facts == facts
    assert says in chain.broken


async def test_facts_cut_off_at_the_end_are_missed_by_who_kept_the_head(store: Store, database_url: str) -> None:
    await written(store)
    head = (await verified(store)).head
    assert (await verified(store, expected=head)).broken == ""
    for table in ("chain", "journal"):
        await by_force(database_url, f"DELETE FROM hitless.{table} WHERE position > 4")
    assert (await verified(store)).broken == ""
    assert (await verified(store, expected=head)).broken == "2 facts at the end are gone"
    await store.append("r1", "noted", {}, "running")
    await store.append("r1", "noted", {}, "running")
    assert "was written anew" in (await verified(store, expected=head)).broken


async def test_facts_of_before_the_chain_are_chained_when_it_comes(database_url: str) -> None:
    store = await Store.open(database_url)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await store.migrate()
        await store.take_over({"pid": 1})
        await connection.execute("DROP TABLE hitless.chain CASCADE")
        await connection.execute("DROP TRIGGER chained ON hitless.journal")
        await written(store)
        await connection.execute("DROP TRIGGER runs_stay ON hitless.run")
        for function in ("chain_new_line()", "refuse_rewriting()"):
            await connection.execute(f"DROP FUNCTION hitless.{function}".encode())
        await connection.execute("DROP FUNCTION IF EXISTS hitless.chain_line(hitless.journal)")
        await connection.execute("DELETE FROM hitless.schema_file WHERE number = 9")
    assert await store.migrate() == [9]
    await store.append("r1", "noted", {}, "running")
    assert (await verified(store)).facts == 7
    await store.close()
