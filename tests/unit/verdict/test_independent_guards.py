"""Many guards that see different things share one alpha: none of them brings a false alarm of its own."""

import random

from hitless.verdict import Arm, Errors, Tick, Verdict

PLACES = tuple(f"service-{number}" for number in range(8))
ALPHA, RUNS, SECONDS, BAD = 0.2, 40, 120, 0.06
NEW, OLD = 5, 45  # users a second
EMPTY = Arm(requests=0, bad=0)


def arm(dice: random.Random, users: int) -> Arm:
    return Arm(requests=users, bad=sum(dice.random() < BAD for _ in range(users)))


def alarm(seed: int, places: tuple[str, ...]) -> bool:
    """Whether a healthy canary is taken back, by guards that each look at a place of their own."""
    dice = random.Random(seed)
    verdict = Verdict([Errors(on=place, name=place) for place in places], alpha=ALPHA, breaker=False)
    for t in range(SECONDS):
        seen = {place: (arm(dice, NEW), arm(dice, OLD)) for place in places}
        if verdict.feed(Tick(t, EMPTY, EMPTY, seen)).kind == "roll back":
            return True
    return False


def test_eight_independent_guards_together_raise_no_more_false_alarms_than_alpha():
    """Each by itself with the whole alpha would."""
    together = sum(alarm(seed, PLACES) for seed in range(RUNS))
    assert together <= ALPHA * RUNS + 2 * (RUNS * ALPHA * (1 - ALPHA)) ** 0.5
    apart = sum(any(alarm(seed * 100 + number, PLACES[:1]) for number in range(8)) for seed in range(RUNS))
    assert apart > ALPHA * RUNS
