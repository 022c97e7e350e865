"""New users of both arms of a test: each counted once, however rarely the new version is met, in bounded memory."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from hitless.plan.instances import Slot
from hitless.signals import members
from hitless.signals.counting import Counter, Observed
from hitless.signals.ports import Second
from hitless.verdict import Arm, SampleRatio, Tick, Verdict

BEGIN_MS = 1_000_000_000
LOOK_S = 3
ALPHA = 0.05
RAMP = ((0.01, 1.2), (0.05, 0.5), (0.25, 0.5))  # share of users, and hours


@dataclass
class Town:
    """Users who come back now and then, each with a bucket for ever, and a gateway that may choose wrongly."""

    seed: int
    a_minute: int
    skew: float = 1.0  # the part of the users that the new version gets, against what was meant
    now_ms: int = BEGIN_MS
    dice: random.Random = field(init=False)
    counter: Counter = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.counter = Counter(BEGIN_MS)
        self.buckets = [self.dice.random() for _ in range(12_000)]

    def live(self, hours: float, share: float) -> Iterator[Second]:
        for _ in range(int(hours * 3600 / LOOK_S)):
            many = sum(self.dice.random() < self.a_minute / 1200 for _ in range(20 * LOOK_S))
            self.counter.count([self._request(share) for _ in range(many)])
            self.now_ms += LOOK_S * 1000
            yield from self.counter.close(self.now_ms)

    def _request(self, share: float) -> Observed:
        user = self.dice.randrange(len(self.buckets))
        slot: Slot = "b" if self.buckets[user] < share * self.skew else "a"
        at_ms = self.now_ms + self.dice.randrange(LOOK_S * 1000)
        return Observed(at_ms, "web", slot, f"u{user}", False, 10.0)


def alarms(town: Town) -> list[bool]:
    """Whether the split of new users looks off, at each step of a ramp of one run."""
    town.counter.begin("web")
    found = []
    for share, hours in RAMP:
        verdict = Verdict([SampleRatio(share=share, alpha=ALPHA)], breaker=False)
        for second in town.live(hours, share):
            arms = [second.arms.get(("web", slot)) for slot in ("b", "a")]
            canary, baseline = (Arm(0, 0, users=arm.assigned if arm else 0) for arm in arms)
            if canary.users or baseline.users:
                verdict.feed(Tick(second.at, canary, baseline, {}))
        found.append(bool(verdict.doubts()))
    return found


@pytest.mark.parametrize("a_minute", [60, 200])
def test_with_few_users_of_the_new_version_a_healthy_split_does_not_look_off(a_minute: int) -> None:
    """36 steps at alpha 5 %: two are expected at most. Books that began anew with users of the canary: a dozen."""
    found = [alarm for seed in range(12) for alarm in alarms(Town(seed + a_minute, a_minute))]
    assert sum(found) <= 4


@pytest.mark.parametrize("skew", [0.4, 2.0])
def test_a_split_that_is_off_is_found_on_the_ramp(skew: float) -> None:
    assert all(any(alarms(Town(seed, 200, skew))) for seed in range(5))


def test_an_hour_without_a_user_of_the_new_version_makes_nobody_new() -> None:
    counter = Counter(BEGIN_MS)
    counter.begin("web")
    assigned = 0
    for second in range(0, 3600, LOOK_S):
        slot: Slot = "b" if second in (0, 3597) else "a"
        counter.count([Observed(BEGIN_MS + second * 1000, "web", slot, f"u{slot}", False, 10.0)])
        closed = counter.close(BEGIN_MS + (second + LOOK_S) * 1000)
        assigned += sum(arm.assigned for each in closed for arm in each.arms.values())
    assert assigned == 2


def test_without_a_test_nobody_is_assigned_and_after_its_end_nobody_is_remembered() -> None:
    counter = Counter(BEGIN_MS)
    both = [Observed(BEGIN_MS + 10, "web", slot, f"u{slot}", False, 10.0) for slot in ("a", "b")]
    counter.count(both)
    counter.begin("web")
    counter.end("web")
    assert not counter._members.split
    (first, *_) = counter.close(BEGIN_MS + 2500)
    assert not any(arm.assigned for arm in first.arms.values())


def test_beyond_the_bound_every_second_user_is_followed_and_each_still_counts_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(members, "MEMBERS_LIMIT", 1000)
    counter = Counter(BEGIN_MS)
    counter.begin("web")
    users = [(f"u{n}", "b" if n % 10 == 0 else "a") for n in range(6000)]
    counter.count(
        Observed(BEGIN_MS + 10, "web", "b" if slot == "b" else "a", user, False, 10.0) for user, slot in users
    )
    (first, *_) = counter.close(BEGIN_MS + 2500)
    counted = {slot: first.arms["web", slot].assigned for slot in ("a", "b")}  # type: ignore[index]
    assert first.one_in["web"] >= 8
    assert len(counter._members.split["web"]) <= 1000
    assert counted["a"] + counted["b"] < 6000
    assert 0.05 < counted["b"] / (counted["a"] + counted["b"]) < 0.17  # both arms thinned alike
    counter.count(Observed(BEGIN_MS + 3000, "web", "a", user, False, 10.0) for user, _ in users)
    assert not any(arm.assigned for each in counter.close(BEGIN_MS + 5500) for arm in each.arms.values())


def test_services_that_are_tested_are_bounded_and_go_before_those_that_are_not() -> None:
    books = members.Members()
    for n in range(members.SERVICES_LIMIT):
        for slot in ("a", "b"):
            books.see(f"s{n}", slot, 10)  # type: ignore[arg-type]
    for n in range(members.SERVICES_LIMIT + 5):
        books.begin(f"t{n}")
    assert set(books.split) == {f"t{n}" for n in range(members.SERVICES_LIMIT)}
