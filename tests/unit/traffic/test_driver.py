"""The driver on a gateway in memory and a clock that the test moves."""

from dataclasses import dataclass, field

import pytest

from hitless.kit.units import Share
from hitless.plan.instances import InstanceId
from hitless.plan.ports import Moment, StepFailed
from hitless.traffic.driver import TrafficDriver
from hitless.traffic.ports import Place
from hitless.traffic.steps import Admit, Drain, Routing, Shift

A1, A2 = InstanceId("orders", "a", 1), InstanceId("orders", "a", 2)
BEFORE = Routing(service="orders", baseline="a", version_a="1.0", version_b="1.1")
AFTER = Routing(service="orders", baseline="a", version_a="1.0", version_b="1.1", share=Share(500))


@dataclass
class World:
    """A gateway, the ports of instances, and time; what is in flight ends one by one as time goes."""

    known: dict[InstanceId, Place] = field(default_factory=dict)
    routed: dict[str, Routing] = field(default_factory=dict)
    flying: dict[InstanceId, float] = field(default_factory=dict)  # until when
    listening: dict[InstanceId, int] = field(default_factory=lambda: {A1: 4001, A2: 4002})
    notes: list[dict] = field(default_factory=list)
    time: float = 100.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds

    async def port(self, instance: InstanceId) -> int:
        if instance not in self.listening:
            raise StepFailed("no-instance", f"{instance} does not run")
        return self.listening[instance]

    async def routings(self):
        return self.routed

    async def places(self):
        return self.known

    async def route(self, routing: Routing) -> None:
        self.routed[routing.service] = routing

    async def admit(self, instance: InstanceId, port: int) -> None:
        self.known[instance] = Place(port=port, state="ready")

    async def drain(self, instance: InstanceId) -> None:
        self.known[instance] = Place(port=self.known[instance].port, state="drain")

    async def remove(self, instance: InstanceId) -> None:
        assert self.known.pop(instance).state == "drain"

    async def in_flight(self, instance: InstanceId) -> int:
        assert self.known[instance].state == "drain"
        return int(self.flying.get(instance, 0.0) > self.time)

    async def note(self, remark: dict) -> None:
        self.notes.append(remark)

    def moment(self, started_at: float = 100.0) -> Moment:
        return Moment(run="r", position=1, started_at=started_at, note=self.note)

    def driver(self) -> TrafficDriver:
        return TrafficDriver(self, self, self)


@pytest.fixture
def world() -> World:
    return World()


async def carry_out(world: World, step, started_at: float = 100.0) -> None:
    assert not await world.driver().done(step, world.moment())
    await world.driver().do(step, world.moment(started_at))
    assert await world.driver().done(step, world.moment())


ADMIT = Admit(service="orders", slot="a", numbers=(1, 2))
DRAIN = Drain(service="orders", slot="a", numbers=(1, 2), drain_s=5.0)


async def test_admitted_instances_stand_at_their_ports(world):
    await carry_out(world, ADMIT)
    assert world.known == {A1: Place(port=4001, state="ready"), A2: Place(port=4002, state="ready")}


async def test_an_instance_that_was_restarted_elsewhere_is_not_done_and_is_repointed(world):
    await carry_out(world, ADMIT)
    world.listening[A1] = 5001
    await carry_out(world, ADMIT)
    assert world.known[A1].port == 5001


async def test_a_draining_instance_is_not_admitted_and_comes_back(world):
    await carry_out(world, ADMIT)
    await world.drain(A1)
    await carry_out(world, ADMIT)


async def test_an_instance_that_does_not_run_fails_the_step(world):
    del world.listening[A2]
    with pytest.raises(StepFailed):
        await world.driver().do(ADMIT, world.moment())


async def test_a_drain_waits_for_what_is_in_flight_and_no_longer(world):
    await carry_out(world, ADMIT)
    world.flying[A2] = 103.0
    await carry_out(world, DRAIN)
    assert 103.0 <= world.time < 103.1
    assert world.notes == []


async def test_a_drain_ends_at_its_bound_and_says_what_will_be_closed(world):
    await carry_out(world, ADMIT)
    world.flying = {A1: 1e9, A2: 1e9}
    await carry_out(world, DRAIN)
    assert 105.0 <= world.time < 105.1
    assert world.notes == [{"closed": 2}]


async def test_what_came_in_while_the_controller_was_away_gets_its_whole_time(world):
    await carry_out(world, ADMIT)
    world.flying[A1] = 103.0
    await carry_out(world, DRAIN, started_at=60.0)
    assert 103.0 <= world.time < 103.1


async def test_a_drain_without_a_bound_waits(world):
    await carry_out(world, ADMIT)
    world.flying[A1] = 400.0
    await carry_out(world, Drain(service="orders", slot="a", numbers=(1, 2), drain_s=None))
    assert world.time >= 400.0


async def test_a_drain_that_was_killed_half_way_is_finished(world):
    await carry_out(world, ADMIT)
    await world.drain(A1)
    await world.remove(A1)
    await carry_out(world, DRAIN)
    assert world.known == {}


async def test_a_shift_is_done_when_the_routing_is_the_one_it_wants(world):
    shift = Shift(before=BEFORE, after=AFTER)
    await carry_out(world, shift)
    assert world.routed == {"orders": AFTER}
    await carry_out(world, shift.inverse())
    assert world.routed == {"orders": BEFORE}


async def test_taking_back_restores_every_step(world):
    await carry_out(world, ADMIT)
    await carry_out(world, ADMIT.inverse())
    await carry_out(world, ADMIT.inverse().inverse())
    assert set(world.known) == {A1, A2}
