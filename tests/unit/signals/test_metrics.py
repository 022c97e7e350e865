"""Counters that others measure: samples, resets, gaps, OTLP, PromQL's answers, and the windows of a watch."""

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.app.simulation.clock import EPOCH, VirtualClock, run_virtually
from hitless.kit.units import EVERYBODY, Share
from hitless.plan.instances import InstanceId
from hitless.plan.ports import Moment, StepFailed
from hitless.signals.driver import SignalsDriver
from hitless.signals.ending import GoBack, GoOn, Stay
from hitless.signals.measuring import measuring
from hitless.signals.metrics import Full, Load, Measured, Metric, Sample, Samples, Shown, Window, full, increase, window
from hitless.signals.otlp import OtlpMemory, read_name
from hitless.signals.ports import ArmCount, Second
from hitless.signals.prometheus import Prometheus, read_vector
from hitless.signals.steps import Watch
from hitless.signals.watching import Watching

METRIC = Metric(
    name="checkout",
    source="prometheus",
    requests="checkouts_total",
    bad="checkouts_failed_total",
    by="version",
    lag_s=20.0,
    every_s=10.0,
    worse=1.0,
)
STEP = Watch(
    service="orders",
    baseline="a",
    canary="b",
    share=Share(500),
    bake_s=600,
    metrics=(METRIC,),
    baseline_version="1.0",
    canary_version="1.2",
)


def samples(**values: float) -> Samples:
    """`a1=5`: series a1 of version a."""
    return {name: Sample(name[0], value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("before", "after", "rose"),
    [
        ({"a1": 5, "a2": 7}, {"a1": 6, "a2": 10}, 4),
        ({"a1": 5}, {"a1": 2}, 2),  # it began again, and what it shows came since
        ({"a1": 5}, {"a1": 9, "a2": 100}, 4),  # a series that is new is known from the next window on
        ({"a1": 5}, {}, None),
        ({}, {"a1": 5}, None),
        ({"a1": 5}, {"a1": math.nan}, None),
        ({"a1": math.nan}, {"a1": 5}, None),
        ({"a1": 5}, {"a1": math.inf}, None),
        ({"b1": 5}, {"b1": 9}, None),
    ],
)
def test_counters_rise_begin_again_or_are_not_known(
    before: dict[str, float], after: dict[str, float], rose: int | None
) -> None:
    assert increase(samples(**before), samples(**after), "a") == rose


def shown(requests: dict[str, float], bad: dict[str, float]) -> Shown:
    return Shown(samples(**requests), samples(**bad))


def test_a_window_counts_both_versions() -> None:
    moments = shown({"a1": 5, "b1": 50}, {"a1": 0}), shown({"a1": 9, "b1": 150}, {"a1": 1, "b1": 3})
    found = window(METRIC, 30.0, moments, ("a", "b"))
    assert found.canary == ArmCount(requests=4, failed=1, users=4, bad_users=1)
    assert found.baseline == ArmCount(requests=100, failed=3, users=100, bad_users=3)


@pytest.mark.parametrize("bad", [{"a1": math.nan}, {"a1": 90}])
def test_a_bad_counter_that_makes_no_sense_is_no_evidence(bad: dict[str, float]) -> None:
    moments = shown({"a1": 5, "b1": 5}, {"a1": 0, "b1": 0}), shown({"a1": 9, "b1": 9}, {**bad, "b1": 1})
    assert window(METRIC, 30.0, moments, ("a", "b")).canary is None


def test_what_is_bad_at_a_process_that_is_new_does_not_count_without_its_requests() -> None:
    """Ten of a thousand were bad at each; the second process was not there before, and its 10 were put to the first's."""
    moments = shown({"b1": 0}, {"b1": 0}), shown({"b1": 1000, "b2": 1000}, {"b1": 10, "b2": 10})
    assert window(METRIC, 30.0, moments, ("a", "b")).baseline is None
    later = shown({"b1": 2000, "b2": 2000}, {"b1": 20, "b2": 20})
    found = window(METRIC, 40.0, (moments[1], later), ("a", "b")).baseline
    assert found == ArmCount(requests=2000, failed=20, users=2000, bad_users=20)


values = st.floats(allow_nan=True, allow_infinity=True) | st.integers(0, 100).map(float)
series = st.dictionaries(st.sampled_from(["a1", "a2", "b1"]), values)


@given(series, series, series, series)
def test_a_window_never_has_more_bad_than_requests_nor_less_than_none(
    one: dict[str, float], two: dict[str, float], three: dict[str, float], four: dict[str, float]
) -> None:
    found = window(METRIC, 30.0, (shown(one, two), shown(three, four)), ("a", "b"))
    for arm in (found.canary, found.baseline):
        assert arm is None or 0 <= arm.bad_users <= arm.users


def test_an_instant_vector_is_read() -> None:
    vector = [
        {"metric": {"__name__": "c", "version": "1.0", "pod": "x"}, "value": [1435781451.781, "12"]},
        {"metric": {"pod": "y"}, "value": [1435781451.781, "NaN"]},
    ]
    read = read_vector({"status": "success", "data": {"resultType": "vector", "result": vector}}, "version")
    assert [each.version for each in read.values()] == ["1.0", ""]
    assert [repr(each.value) for each in read.values()] == ["12.0", "nan"]


def exported(value: object, at_s: float, *, temporality: object = 2, failed: bool = False, **more: Any) -> Any:
    attributes = [{"key": "error.type", "value": {"stringValue": "500"}}] if failed else []
    point = {"timeUnixNano": str(int(at_s * 1e9)), "attributes": attributes, **({"asInt": value} | more)}
    metric = {"name": "http.server.requests", "sum": {"dataPoints": [point], "aggregationTemporality": temporality}}
    resource = {"attributes": [{"key": "service.version", "value": {"stringValue": "1.2"}}]}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]}


def of_otlp(memory: OtlpMemory, expression: str, at: float) -> list[Sample]:
    metric = replace(METRIC, source="opentelemetry", by="service.version")
    return list(asyncio.run(memory.sample(metric, expression, at)).values())


def test_cumulative_and_delta_points_of_exporters_add_up_to_the_same() -> None:
    cumulative, delta = OtlpMemory(), OtlpMemory()
    for at_s, total, step in ((10, "5", "5"), (20, "9", "4"), (30, "9", "0")):
        cumulative.take(exported(total, at_s))
        delta.take(exported(step, at_s, temporality="AGGREGATION_TEMPORALITY_DELTA"))
    for at, value in ((9.0, []), (10.0, [5.0]), (29.0, [9.0]), (40.0, [9.0])):
        for memory in (cumulative, delta):
            assert [each.value for each in of_otlp(memory, "http.server.requests", at)] == value
    assert of_otlp(cumulative, "http.server.requests", 30.0)[0].version == "1.2"


def test_points_are_chosen_by_their_attributes() -> None:
    memory = OtlpMemory()
    memory.take(exported(7, 10))
    memory.take(exported(2, 10, failed=True))
    assert sorted(each.value for each in of_otlp(memory, "http.server.requests", 10)) == [2, 7]
    assert [each.value for each in of_otlp(memory, "http.server.requests{error.type=*}", 10)] == [2]
    assert of_otlp(memory, "http.server.requests{error.type=404}", 10) == []


def test_points_that_come_twice_late_or_without_a_value_count_once_or_not_at_all() -> None:
    memory = OtlpMemory()
    for request in (exported(5, 10, temporality=1), exported(5, 10, temporality=1), exported(3, 9, temporality=1)):
        memory.take(request)
    memory.take(exported(9, 20, temporality=1, flags=1))
    assert [each.value for each in of_otlp(memory, "http.server.requests", 20)] == [5]


def test_an_exporter_that_fell_silent_is_not_known_after_a_while() -> None:
    memory = OtlpMemory()
    memory.take(exported(5, 10))
    assert of_otlp(memory, "http.server.requests", 200) == []


@pytest.mark.parametrize(
    "request_", [[], {"resourceMetrics": 5}, {"resourceMetrics": [{"scopeMetrics": [5]}]}, exported("x", 1)]
)
def test_what_is_no_metrics_request_is_refused(request_: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        OtlpMemory().take(request_)


@pytest.mark.parametrize("name", ["", "a b", "a{b", "{a=b}"])
def test_a_name_that_is_no_counter_cannot_be_asked_for(name: str) -> None:
    with pytest.raises(OSError, match="no counter"):
        read_name(name)


class Shop:
    """A Prometheus in virtual time: five checkouts a second of the old version, one of the new."""

    def __init__(self, *, fail_share: float, away: tuple[float, float] = (0, 0)) -> None:
        self.clock, self.fail_share, self.away = VirtualClock(), fail_share, away
        self.asked: list[float] = []

    async def sample(self, metric: Metric, expression: str, at: float) -> Samples:
        self.asked.append(at)
        if self.away[0] <= self.clock.now() - EPOCH < self.away[1]:
            raise ConnectionRefusedError("nobody listens")
        seconds = at - EPOCH + 1000
        share = {"1.0": 0.001, "1.2": self.fail_share} if "failed" in expression else {"1.0": 1.0, "1.2": 1.0}
        return {
            version: Sample(version, math.floor(seconds * rate * share[version]))
            for version, rate in (("1.0", 5.0), ("1.2", 1.0))
        }


def measured(shop: Shop, seconds: int, since: float = EPOCH + 5.0) -> tuple[Watching, list[Window | Full]]:
    watching, windows = Watching(STEP, since), []

    async def main() -> None:
        async with measuring(STEP, {"prometheus": shop}, shop.clock, watching.measured_until) as taking:
            for at in range(int(EPOCH) + 5, int(EPOCH) + 5 + seconds):
                await shop.clock.sleep(1.0)
                taken = taking.take()
                windows.extend(taken)
                watching.count(Second(at=at), taken)

    run_virtually(main())
    return watching, windows


def test_windows_lie_wholly_in_the_step_follow_one_another_and_are_asked_for_after_the_lag() -> None:
    shop = Shop(fail_share=0.001)
    _, windows = measured(shop, 100)
    assert [each.until - EPOCH for each in windows] == [20, 30, 40, 50, 60, 70, 80]
    assert min(shop.asked) == EPOCH + 10
    assert windows[0].canary == ArmCount(requests=10, users=10)


def test_a_version_that_others_see_fail_goes_back_and_the_verdict_names_the_counter() -> None:
    watching, _ = measured(Shop(fail_share=0.2), 300)
    assert isinstance(watching.decide(EPOCH + 310), GoBack)
    assert watching.numbers()["guard"] == "checkout"
    assert "by checkout, requests of orders 1.2 fail" in watching.numbers()["reason"]


def test_a_healthy_version_does_not() -> None:
    watching, _ = measured(Shop(fail_share=0.001), 300)
    assert not isinstance(watching.decide(EPOCH + 310), GoBack)


def test_a_source_that_is_away_is_no_evidence_and_back_again_it_is() -> None:
    _, windows = measured(Shop(fail_share=0.2, away=(30, 75)), 150)
    known = [each.canary is not None for each in windows]
    assert False in known
    assert known[-1]
    assert [each.until for each in windows] == sorted(each.until for each in windows)


def test_a_new_controller_asks_for_what_comes_after_the_last_window_that_counted() -> None:
    shop = Shop(fail_share=0.001)
    watching, windows = measured(shop, 60)
    again = Watching(STEP, EPOCH + 5.0)
    again.restore(watching.dump())
    assert again.measured_until == {"checkout": windows[-1].until}


LOAD = Load(
    name="saturation", source="prometheus", by="version", lag_s=5.0, every_s=10.0, load="usage", limit=0.9, for_s=40
)


@pytest.mark.parametrize(
    ("values", "canary", "baseline"),
    [
        ({"a1": 0.5, "a2": 0.7, "b1": 0.2}, 0.2, 0.7),  # the fullest of a version counts
        ({"b1": 0.2}, 0.2, None),
        ({"a1": math.nan, "b1": math.inf, "b2": -1.0}, None, None),
        ({"c1": 0.4}, None, None),
    ],
)
def test_how_full_a_version_is_says_its_fullest_series(
    values: dict[str, float], canary: float | None, baseline: float | None
) -> None:
    found = full(LOAD, 10.0, samples(**values), ("b", "a"))
    assert (found.canary, found.baseline) == (canary, baseline)


class Machines(Shop):
    """The new version fills up from the hundredth second on, to the brim."""

    async def sample(self, metric: Measured, expression: str, at: float) -> Samples:
        await super().sample(metric, expression, at)  # type: ignore[arg-type]
        used = 0.3 if at - EPOCH < 100 else 0.95
        return {"old": Sample("1.0", 0.3), "new1": Sample("1.2", 0.1), "new2": Sample("1.2", used)}


@pytest.mark.parametrize(("away", "gone"), [((0.0, 0.0), True), ((90.0, 400.0), False)])
def test_a_version_that_fills_up_is_taken_back_by_what_others_measure_and_by_nothing_else(
    away: tuple[float, float], gone: bool
) -> None:
    machines, step = Machines(fail_share=0.0, away=away), replace(STEP, metrics=(), loads=(LOAD,))
    watching = Watching(step, EPOCH)

    async def main() -> None:
        async with measuring(step, {"prometheus": machines}, machines.clock, watching.measured_until) as taking:
            for at in range(int(EPOCH), int(EPOCH) + 300):
                await machines.clock.sleep(1.0)
                watching.count(Second(at=at), taking.take())

    run_virtually(main())
    assert isinstance(watching.decide(EPOCH + 301), GoBack) == gone
    assert watching.numbers()["guard"] == ("saturation" if gone else "")


USED = ArmCount(requests=5, users=5)


@pytest.mark.parametrize("step", [STEP, replace(STEP, metrics=(), loads=(LOAD,), share=EVERYBODY)])
def test_a_step_whose_guard_never_had_a_window_that_counted_holds_and_then_goes_back(step: Watch) -> None:
    watching = Watching(replace(step, bake_s=25, no_evidence_s=60), EPOCH)
    name = step.measured[0].name
    watching.trouble = f"{name}: Connection refused"
    unknown = Window(metric=name, until=EPOCH + 10) if step.metrics else Full(metric=name, until=EPOCH + 10)
    due_s = step.measured[0].lag_s + 2 * step.measured[0].every_s
    end = EPOCH + due_s + 60
    for n in range(int(end - EPOCH)):
        watching.count(felt(n), (unknown,) if n == 20 else ())
    held = watching.decide(end - 1)
    assert isinstance(held, Stay)
    assert (held.holds, held.needs) == (True, f"a window of {name} that counts")
    assert watching.numbers()["source"] == f"{name}: Connection refused"
    gone = watching.decide(end)
    assert isinstance(gone, GoBack)
    assert gone.failure.code == "no-evidence"
    assert f"a window of {name} that counts ({name}: Connection refused)" in gone.failure.text
    assert watching.numbers(gone.failure)["verdict"] == "no evidence"


def felt(n: int) -> Second:
    return Second(at=int(EPOCH) + n, arms={("orders", "a"): USED, ("orders", "b"): USED})


def test_one_window_that_counts_lets_the_step_go_on_and_a_new_controller_knows_it() -> None:
    step = replace(STEP, bake_s=25, no_evidence_s=60)
    watching = Watching(step, EPOCH)
    nobody = ArmCount()
    for n in range(40):
        new = {20: nobody, 30: USED}.get(n)
        counted = (Window(metric="checkout", until=EPOCH + n, canary=new, baseline=USED),) if new else ()
        watching.count(felt(n), counted)
        assert isinstance(watching.decide(EPOCH + n + 1), GoOn) == (n >= 30)
    again = Watching(step, EPOCH)
    again.restore(watching.dump())
    assert isinstance(again.decide(EPOCH + 40), GoOn)


def test_a_step_that_needs_no_evidence_does_not_wait_for_one() -> None:
    watching = Watching(replace(STEP, bake_s=25, evidence="none"), EPOCH)
    assert isinstance(watching.decide(EPOCH + 25), GoOn)


class Down:
    """A source that never answers."""

    async def sample(self, metric: Measured, expression: str, at: float) -> Samples:
        raise OSError("Connection refused")


def test_a_source_that_is_down_stands_in_the_closing_verdict() -> None:
    clock, notes = VirtualClock(), list[dict[str, object]]()

    class Users:
        async def follow(self, since: float) -> AsyncIterator[Second]:
            at = math.ceil(since)
            while True:
                await clock.sleep(max(0.0, at + 2 - clock.now()))
                yield felt(at - int(EPOCH))
                at += 1

        async def restarts(self) -> dict[InstanceId, int]:
            return {}

    async def note(remark: dict[str, object]) -> None:
        notes.append(remark)

    async def main() -> None:
        driver = SignalsDriver(Users(), Users(), clock, sources={"prometheus": Down()})
        step = replace(STEP, bake_s=25, no_evidence_s=90)
        with pytest.raises(StepFailed, match=r"a window of checkout that counts \(checkout: Connection refused\)"):
            await driver.do(step, Moment(run="r1", position=0, started_at=EPOCH, note=note))

    run_virtually(main())
    assert clock.now() == pytest.approx(EPOCH + 40 + 90, abs=3)
    assert (notes[-1]["verdict"], notes[-1]["source"]) == ("no evidence", "checkout: Connection refused")


@pytest.mark.parametrize("url", ["http://u:s3cret@127.0.0.1:x", "http://s3cret .x", "ftp://s3cret", "http://[s3cret"])
def test_what_a_variable_holds_is_in_no_message(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("METRICS", url)
    with pytest.raises(OSError) as told:
        asyncio.run(Prometheus().sample(replace(METRIC, url="env:METRICS"), "up", 1.0))
    assert "s3cret" not in str(told.value)


def test_a_prometheus_that_is_not_there_is_told() -> None:
    with pytest.raises(OSError, match="Prometheus does not answer: Connection refused"):
        asyncio.run(Prometheus().sample(replace(METRIC, url="http://127.0.0.1:1"), "up", 1.0))
