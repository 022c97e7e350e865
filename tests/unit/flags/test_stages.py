"""Stages: who is in, who comes in, who leaves, and that a step back restores every letter."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.flags import FlagSet
from hitless.flags.driver import FlagsDriver
from hitless.flags.languages import Seen
from hitless.flags.stages import Members, at_stage, canonical, parse_stages, who_moves
from hitless.flags.steps import Stage
from hitless.kit.errors import InvalidInput, Refused
from hitless.kit.units import Share
from hitless.plan.ports import Moment, StepFailed

STAFF = {"staff": Members(users=("u1", "u2"), email="*@shop.example")}
USERS = [f"user-{n}" for n in range(3000)]


def inside(stage: str, users: list[str] = USERS, **more: Any) -> set[str]:
    definition = at_stage(None, stage, groups=STAFF, **more)
    read = FlagSet.parse(json.dumps({"flags": {"f": definition}}))
    assert not read.bad
    return {
        user
        for user in users
        if read.evaluate("f", {"targetingKey": user, "hitlessBucket": int(user.rpartition("-")[2]) * 3}).value
    }


@given(shares=st.lists(st.integers(1, 10_000), min_size=2, max_size=2))
def test_growing_keeps_everybody_in(shares: list[int]) -> None:
    small, large = sorted(shares)
    assert inside(f"{small / 100}%", USERS[:200]) <= inside(f"{large / 100}%", USERS[:200])


def test_a_share_is_about_as_large_as_it_says() -> None:
    assert 0.03 < len(inside("5%")) / len(USERS) < 0.07


def test_everyone_is_everyone_and_off_is_nobody() -> None:
    assert inside("everyone") == set(USERS)
    assert not inside("off", group="staff")


@pytest.mark.parametrize("stage", ["staff", "5%", "everyone"])
def test_the_group_stays_in_at_every_stage(stage: str) -> None:
    read = FlagSet.parse(json.dumps({"flags": {"f": at_stage(None, stage, group="staff", groups=STAFF)}}))
    assert read.evaluate("f", {"targetingKey": "u1"}).value is True
    assert read.evaluate("f", {"targetingKey": "x", "email": "a@shop.example"}).value is True


def test_only_the_group_is_in_at_its_own_stage() -> None:
    assert not inside("staff", group="staff")


def test_the_cohort_of_the_change_is_that_of_the_gateways_buckets() -> None:
    assert inside("5%", cohort="change") == {user for user in USERS if int(user.rpartition("-")[2]) * 3 < 500}


def test_who_has_no_name_stays_on_the_old_side() -> None:
    read = FlagSet.parse(json.dumps({"flags": {"f": at_stage(None, "99.99%")}}))
    assert read.evaluate("f", {}).value is False


def test_a_user_without_a_bucket_stays_on_the_old_side() -> None:
    read = FlagSet.parse(json.dumps({"flags": {"f": at_stage(None, "50%", cohort="change")}}))
    assert read.evaluate("f", {"targetingKey": "u"}).value is False


def test_who_moves_is_only_who_must() -> None:
    assert who_moves(Share.parse("5%"), Share.parse("25%")) == (Share.parse("20%"), Share(0))
    assert who_moves(Share.parse("25%"), Share.parse("5%")) == (Share(0), Share.parse("20%"))


@pytest.mark.parametrize(
    ("stages", "code"),
    [
        (("crew", "5%"), "unknown-group"),
        (("5%", "staff"), "stages-order"),
        (("50%", "5%"), "stages-order"),
        ((), "stages-order"),
        (("500%",), "unknown-stage"),
    ],
)
def test_stages_that_make_no_sense_are_refused(stages: tuple[str, ...], code: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_stages(stages, STAFF)
    assert refusal.value.code == code


def test_a_flag_with_three_variants_is_not_raised_by_stages() -> None:
    with pytest.raises(InvalidInput, match="cannot be raised"):
        at_stage({"variants": {"a": 1, "b": 2, "c": 3}}, "5%")


class World:
    """A served set, clients that acknowledge after some looks, and a virtual clock."""

    def __init__(self, looks: int, *, disagrees: bool = False) -> None:
        self.flags: dict[str, str] = {}
        self.disagrees = disagrees
        self.looks = looks
        self.at = 0.0
        self.notes: list[dict[str, object]] = []

    async def definition(self, flag: str) -> str:
        return self.flags.get(flag, "")

    async def served(self) -> bool:
        return True

    async def put(self, flag: str, definition: str, why: str) -> str:
        self.flags[flag] = definition
        return "v"

    async def refuse_other_languages(self, flag: str) -> None:
        if self.disagrees:
            raise Refused("flag-bucketing", "grpc-node-js splits in another way")

    async def version(self) -> str:
        return "v"

    async def clients(self) -> list[Seen]:
        self.looks -= 1
        version = "before" if self.looks >= 0 else "v"
        return [Seen(name="node-1", protocol="flagd.sync.v1", agent="grpc-node-js", version=version)]

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds

    async def note(self, remark: dict[str, object]) -> None:
        self.notes.append(remark)

    def moment(self, **more: Any) -> Moment:
        return Moment(run="r", position=1, started_at=0.0, note=self.note, **more)


STEP = Stage(flag="f", before="", after=canonical(at_stage(None, "5%")), stage="5%")


async def test_a_stage_waits_for_the_acknowledgement_of_every_client() -> None:
    world = World(looks=3)
    driver = FlagsDriver(world, world, world)
    assert not await driver.done(STEP, world.moment())
    await driver.do(STEP, world.moment())
    assert world.at > 0
    assert await driver.done(STEP, world.moment())


async def test_a_client_that_stays_silent_fails_the_step_but_not_the_way_back() -> None:
    world = World(looks=10_000_000)
    with pytest.raises(StepFailed, match="node-1"):
        await FlagsDriver(world, world, world).do(STEP, world.moment())
    await FlagsDriver(world, world, world).do(STEP.inverse(), world.moment(backward=True))
    assert world.flags["f"] == ""
    assert len(world.notes) == 2


async def test_a_share_fails_where_a_client_splits_in_another_way_and_goes_back_all_the_same() -> None:
    world = World(looks=0, disagrees=True)
    with pytest.raises(StepFailed, match="grpc-node-js"):
        await FlagsDriver(world, world, world).do(STEP, world.moment())
    assert world.flags == {}
    await FlagsDriver(world, world, world).do(STEP.inverse(), world.moment(backward=True))


async def test_a_flag_that_somebody_edited_meanwhile_is_not_raised_and_not_overwritten_on_the_way_back() -> None:
    world = World(looks=0)
    world.flags["f"] = killed = canonical({**at_stage(None, "5%"), "state": "DISABLED"})
    with pytest.raises(StepFailed, match="edited"):
        await FlagsDriver(world, world, world).do(STEP, world.moment())
    await FlagsDriver(world, world, world).do(STEP.inverse(), world.moment(backward=True))
    assert world.flags["f"] == killed
    assert world.notes[-1]["left_as_it_is"] is True


def test_the_inverse_of_the_inverse_is_the_step() -> None:
    assert STEP.inverse().inverse() == STEP
    assert STEP.describe() == "flag f: as it was -> 5%"
