"""Who meets which version, through a real HAProxy."""

import asyncio
from dataclasses import replace

import pytest

from hitless.kit.units import Share
from hitless.traffic.cohort import bucket
from hitless.traffic.steps import Routing

pytestmark = pytest.mark.live

BASE = Routing(service="orders", baseline="a", version_a="1.0", version_b="1.1", salt="run-1")
USERS = [f"user-{number}" for number in range(150)]


async def met(world, users=USERS) -> dict[str, str]:
    """Return the slot that each user meets now."""
    async with world.connected(world.public) as client:
        slots = {}
        for user in users:
            await client.send("/orders", {"x-user-id": user})
            slots[user] = (await client.receive()).by[-2]
        return slots


async def test_a_user_meets_the_version_that_the_bucket_says(world):
    await world.two_versions()
    await world.gateway.route(replace(BASE, share=Share(4000)))
    assert await met(world) == {user: "b" if bucket(user, "run-1") < 4000 else "a" for user in USERS}
    assert await met(world) == await met(world)


async def test_a_growing_share_keeps_those_who_are_in_it(world):
    await world.two_versions()
    inside: set[str] = set()
    for buckets in (1, 500, 2500, 9000, 9999, 10_000):
        await world.gateway.route(replace(BASE, share=Share(buckets)))
        now = {user for user, slot in (await met(world)).items() if slot == "b"}
        assert inside <= now
        inside = now
    assert inside == set(USERS)


async def test_one_bucket_is_a_step(world):
    await world.two_versions()
    user = "user-3"
    for share, slot in ((bucket(user, "run-1"), "a"), (bucket(user, "run-1") + 1, "b")):
        await world.gateway.route(replace(BASE, share=Share(share)))
        assert await met(world, [user]) == {user: slot}


async def test_a_group_comes_first_whatever_the_share(world):
    await world.two_versions()
    await world.gateway.route(replace(BASE, group="staff"))
    assert await met(world, ["ann", "ben", "cy@shop.example", "bob"]) == {
        "ann": "b",
        "ben": "b",
        "cy@shop.example": "b",
        "bob": "a",
    }


async def test_a_request_without_a_user_meets_the_baseline_until_everybody_goes(world):
    await world.two_versions()
    for share, by in ((0, "orders-a1"), (9999, "orders-a1"), (10_000, "orders-b1")):
        await world.gateway.route(replace(BASE, share=Share(share), group="staff"))
        assert (await world.get()).by == by


async def test_a_flip_of_the_baseline_moves_everybody_at_one_stroke(world):
    await world.two_versions()
    await world.gateway.route(replace(BASE, baseline="b"))
    assert (await world.get()).by == "orders-b1"
    assert set((await met(world)).values()) == {"b"}


async def test_after_the_return_of_route_no_request_meets_the_old_routing(world):
    await world.two_versions()
    async with world.connected(world.public) as client:
        for round_number in range(30):
            baseline = "ab"[round_number % 2]
            await world.gateway.route(replace(BASE, baseline=baseline))
            await client.send("/orders", {"x-user-id": "u"})
            assert (await client.receive()).by == f"orders-{baseline}1"


async def test_services_see_user_and_bucket_and_clients_cannot_claim_them(world):
    await world.two_versions()
    await world.gateway.route(BASE)
    seen = (await world.get(x_user_id="bob", x_hitless_user="eve", x_hitless_bucket="1")).seen["headers"]
    assert (seen["x-hitless-user"], seen["x-hitless-bucket"]) == ("bob", str(bucket("bob", "run-1")))
    nobody = (await world.get(x_hitless_user="eve", baggage="hitless.user=eve,a=1")).seen["headers"]
    assert not {"x-hitless-user", "x-hitless-bucket", "baggage"} & set(nobody)


async def test_a_name_too_long_is_nobody(world):
    await world.two_versions()
    await world.gateway.route(replace(BASE, share=Share(9999)))
    answer = await world.get(x_user_id="u" * 201)
    assert answer.by == "orders-a1"
    assert "x-hitless-user" not in answer.seen["headers"]


async def test_baggage_carries_the_user_to_the_next_service(world):
    await world.two_versions()
    await world.gateway.route(replace(BASE, group="staff"))
    passed_on = (await world.get(x_user_id="cy@shop.example", baggage="a=1,b=2")).seen["headers"]["baggage"]
    assert passed_on.endswith(",a=1,b=2")
    for headers in (
        {"baggage": passed_on},
        {"baggage": "a=1, hitless.user=ann;p=1 , b=2"},
        {"x-hitless-user": "ann", "baggage": "hitless.user=bob"},
        {"x-user-id": "ann"},
    ):
        answer = await world.ask("/orders/deep?q=1", port=world.internal, headers=headers)
        assert answer.by == "orders-b1", headers
        assert answer.seen["path"] == "/deep?q=1"
    assert (await world.ask("/orders", port=world.internal)).by == "orders-a1"


async def test_a_user_in_baggage_cannot_smuggle_a_header(world):
    await world.two_versions()
    for end in ("%0d%0a", "%0a", "%0d"):
        headers = {"baggage": f"hitless.user=ann{end}x-evil: 1"}
        answer = await world.ask("/orders", port=world.internal, headers=headers)
        assert answer.status == 200
        assert not {"x-evil", "x-hitless-user"} & set(answer.seen["headers"])


async def test_a_service_that_nobody_was_sent_to_yet_answers_503(world):
    assert (await world.get()).status == 503


async def test_who_has_no_identity_gets_a_cookie_that_counts_from_the_first_request_on(run):
    async with run(user="") as world:
        await world.two_versions()
        await world.gateway.route(replace(BASE, share=Share(5000)))
        for _ in range(20):
            first = await world.get()
            cookie = first.header("set-cookie")
            assert cookie is not None
            user = cookie.partition("=")[2].partition(";")[0]
            assert "; HttpOnly; SameSite=Lax" in cookie
            assert first.seen["headers"]["x-hitless-user"] == user
            assert first.by == ("orders-b1" if bucket(user, "run-1") < 5000 else "orders-a1")
            again = await world.get(cookie=f"a=1; hitless-user={user}; b=2")
            assert (again.by, again.header("set-cookie")) == (first.by, None)


async def test_many_changes_at_once_lose_none(world):
    await world.two_versions()
    services = [Routing(service=name, baseline="b", version_b="2") for name in ("web", "orders", "hidden", "hosted")]
    await asyncio.gather(*(world.gateway.route(each) for each in services))
    assert set((await world.gateway.routings()).values()) == set(services)
