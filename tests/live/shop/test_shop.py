"""Each version of the shop does what it promises."""

import asyncio
from pathlib import Path

import pytest

from hitless.plan.change import read_change
from hitless.plan.system import read_system
from hitless.testing.faults import CutProxy
from hitless.testing.load import Load, Profile
from hitless.testing.shop import shop_profile

pytestmark = pytest.mark.live
SHOP = Path(__file__).parents[3] / "examples" / "shop"
SYSTEM = read_system((SHOP / "hitless.yaml").read_text(), file="hitless.yaml")
CHANGES = sorted((SHOP / "changes").glob("*.yaml"))


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_orders_are_taken_listed_and_found(shop, version):
    await shop.ready("accounts", "1.0")
    orders = await shop.ready("orders", version)
    taken = await orders.ask("/orders", {"id": "a-1", "item": "tea"}, X_Hitless_User="user-7")
    assert taken.status == 201
    assert taken.json() == {"number": 1, "id": "a-1", "item": "tea", "customer": "User 7"}
    assert (taken.headers["x-version"], taken.headers["x-instance"]) == (version, f"orders-{version}-1")
    listed = (await orders.ask("/orders", X_Hitless_User="user-7")).json()
    assert listed["orders"] == [taken.json()]
    assert (await orders.ask("/orders", X_Hitless_User="user-8")).json()["orders"] == []
    assert (await orders.ask("/orders/a-1")).json() == taken.json() | {"times": 1}
    assert (await orders.ask("/orders/a-2")).status == 404


async def test_an_order_with_an_idempotency_key_is_taken_once(shop):
    await shop.ready("accounts", "1.0")
    orders = await shop.ready("orders", "1.0")
    for status in (201, 200, 200):
        again = await orders.ask("/orders", {"id": "a-1", "item": "tea"}, Idempotency_Key="k-1")
        assert (again.status, again.json()["number"]) == (status, 1)
    assert (await orders.ask("/orders", {"id": "a-2", "item": "tea"}, Idempotency_Key="k-1")).status == 409
    assert (await orders.ask("/orders/a-1")).json()["times"] == 1
    for _ in range(2):
        assert (await orders.ask("/orders", {"id": "b-1", "item": "tea"})).status == 201
    assert (await orders.ask("/orders/b-1")).json()["times"] == 2  # an order taken twice is seen


async def test_orders_1_1_counts_and_sums_up_and_1_0_does_not(shop):
    await shop.ready("accounts", "1.0")
    old, new = await asyncio.gather(shop.ready("orders", "1.0"), shop.ready("orders", "1.1"))
    await old.ask("/orders", {"id": "a-1", "item": "tea"}, X_User_Id="user-1")
    assert (await new.ask("/orders", X_User_Id="user-1")).json()["count"] == 1
    assert (await new.ask("/orders/summary")).json() == {"orders": 1, "users": 1}
    assert "count" not in (await old.ask("/orders", X_User_Id="user-1")).json()
    assert (await old.ask("/orders/summary")).status == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/orders", {"id": "a"}, 400),
        ("/orders", {"id": "a", "item": "x" * 201}, 400),
        ("/orders", {"id": "a\x00", "item": "x"}, 400),
        ("/orders", ["a"], 400),
        ("/orders", {"id": "a", "item": "x" * 70_000}, 413),
        ("/orders?limit=0", None, 400),
        ("/orders?limit=many", None, 400),
        ("/orders/ws", None, 426),
        ("/elsewhere", None, 404),
    ],
)
async def test_bad_requests_are_refused_and_change_nothing(shop, path, body, status):
    orders = await shop.ready("orders", "1.0")
    assert (await orders.ask(path, body)).status == status
    assert (await orders.ask("/orders")).json()["orders"] == []


async def test_orders_without_accounts_are_a_bad_gateway(shop):
    orders = await shop.ready("orders", "1.0", HITLESS_URL_ACCOUNTS="http://127.0.0.1:1")
    answer = await orders.ask("/orders", {"id": "a-1", "item": "tea"})
    assert (answer.status, answer.json()) == (502, {"error": "accounts did not answer: ConnectionRefusedError"})


@pytest.mark.parametrize(("version", "tier"), [("1.0", {}), ("1.1", {"tier": "basic"})])
async def test_accounts_open_themselves_and_tell_a_balance(shop, version, tier):
    accounts = await shop.ready("accounts", version)
    shown = await accounts.ask("/accounts/user-3")
    assert shown.json() == {"user": "user-3", "name": "User 3", "balance_cents": 10_000} | tier
    assert (await accounts.ask("/accounts/user-3/balance")).json() == {"user": "user-3", "balance_cents": 10_000}
    assert (await accounts.ask("/accounts", X_Hitless_User="user-3")).json() == shown.json()
    assert shown.headers["x-version"] == version


async def test_the_page_shows_what_the_others_say_and_a_session_survives_the_version(shop):
    await shop.ready("accounts", "1.1")
    orders = await shop.ready("orders", "1.0")
    old, new = await asyncio.gather(shop.ready("web", "1.0"), shop.ready("web", "2.0"))
    await orders.ask("/orders", {"id": "a-1", "item": "<green> tea"}, X_Hitless_User="user-7")
    first = await old.ask("/", X_Hitless_User="user-7")
    assert first.headers["x-called"] == "orders=1.0, accounts=1.1"
    assert "Hello User 7, visit 1." in first.body.decode()
    assert "&lt;green&gt; tea" in first.body.decode()
    second = await new.ask("/", X_Hitless_User="user-7", Cookie=first.headers["set-cookie"].split(";")[0])
    assert "visit 2; you have 100.00" in second.body.decode()
    forged = await new.ask("/", Cookie=first.headers["set-cookie"].split(";")[0].replace(".1.", ".9."))
    assert "visit 1;" in forged.body.decode()


@pytest.mark.parametrize(("version", "least", "most"), [("1.2", 0.004, 0.06), ("1.3", 0.4, 0.8)])
async def test_a_broken_version_is_ready_and_fails_its_share(shop, version, least, most):
    orders = await shop.ready("orders", version)
    report = await Load(Profile(url=orders.url, rate=250, requests=1000, get=("/orders",))).run()
    assert set(report.statuses) == {200, 500}
    assert report.total == 1000
    assert least < report.failed / report.total < most


async def test_orders_1_4_ends_at_once_and_says_why(shop):
    orders = await shop.start("orders", "1.4")
    assert await orders.process.wait() == 78
    assert "SHOP_PRICE_LIST is not set" in orders.log.read_text()


async def test_orders_1_5_lives_but_is_never_ready(shop):
    orders = await shop.start("orders", "1.5")
    async with asyncio.timeout(120):
        while "price_lists" not in orders.log.read_text():
            await asyncio.sleep(0.05)
    assert (await orders.ask("/ready")).status == 503
    assert orders.process.returncode is None


async def test_a_restart_of_the_database_costs_a_wait_and_no_request(shop, postgres):
    await shop.ready("accounts", "1.0")
    orders = await shop.ready("orders", "1.0")
    load = Load(shop_profile(orders.url, rate=60, get=("/orders",), download=None, stream=None, websocket=None))
    running = asyncio.create_task(load.run())
    await until(lambda r: r.total > 50, load)
    await asyncio.to_thread(postgres.restart)
    seen = load.report().total
    await until(lambda r: r.total > seen + 50, load)
    load.stop_soon()
    report = await running
    assert (report.failed, report.missing) == (0, ()), report.to_text()


async def until(condition, load):
    async with asyncio.timeout(120):
        while not condition(load.report()):
            await asyncio.sleep(0.01)


async def test_a_service_that_is_asked_to_end_drops_nothing_and_closes_what_is_long_properly(shop):
    await shop.ready("accounts", "1.0")
    old, new = await asyncio.gather(shop.ready("orders", "1.0"), shop.ready("orders", "1.1"))
    async with CutProxy(old.port) as front:
        more = {"get": ("/orders",), "download": "/orders/download?seconds=2", "websocket_every_s": 0.05}
        load = Load(shop_profile(f"http://127.0.0.1:{front.port}", rate=60, **more))
        running = asyncio.create_task(load.run())
        await until(lambda r: r.total > 20 and r.websocket.echoed and r.stream.bytes and r.download.bytes, load)
        front.target = new.port
        assert await old.terminate() == 0
        await until(lambda r: r.websocket.connected > 1 and r.stream.opened > 1, load)
        seen = load.report().total
        await until(lambda r: r.total > seen + 20 and r.download.completed, load)
        load.stop_soon()
        report = await running
    assert (report.failed, report.missing) == (0, ()), report.to_text()
    assert (report.websocket.closed, report.stream.closed, report.download.closed) == (1, 1, 1)
    assert set(report.versions["/orders"]) == {"1.0", "1.1"}


@pytest.mark.parametrize("path", CHANGES, ids=lambda path: path.stem)
def test_every_change_names_services_and_versions_that_are_there(path):
    change = read_change(path.read_text(), file=str(path))
    assert change.change == path.stem
    for name, service in change.services.items():
        assert name in SYSTEM.services
        if service.to is not None:
            assert service.to != SYSTEM.services[name].version
            assert (SHOP / "releases" / name / service.to / f"{name}.py").exists()
