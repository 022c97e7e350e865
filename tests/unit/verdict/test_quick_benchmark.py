"""VERDICT-1, quick: healthy days, bad versions, ramps, late ones and bursts, in the space of bad events.

Only seconds with a bad event are fed, since the others change nothing but the clock. Seeds 1 to 99 are for this.
"""

import math
import random
from itertools import chain

import pytest

from hitless.verdict import Arm, Errors, Exchangeable, Latency, Tick, Verdict, requests_to_see

DAY_S = 86_400


def poisson(draw, mean):
    if mean > 50:
        return max(0, round(draw.gauss(mean, math.sqrt(mean))))
    limit, k, product = math.exp(-mean), 0, draw.random()
    while product > limit:
        k, product = k + 1, product * draw.random()
    return k


def bad_events(draw, *, rps, p, split, ratio=1.0, onset=0.0, seconds=DAY_S, swing=0.0):
    """Yield (second, canary requests, bad, baseline requests, bad) where something was bad, as a thinned Poisson process."""
    t = 0.0
    while True:
        share = split(t) if callable(split) else split
        worse = ratio if t >= onset else 1.0
        peak = rps * p * (1 + swing) ** 2 * (1 + share * (max(ratio, 1.0) - 1))
        t += draw.expovariate(peak)
        if t >= seconds:
            return
        day = 2 * math.pi * t / DAY_S
        traffic, rate = 1 + swing * math.sin(day), p * (1 + swing * math.sin(day + 1.9))
        here = rps * traffic * rate * (1 + share * (worse - 1))
        if draw.random() * peak >= here:
            continue
        mine = draw.random() < share * worse / (1 + share * (worse - 1))
        n, m = poisson(draw, rps * share * traffic), poisson(draw, rps * (1 - share) * traffic)
        yield int(t), n + mine, int(mine), m + (not mine), int(not mine)


def rolled_back_at(events, verdict=None):
    verdict = verdict or Verdict([Errors()], silence_s=DAY_S)
    last, pending = None, (0, 0, 0, 0)
    for t, *counts in events:
        if last is not None and t > last and verdict.feed(tick(last, pending)).kind == "roll back":
            return last
        pending = (
            tuple(counts) if t != last else (pending[0], pending[1] + counts[1], pending[2], pending[3] + counts[3])
        )
        last = t
    return last if last is not None and verdict.feed(tick(last, pending)).kind == "roll back" else None


def tick(t, counts):
    n, c, m, b = counts
    return Tick(t, Arm(max(n, c), c), Arm(max(m, b), b))


@pytest.mark.parametrize(("split", "runs"), [(0.01, 100), (0.05, 100), (0.5, 100)])
def test_of_300_healthy_days_hardly_any_is_taken_back(split, runs):
    alarms = sum(
        rolled_back_at(bad_events(random.Random(seed), rps=100, p=0.00005, split=split, swing=0.5)) is not None
        for seed in range(1, runs)
    )
    assert alarms <= 5  # 1 in the mean; more than 5 once in 1,700 such tests


def test_one_user_who_always_fails_takes_hardly_any_healthy_version_back():
    """He is in the canary from the first second. Without the rule of the second bad user 11 in the mean."""
    alarms = sum(
        rolled_back_at(
            chain([(0, 6, 1, 95, 0)], bad_events(random.Random(seed), rps=100, p=0.001, split=0.05, seconds=7200))
        )
        is not None
        for seed in range(1, 300)
    )
    assert alarms <= 7  # 2 in the mean; more than 7 once in 900 such tests


@pytest.mark.parametrize(
    ("p", "split", "ratio"),
    [(0.001, 0.01, 5), (0.001, 0.05, 2), (0.001, 0.05, 20), (0.01, 0.05, 1.5), (0.01, 0.5, 2), (0.01, 0.01, 5)],
)
def test_a_bad_version_reaches_few_users_more_than_the_bound(p, split, ratio):
    bound = requests_to_see(ratio, p, split)
    seconds = bound * 12 / (1000 * split)
    runs = [
        rolled_back_at(bad_events(random.Random(seed), rps=1000, p=p, split=split, ratio=ratio, seconds=seconds))
        for seed in range(1, 21)
    ]
    assert None not in runs
    exposed = sum(runs) / len(runs) * 1000 * split
    assert exposed < 1.75 * bound + 2 * 1000 * split  # the mean of 20 wobbles by a fifth; a second is counted whole


def test_a_ramp_is_no_false_alarm_and_hides_nothing():
    def ramp(t):
        return (0.01, 0.05, 0.25, 0.5)[min(int(t // 300), 3)]

    healthy = [
        rolled_back_at(bad_events(random.Random(k), rps=1000, p=0.0005, split=ramp, seconds=3600)) for k in range(1, 16)
    ]
    bad = [
        rolled_back_at(bad_events(random.Random(k), rps=1000, p=0.002, split=ramp, ratio=2.0, seconds=1200))
        for k in range(1, 21)
    ]
    assert sum(each is not None for each in healthy) <= 3
    assert sorted(bad)[5] < 600


@pytest.mark.parametrize(("onset", "ratio"), [(1800, 5), (14_400, 5)])
def test_a_version_that_turns_bad_after_hours_is_seen(onset, ratio):
    delays = []
    for seed in range(1, 11):
        events = bad_events(
            random.Random(seed), rps=1000, p=0.001, split=0.05, ratio=ratio, onset=onset, seconds=onset + 3600
        )
        delays.append((rolled_back_at(events) or math.inf) - onset)
    assert sorted(delays)[2] < 5 * 28  # the best that is told the moment and the ratio needs 28 s in the mean


def test_bursts_of_one_user_count_once():
    alarms = 0
    for seed in range(1, 21):
        draw = random.Random(seed)
        events = list(bad_events(draw, rps=1000, p=0.0005, split=0.05, seconds=7200))
        for _ in range(60):  # users who hammer: each counts once
            mine = draw.random() < 0.05
            events.append((draw.randrange(7200), 50 + mine, int(mine), 951 - mine, int(not mine)))
        alarms += rolled_back_at(sorted(events)) is not None
    assert alarms <= 2


def test_without_users_neither_bursts_nor_a_chronic_user_are_evidence():
    for chronic in (False, True):
        alarms = 0
        for seed in range(1, 11):
            draw, verdict = random.Random(seed), Verdict([Exchangeable()], breaker=False)
            for minute in range(60):
                bad = [poisson(draw, 0.6) for _ in range(100)]
                if minute % 2:
                    bad[draw.randrange(100)] += 50
                if chronic:
                    bad[0] += 60
                parts = [(max(600, each), each) for each in bad]
                arms = (
                    Arm(sum(n for n, _ in part), sum(k for _, k in part), parts=tuple(part))
                    for part in (parts[:5], parts[5:])
                )
                alarms += verdict.feed(Tick(minute * 60, *arms)).kind == "roll back"
        assert alarms == 0


def test_a_slower_tail_is_seen_and_an_equal_one_is_not():
    def histogram(draw, many, stretch):
        counts = {}
        for _ in range(many):
            ms = math.exp(draw.gauss(math.log(100), 0.6))
            ms = ms if ms < 268 else 268 + (ms - 268) * stretch
            bucket = min(math.ceil(math.log(ms, 1.1)), 116)
            counts[bucket] = counts.get(bucket, 0) + 1
        return counts

    for stretch, kinds in ((1.0, {"continue"}), (2.5, {"roll back"})):
        for seed in range(1, 4):
            draw, verdict = random.Random(seed), Verdict([Latency(at="p99")])
            for t in range(90):
                ours, theirs = histogram(draw, 40, stretch), histogram(draw, 300, 1.0)
                decision = verdict.feed(Tick(t, Arm(40, 0, ours), Arm(300, 0, theirs)))
            assert {decision.kind} == kinds
