"""Little traffic: evidence grows with the requests, however few of them share a second."""

import itertools
import math
import random
from statistics import mean

import pytest

from hitless.verdict import Arm, Errors, Latency, Tick, Verdict, requests_to_see
from hitless.verdict.together import ENOUGH, LONGEST_S, Block, Together


def trickle(draw, seconds, rps, split, p, ratio=1.0):
    for t in range(seconds):
        ours = theirs = c = b = 0
        if draw.random() < rps:
            if draw.random() < split:
                ours, c = 1, int(draw.random() < p * ratio)
            else:
                theirs, b = 1, int(draw.random() < p)
        yield Tick(t, Arm(ours, c), Arm(theirs, b))


@pytest.mark.parametrize(("rps", "split", "ratio"), [(0.1, 0.5, 20.0), (0.5, 0.1, 20.0)])
def test_one_request_in_seconds_decides_after_about_as_many_users_as_the_bound_says(rps, split, ratio):
    exposed = []
    for seed in range(1000, 1012):
        verdict, users = Verdict([Errors()], breaker=False), 0
        for tick in trickle(random.Random(seed), 40_000, rps, split, 0.01, ratio):
            users += tick.canary.requests
            if verdict.feed(tick).kind == "roll back":
                break
        exposed.append(users)
    assert mean(exposed) < 2.5 * requests_to_see(ratio, 0.01, split)


def test_a_healthy_canary_with_little_traffic_is_left_alone():
    for seed in range(1000, 1020):
        verdict = Verdict([Errors(), Latency()], breaker=False)
        kinds = {verdict.feed(tick).kind for tick in trickle(random.Random(seed), 3000, 0.5, 0.3, 0.05)}
        assert "roll back" not in kinds


def test_blocks_close_by_requests_alone_and_nothing_is_lost_or_counted_twice():
    draw, together, fed, closed = random.Random(5), Together(), Block(), []
    for t in range(5000):
        second = Block(*(draw.choice((0, 0, 0, 1, 3)) for _ in range(4)))
        fed = Block(*(a + b for a, b in zip(fed, second, strict=True)))
        closed += together.add(second, float(t))
        again = Together()
        again.restore(together.state())
        assert again.state() == together.state()
        together = again
    rest = together.state()[:4]
    assert all(block.requests >= ENOUGH for block in closed)
    assert [sum(column) for column in zip(*closed, rest, strict=True)] == list(fed)


def test_a_block_ends_after_its_longest_time_too():
    together = Together()
    assert together.add(Block(1, 1, 0, 0), 0.0) == []
    assert together.add(Block(0, 0, 0, 0), LONGEST_S - 1) == []
    assert together.add(Block(0, 0, 2, 0), LONGEST_S) == [Block(1, 1, 0, 0)]
    assert together.state() == [0, 0, 2, 0, LONGEST_S]


def test_a_drift_within_a_block_and_any_arrival_of_requests_leave_the_bet_fair():
    """Enumerated: three seconds of one request each, each going to either arm by chance, with its own bad rate."""
    share, rates, ratio = 0.3, (0.01, 0.5, 0.95), 3.0
    expected = 0.0
    for outcome in itertools.product(((1, 0), (1, 1), (0, 0), (0, 1)), repeat=len(rates)):  # canary or not, bad or not
        chance, block = 1.0, [0, 0, 0, 0]
        for (ours, bad), rate in zip(outcome, rates, strict=True):
            chance *= (share if ours else 1 - share) * (rate if bad else 1 - rate)
            block[0 if ours else 2] += 1
            block[1 if ours else 3] += bad
        n, c, m, b = block
        w = n / (n + m)
        law = sum(
            math.comb(n, k) * math.comb(m, c + b - k) * ratio**k for k in range(min(n, c + b) + 1) if c + b - k <= m
        )
        expected += chance * ratio**c * math.comb(n + m, c + b) / law
        assert (1 + w * (ratio - 1)) ** (c + b) >= law / math.comb(n + m, c + b) * (1 - 1e-12)
    assert expected == pytest.approx(1.0, abs=1e-12)


def test_latencies_of_seconds_with_one_arm_alone_count_and_those_that_were_not_told_do_not():
    def found(first, second):
        verdict = Verdict([Latency()])
        for t in range(6000):
            canary = Arm(2, 0, {60: 2} if t % 10 == 9 and t > 4000 else {40: 2})
            if t % 2:
                decision = verdict.feed(Tick(t, canary, first))
            else:
                decision = verdict.feed(Tick(t, second, Arm(2, 0, {40: 2})))
        return decision

    alone = found(Arm(0, 0, {}), Arm(0, 0))
    assert (alone.kind, alone.guard) == ("roll back", "latency")
    untold = found(Arm(3, 0), Arm(3, 0))
    assert (untold.kind, untold.e_value) == ("hold", 1.0)
