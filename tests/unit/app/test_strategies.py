"""The order of steps, as properties: carried out on a tiny model of the world, forward, and back from every point."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from hitless.app.strategies import Ship, resize
from hitless.kit.units import EVERYBODY, Share
from hitless.plan.change import ServiceChange, Stage, Strategy
from hitless.plan.instances import InstanceId, Slot, other
from hitless.plan.step import Step
from hitless.runtime.steps import Check, Launch, Start, Stop
from hitless.signals.steps import Watch
from hitless.traffic.steps import Admit, Drain, Routing, Shift


def launch(version: str) -> Launch:
    return Launch(service="orders", version=version, run=("orders",), cwd="/")


def steps_of(shipping: Ship) -> tuple[Step, ...]:
    return (*shipping.ship(), *shipping.retire())


@dataclass
class Model:
    """What a plan may rely on, and no more."""

    baseline: Slot
    share: Share = field(default_factory=lambda: Share(0))
    group: str = ""
    runs: dict[InstanceId, str] = field(default_factory=dict)
    admitted: set[InstanceId] = field(default_factory=set)

    def carry_out(self, step: Step) -> None:
        match step:
            case Start():
                assert not set(step.instances) & set(self.runs) - self.kept(), f"{step} starts a second copy"
                self.runs |= dict.fromkeys(step.instances, step.launch.version)
            case Stop():
                assert not set(step.instances) & self.admitted, f"{step} stops what takes requests"
                assert {self.runs[each] for each in step.instances} == {step.launch.version}
                if not step.keep_s:
                    self.runs = {each: version for each, version in self.runs.items() if each not in step.instances}
            case Admit():
                assert set(step.instances) <= set(self.runs), f"{step} sends requests to nobody"
                self.admitted |= set(step.instances)
            case Drain():
                self.admitted -= set(step.instances)
            case Shift():
                assert (step.before.baseline, step.before.share, step.before.group) == self.routing()
                self.baseline, self.share, self.group = step.after.baseline, step.after.share, step.after.group
            case Watch() | Check():
                pass
            case _:
                raise AssertionError(step)
        for slot in self.served():
            assert any(each.slot == slot for each in self.admitted), f"after {step} nobody serves slot {slot}"

    def kept(self) -> set[InstanceId]:
        """Instances that still run though nobody is sent to them: starting them again lets them stay."""
        return set(self.runs) - self.admitted

    def routing(self) -> tuple[Slot, Share, str]:
        return self.baseline, self.share, self.group

    def served(self) -> set[Slot]:
        return {self.baseline} | ({other(self.baseline)} if self.share.buckets or self.group else set())

    def reached(self, slot: Slot) -> Share:
        """The share of users that meet a slot."""
        return Share(EVERYBODY.buckets - self.share.buckets) if slot == self.baseline else self.share


slots: st.SearchStrategy[Slot] = st.sampled_from(("a", "b"))
canary_steps = st.builds(
    lambda group, buckets: (*group, *(Share(each) for each in sorted(buckets)), EVERYBODY),
    st.sampled_from(((), ("staff",))),
    st.sets(st.integers(1, 9_999), max_size=5),
)
counts = st.integers(1, 8)


@st.composite
def ships(draw: st.DrawFn) -> Ship:
    strategy: Strategy = draw(st.sampled_from(("canary", "blue-green", "rolling")))
    stages: tuple[Stage, ...] | None = draw(st.none() | canary_steps) if strategy == "canary" else None
    change = ServiceChange.model_construct(
        to="2",
        strategy=strategy,
        steps=stages,
        check=draw(st.none() | st.just(("true",))),
        keep=draw(st.just(0.0) | st.just(60.0)),
    )
    baseline = draw(slots)
    return Ship(
        routing=Routing(service="orders", baseline=baseline).with_version(baseline, "1"),
        old=launch("1"),
        old_numbers=tuple(range(1, draw(counts) + 1)),
        new=launch("2"),
        new_numbers=tuple(range(1, draw(counts) + 1)),
        salt="salt",
        drain_s=draw(st.none() | st.just(5.0)),
        change=change,
        folder="/",
    )


def before(ship: Ship) -> Model:
    old = [InstanceId("orders", ship.routing.baseline, number) for number in ship.old_numbers]
    return Model(ship.routing.baseline, runs=dict.fromkeys(old, "1"), admitted=set(old))


def carried_out(model: Model, steps: Iterable[Step]) -> Model:
    for step in steps:
        model.carry_out(step)
    return model


@given(ships())
def test_in_the_end_the_new_version_alone_serves_everybody(ship: Ship) -> None:
    model = carried_out(before(ship), steps_of(ship))
    assert model.routing() == (ship.slot, Share(0), "")
    assert model.admitted == {InstanceId("orders", ship.slot, number) for number in ship.new_numbers}
    if not ship.change.keep:
        assert set(model.runs.values()) == {"2"}


@given(ship=ships(), data=st.data())
def test_from_every_point_the_way_back_ends_where_the_change_began(ship: Ship, data: st.DataObject) -> None:
    steps = list(steps_of(ship))
    done = steps[: data.draw(st.integers(0, len(steps)))]
    model = carried_out(before(ship), done)
    carried_out(model, [inverse for step in reversed(done) if (inverse := step.inverse()) is not None])
    assert model == before(ship)


@given(ships())
def test_the_share_of_the_new_version_only_grows_and_reaches_everybody(ship: Ship) -> None:
    model, shares = before(ship), []
    for step in steps_of(ship):
        model.carry_out(step)
        shares.append(model.reached(ship.slot))
    assert shares == sorted(shares)
    assert shares[-1] == EVERYBODY


@given(ships())
def test_no_share_grows_without_a_watch_that_knows_it(ship: Ship) -> None:
    steps = list(steps_of(ship))
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if isinstance(step, Shift):
            assert isinstance(following, Watch)
            everybody = step.after.baseline == ship.slot
            assert (following.share, following.group) == (
                EVERYBODY if everybody else step.after.share,
                step.after.group,
            )
            assert following.compares != everybody
            assert (following.baseline, following.canary) == (ship.routing.baseline, ship.slot)


@given(ships())
def test_a_check_runs_once_before_the_first_user(ship: Ship) -> None:
    kinds = [type(step) for step in steps_of(ship)]
    assert kinds.count(Check) == (1 if ship.change.check else 0)
    if ship.change.check:
        assert kinds.index(Check) < kinds.index(Shift)


@given(ships())
def test_a_rolling_change_never_runs_more_than_it_must(ship: Ship) -> None:
    if ship.change.strategy != "rolling" or ship.change.keep:
        return
    model, most = before(ship), 0
    for step in steps_of(ship):
        model.carry_out(step)
        most = max(most, len(model.runs))
    assert most <= max(len(ship.old_numbers), len(ship.new_numbers)) + 1


@given(slot=slots, now=st.sets(st.integers(1, 32), min_size=1), count=st.integers(1, 32), data=st.data())
def test_a_resize_reaches_its_number_and_goes_back_from_every_point(
    slot: Slot, now: set[int], count: int, data: st.DataObject
) -> None:
    def fresh() -> Model:
        there = [InstanceId("orders", slot, number) for number in now]
        return Model(slot, runs=dict.fromkeys(there, "1"), admitted=set(there))

    routing = Routing(service="orders", baseline=slot).with_version(slot, "1")
    steps = list(resize(routing, launch("1"), tuple(sorted(now)), count, 5.0))
    end = carried_out(fresh(), steps)
    assert len(end.admitted) == len(end.runs) == count
    assert max(each.number for each in end.runs) <= 32
    done = steps[: data.draw(st.integers(0, len(steps)))]
    model = carried_out(fresh(), done)
    carried_out(model, [inverse for step in reversed(done) if (inverse := step.inverse()) is not None])
    assert model == fresh()


@given(ships())
def test_going_back_gives_the_new_version_the_same_time_to_end_what_it_has_in_flight(shipping: Ship) -> None:
    admits = [step for step in steps_of(shipping) if isinstance(step, Admit)]
    assert admits
    assert all(step.inverse().drain_s == shipping.drain_s for step in admits)
