"""Two code versions on two schema versions under load: forward, back, forward again, and contract behind its approval."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import yaml

from hitless.app.databases import Databases
from hitless.app.paths import load_system
from hitless.database.urls import version_url
from hitless.testing.load import Load
from hitless.testing.shop import shop_profile

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]  # two shops, and each step waits for the one before

QUICK = {"bake": "200ms", "evidence": "none"}
RATE = 60.0


@pytest.fixture(scope="module")
def url(shop_to_keep) -> str:
    system = load_system(shop_to_keep.file)
    return Databases(system=system, folder=shop_to_keep.file.parent, state=shop_to_keep.state).url("main")


@pytest.fixture
def load(shop_to_keep) -> Iterator[Load]:
    """Users who meet no failure, and whose orders are all there afterwards."""
    load = Load(
        shop_profile(f"http://{load_system(shop_to_keep.file).gateway.listen}", rate=RATE, users=300, download=None)
    )
    load.start()
    yield load
    report = load.stop()
    assert (report.failed, report.missing) == (0, ()), report.to_text()
    assert report.total > 100


def written(shop, name: str, database: object, **services: dict[str, object]) -> str:
    """Write a change; returns its path."""
    path = shop.file.parent / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"change": name, "database": {"main": database}, "services": services}))
    return str(path)


def migration(shop, name: str, text: str) -> Path:
    path = shop.file.parent / "migrations" / f"{name}.yaml"
    path.write_text(text)
    return path


def differing(url: str) -> int:
    """Rows of accounts of which the two schema versions say something different."""
    with (
        psycopg.connect(version_url(url, "0001_shop")) as old,
        psycopg.connect(version_url(url, "0002_split_name")) as new,
    ):
        for each in (old, new):
            each.execute("SET application_name = 'hitless'")  # the test is no version of the shop
        names = dict(old.execute("SELECT user_id, name FROM accounts").fetchall())
        rows = new.execute("SELECT user_id, trim(first_name || ' ' || last_name) FROM accounts").fetchall()
        assert len(names) > 50
        return sum(names.get(user, name) != name for user, name in rows)


def columns(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'accounts'"
        )
        return {row[0] for row in rows.fetchall()}


def secretly(url: str, sql: str) -> None:
    """Write past the triggers, as nobody should."""
    with psycopg.connect(url, autocommit=True, application_name="hitless") as connection:
        connection.execute("SET hitless.sync = 'off'")
        connection.execute(sql.encode())


def it_is_too_early_while_a_row_differs(shop, url: str, run: str) -> None:
    """It is found by comparing again and again, also by the next controller, and is off the list once it is mended."""

    def differing_rows() -> list[list[str]]:
        return [row["key"] for row in shop.ask(f"/v1/runs/{run}")["open"]["rolling"][0]["differing"]]

    shop.until(lambda: shop.ask(f"/v1/runs/{run}")["open"]["rolling"][0]["sweeps"] > 0)
    with psycopg.connect(url, application_name="hitless") as connection:
        user, name = connection.execute("SELECT user_id, first_name FROM accounts ORDER BY 1 LIMIT 1").fetchone()
    secretly(url, f"UPDATE accounts SET first_name = 'Somebody else' WHERE user_id = '{user}'")
    shop.until_back("controller", shop.kill("controller"))
    shop.until(lambda: differing_rows() == [[user]])
    shown = shop.run("show", run).out
    assert f"accounts {user}: first_name is 'Somebody else', should be '{name}'" in shown
    early = shop.json("contract", run, "--yes", expect=3)
    assert early["code"] == "contract-too-early"
    assert early["text"] == f'both sides of "main" differ in 1 rows: accounts {user}'
    secretly(url, f"UPDATE accounts SET first_name = split_part(name, ' ', 1) WHERE user_id = '{user}'")
    shop.until(lambda: differing_rows() == [])
    report = shop.run("show", run, "--report", "md").out
    assert "## Compared again after the switch" in report
    assert f"1: accounts {user}" in report.replace("\\", "")
    assert "Somebody else" not in report  # values are the user's data: in no journal


def it_is_too_early_while_a_variant_needs_the_old_side(shop, run: str) -> None:
    """A flag of no change of ours says what its variant needs; contract waits until nobody gets it."""
    shop.run("flags", "stage", "split-names", "50%")
    shop.run("flags", "set", "split-names", "--needs-schema", "off=main/0001_shop")
    early = shop.json("contract", run, "--yes", expect=3)
    assert early["code"] == "contract-too-early"
    assert 'flag split-names still gives variant "off" to users, and variant "off" needs 0001_shop' in early["text"]
    shop.run("flags", "stage", "split-names", "everyone", "--wait")


def test_a_name_is_split_while_people_use_it_taken_back_and_split_for_good(shop_to_keep, url, load) -> None:
    shop = shop_to_keep
    alone = written(shop, "split", ["0002_split_name"], accounts={"to": "1.2", **QUICK})
    shop.run("flags", "stage", "whole-names", "50%")
    shop.run("flags", "set", "whole-names", "--needs-schema", "off=main/0001_shop")
    plan = shop.json("plan", alone)
    shop.run("flags", "set", "whole-names", "--needs-schema", "")
    assert plan["refusals"] == []
    assert any("contract waits until these have moved: orders 1.0 on 0001_shop" in each for each in plan["remarks"])
    assert any("contract waits as long as flag whole-names still gives" in each for each in plan["remarks"])
    assert [step["describe"].split()[0] for step in plan["steps"] if step["room"] == "database"] == [
        *("expand", "backfill", "verify", "switch", "verify", "contract"),
    ]

    agreed = shop.run("apply", alone, "--approve", "contract", expect=3)
    assert "contract-too-early" in agreed.err, agreed  # what was agreed to was not done, the rest was
    run = shop.ask("/v1/runs")[0]["run"]
    with psycopg.connect(url, application_name="hitless") as connection:
        people = connection.execute("SELECT DISTINCT person FROM hitless.migration WHERE name = '0002_split_name'")
        assert ["@" in str(person) for (person,) in people] == [True]
    assert set(shop.versions("accounts")) == {"1.2"}
    assert differing(url) == 0
    open_ = shop.ask(f"/v1/runs/{run}")["open"]
    assert "column accounts.name" in open_["steps"][-1]
    early = shop.json("contract", run, "--yes", expect=3)
    assert (early["code"], "orders 1.0 (2 instances)" in early["text"]) == ("contract-too-early", True)

    shop.run("rollback", run)
    assert set(shop.versions("accounts")) == {"1.0"}
    assert columns(url) == {"user_id", "name", "balance_cents"}

    both = written(
        shop, "split", ["0002_split_name"], accounts={"to": "1.2", **QUICK}, orders={"restart": True, **QUICK}
    )
    shop.run("apply", both)
    assert differing(url) == 0
    again = shop.ask("/v1/runs")[0]["run"]
    it_is_too_early_while_a_row_differs(shop, url, again)
    it_is_too_early_while_a_variant_needs_the_old_side(shop, again)
    shop.run("contract", again, "--yes")
    assert columns(url) == {"user_id", "balance_cents", "first_name", "last_name"}
    assert shop.ask(f"/v1/runs/{again}")["open"] is None
    assert shop.json("rollback", again, expect=3)["code"] == "no-way-back"


def test_orders_get_another_shape_in_a_table_of_their_own_and_contract_was_approved_beforehand(
    shop_to_keep, url, load
) -> None:
    shop = shop_to_keep
    if "name" in columns(url):
        pytest.skip("the name is not split yet: this one goes on from there")
    change = written(
        shop, "items", ["0003_order_items"], orders={"to": "1.6", **QUICK}, accounts={"restart": True, **QUICK}
    )
    shop.run("apply", change, "--approve", "contract")
    run = shop.ask("/v1/runs")[0]["run"]
    assert shop.ask(f"/v1/runs/{run}")["open"] is None
    with psycopg.connect(url) as connection:
        (odd,) = connection.execute("SELECT count(*) FROM orders WHERE items IS NULL").fetchone()
        assert odd == 0


@pytest.fixture
def loose(shop_to_keep) -> Iterator[str]:
    """A migration after which an account may be without a balance, which the old side cannot hold."""
    file = migration(
        shop_to_keep,
        "0008_loose",
        "operations:\n  - alter_column: {table: accounts, column: balance_cents, nullable: true, "
        "up: balance_cents, down: balance_cents}\n",
    )
    yield file.stem
    file.unlink()


EVERYTHING_MOVES = {"accounts": {"restart": True, **QUICK}, "orders": {"restart": True, **QUICK}}


def test_rows_that_the_old_side_cannot_hold_are_given_up_only_by_their_number(shop_to_keep, url, load, loose) -> None:
    shop = shop_to_keep
    kept = {"accounts": {"restart": True, "strategy": "blue-green", "keep": "1h", **QUICK}}
    shop.run("apply", written(shop, "loose", [loose], **EVERYTHING_MOVES | kept))
    run = shop.ask("/v1/runs")[0]["run"]
    early = shop.json("contract", run, "--yes", expect=3)
    assert (early["code"], "still serves accounts" in early["text"]) == ("contract-too-early", True), early
    with psycopg.connect(version_url(url, loose), autocommit=True, application_name="hitless") as new:
        lost = [row[0] for row in new.execute("SELECT user_id FROM accounts ORDER BY 1 LIMIT 2").fetchall()]
        before = new.execute("SELECT user_id, balance_cents FROM accounts ORDER BY 1 LIMIT 2").fetchall()
        new.execute("UPDATE accounts SET balance_cents = NULL WHERE user_id = ANY(%s)", (lost,))
    shown = shop.ask(f"/v1/runs/{run}")["open"]["lost_by_rollback"]
    assert sorted(each["key"] for each in shown) == [[user] for user in lost]
    for accepted in ([], ["--accept-loss", "1"]):
        refused = shop.json("rollback", run, *accepted, expect=3)
        assert (refused["code"], f"--accept-loss {len(lost)}" in refused["hint"]) == ("loss-not-accepted", True)
        assert shop.ask(f"/v1/runs/{run}")["state"] == "completed"
    shop.run("rollback", run, "--accept-loss", "2")
    with psycopg.connect(url, application_name="hitless") as connection:
        after = connection.execute("SELECT user_id, balance_cents FROM accounts ORDER BY 1 LIMIT 2").fetchall()
    assert after == before  # the old side keeps what it had
    assert "at most 2 rows may be lost" in shop.run("show", run, "--report", "md").out


@pytest.fixture
def narrow(shop_to_keep) -> Iterator[str]:
    """A migration after which a balance has to fit an int: the new side cannot hold more."""
    file = migration(
        shop_to_keep,
        "0008_narrow",
        "operations:\n  - alter_column: {table: accounts, column: balance_cents, type: int, "
        "up: balance_cents::int, down: balance_cents::bigint, on_unmappable: record}\n",
    )
    yield file.stem
    file.unlink()


def test_rows_that_the_new_side_cannot_hold_are_contracted_away_only_by_their_number(
    shop_to_keep, url, load, narrow
) -> None:
    shop = shop_to_keep
    with psycopg.connect(url, application_name="hitless") as base:
        (kind,) = base.execute(
            "SELECT data_type FROM information_schema.columns WHERE table_schema = 'public' "
            "AND (table_name, column_name) = ('accounts', 'balance_cents')"
        ).fetchone()
        version = base.execute("SELECT version FROM hitless.schema_change WHERE state = 'current'").fetchone()[0]
    assert kind == "bigint"
    before = version_url(url, version)
    with psycopg.connect(before, autocommit=True, application_name="hitless") as old:
        users = [row[0] for row in old.execute("SELECT user_id FROM accounts ORDER BY 1 LIMIT 2").fetchall()]
        old.execute("UPDATE accounts SET balance_cents = 99999999999 WHERE user_id = %s", (users[0],))
    shop.run("apply", written(shop, "narrow", [narrow], **EVERYTHING_MOVES))
    run = shop.ask("/v1/runs")[0]["run"]
    with psycopg.connect(before, autocommit=True, application_name="hitless") as old:
        old.execute("UPDATE accounts SET balance_cents = 88888888888 WHERE user_id = %s", (users[1],))
    open_ = shop.ask(f"/v1/runs/{run}")["open"]
    assert sorted(each["key"] for each in open_["lost_by_contract"]) == [[user] for user in users]
    assert open_["lost_by_rollback"] == []
    assert "contract would give up 2 rows (--accept-loss 2)" in shop.run("show", run).out
    for accepted in ([], ["--accept-loss", "1"]):
        refused = shop.json("contract", run, "--yes", *accepted, expect=3)
        assert refused["code"] == "loss-not-accepted", refused
        assert f"hitless contract {run} --accept-loss 2" in refused["hint"]
    with psycopg.connect(before, application_name="hitless") as old:
        kept = old.execute("SELECT balance_cents FROM accounts WHERE user_id = ANY(%s) ORDER BY user_id", (users,))
        assert kept.fetchall() == [(99999999999,), (88888888888,)]
    shop.run("rollback", run)
    shop.run("apply", written(shop, "narrow", [narrow], **EVERYTHING_MOVES), "--approve", "contract", expect=3)
    approved = shop.ask("/v1/runs")[0]["run"]
    withheld = shop.ask(f"/v1/runs/{approved}")["open"]["withheld"]
    assert (withheld["code"], "--accept-loss 2" in withheld["hint"]) == ("loss-not-accepted", True)
    shop.run("rollback", approved)
    with psycopg.connect(before, autocommit=True, application_name="hitless") as old:
        old.execute("UPDATE accounts SET balance_cents = 100 WHERE user_id = ANY(%s)", (users,))


@pytest.mark.parametrize(
    ("name", "text", "code", "exit_code"),
    [
        ("0009_x", "operations: [", "broken-yaml", 2),
        ("0009_x", "operations:\n  - add_colum: {}\n", "unknown-key", 2),
        ("0009_x", "operations:\n  - drop_column: {table: accounts, column: nmae}\n", "no-such-column", 3),
        ("0009_x", "operations:\n  - drop_column: {table: accounts, column: balance_cents}\n", "down-missing", 3),
        ("0009_x", "operations:\n  - sql: {up: 'ALTER TABEL accounts', down: 'SELECT 1'}\n", "statement-failed", 3),
        ("0009_x", "operations:\n  - sql: {up: 'CREATE TABLE t ()'}\n", "not-reversible", 3),
        (
            "0001_y",
            "operations:\n  - create_table: {name: t, columns: [{name: id, type: int, pk: true}]}\n",
            "migration-number",
            2,
        ),
    ],
)
def test_a_migration_that_cannot_be_right_changes_nothing(shop_to_keep, url, name, text, code, exit_code) -> None:
    shop = shop_to_keep
    before = (columns(url), len(shop.ask("/v1/runs")))
    file = migration(shop, name, text)
    try:
        answer = shop.json("apply", written(shop, "bad", [name]), expect=exit_code)
        assert answer["code"] == code, answer
        assert (columns(url), len(shop.ask("/v1/runs"))) == before
    finally:
        file.unlink()


def test_what_was_done_by_hand_is_named_before_anything_runs(shop_to_keep, url) -> None:
    shop = shop_to_keep
    file = migration(
        shop, "0009_x", "operations:\n  - create_table: {name: t, columns: [{name: id, type: int, pk: true}]}\n"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE accounts ADD COLUMN by_hand int")
        try:
            answer = shop.json("apply", written(shop, "drifted", ["0009_x"]), expect=3)
            assert (answer["code"], '"accounts"."by_hand"' in answer["text"]) == ("drift", True)
        finally:
            connection.execute("ALTER TABLE accounts DROP COLUMN by_hand")
            file.unlink()


def takes_writes(url: str, *, yes: bool) -> None:
    """As a failover does it: who connects from now on meets a server that only reads, or one that writes again."""
    how = "RESET default_transaction_read_only" if yes else "SET default_transaction_read_only = on"
    options = "-cdefault_transaction_read_only=off"
    with psycopg.connect(url, autocommit=True, application_name="hitless", options=options) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} {how}".encode())


def test_a_database_that_stops_taking_writes_in_the_middle_of_a_run_is_waited_for(shop_to_keep, url, loose) -> None:
    shop = shop_to_keep
    if "name" in columns(url):
        pytest.skip("the name is not split yet: this one goes on from there")
    slow = {"restart": True, "bake": "3s", "evidence": "none"}
    change = written(shop, "read-only", [loose], accounts=slow, orders={"restart": True, **QUICK})
    before = columns(url)
    run = shop.json("apply", change, "--detach")["run"]

    def going(word: str) -> bool:
        steps = shop.ask(f"/v1/runs/{run}")["steps"]
        return any(each["state"] == "running" and each["describe"].startswith(word) for each in steps)

    shop.until(lambda: going("watch"))
    takes_writes(url, yes=False)
    try:
        shop.until(lambda: "takes no writes" in shop.run("show", run, "--report", "md").out)
    finally:
        takes_writes(url, yes=True)
    shop.run("watch", run)
    assert shop.ask(f"/v1/runs/{run}")["state"] == "completed"
    assert shop.ask(f"/v1/runs/{run}")["open"] is not None
    shop.run("rollback", run)
    assert columns(url) == before


def test_contract_waits_for_its_time_and_then_happens_by_itself(shop_to_keep, url, load, loose) -> None:
    shop = shop_to_keep
    change = written(shop, "loose-later", {"migrations": [loose], "contract": "after 15s"}, **EVERYTHING_MOVES)
    shop.run("apply", change, "--approve", "contract")
    run = shop.ask("/v1/runs")[0]["run"]
    early = shop.json("contract", run, "--yes", expect=3)
    assert (early["code"], "holds the old side until" in early["text"]) == ("contract-too-early", True), early
    done = {"open": None, "state": "completed"}
    shop.until(lambda: done.items() <= shop.ask(f"/v1/runs/{run}").items())
    assert shop.json("rollback", run, expect=3)["code"] == "no-way-back"
