"""The way back is looked at again when somebody wants to go it."""

from dataclasses import replace

from hitless.app.facts import Facts, Occupied, ServiceNow
from hitless.app.way_back import against_going_back
from hitless.plan.plan import Refusal
from hitless.plan.step import Step
from hitless.runtime.steps import Launch, Start, Stop
from hitless.traffic.steps import Routing

OLD = Launch(service="orders", version="1", run=("orders",), cwd="/old")
NEW = replace(OLD, version="2")
DONE: tuple[Step, ...] = (
    Start(slot="b", numbers=(1, 2), launch=NEW),
    Stop(slot="a", numbers=(1, 2), launch=OLD),
)


def facts(*, old_runs: bool, available_bytes: int = 1 << 30) -> Facts:
    slots = {"b": Occupied(launch=NEW, numbers=(1, 2))} | (
        {"a": Occupied(launch=OLD, numbers=(1, 2))} if old_runs else {}
    )
    now = ServiceNow(routing=Routing(service="orders", baseline="b", version_a="1", version_b="2"), slots=slots)
    return Facts(
        services={"orders": now},
        requests_per_s={},
        long_connections={},
        resident_bytes={"orders": 100 << 20},
        available_bytes=available_bytes,
    )


def gone(launch: Launch) -> Refusal | None:
    return Refusal(code="release-missing", text=launch.cwd) if launch == OLD else None


def codes(now: Facts, missing: object = lambda _: None) -> list[str]:
    return [refusal.code for refusal in against_going_back(DONE, now, missing)]  # type: ignore[arg-type]


def test_nothing_speaks_against_it_while_release_and_memory_are_there() -> None:
    assert codes(facts(old_runs=False)) == []


def test_a_release_that_was_cleaned_away_is_refused() -> None:
    assert codes(facts(old_runs=False), gone) == ["release-missing"]


def test_what_still_runs_needs_no_release_and_no_memory() -> None:
    assert codes(facts(old_runs=True, available_bytes=0), gone) == []


def test_memory_that_others_took_meanwhile_is_refused() -> None:
    assert codes(facts(old_runs=False, available_bytes=200 << 20)) == ["no-capacity"]
