"""Before the first user: how many requests a step needs to see a regression of a given size."""

import math


def nats_per_request(ratio: float, rate: float, share: float, tolerated: float = 1.0) -> float:
    """Return the evidence that one canary request brings when bad events are `ratio` times as frequent.

    I = p (r ln(r/r0) - (1 + w(r-1)) ln((1 + w(r-1)) / (1 + w(r0-1))) / w), the relative entropy of the conditional
    binomial (Lindon & Malek 2022) for a baseline rate p, a canary share w and a tolerated ratio r0.
    """
    if not (0.0 < rate < 1.0 and 0.0 < share < 1.0 and ratio > tolerated >= 1.0):
        raise ValueError(f"ratio={ratio}, rate={rate}, share={share}, tolerated={tolerated} make no test")
    mean, null = 1.0 + share * (ratio - 1.0), 1.0 + share * (tolerated - 1.0)
    return rate * (ratio * math.log(ratio / tolerated) - mean * math.log(mean / null) / share)


def requests_to_see(ratio: float, p: float, split: float, alpha: float = 0.01, tolerated: float = 1.0) -> int:
    """Return how many canary requests the best possible test needs to see `ratio`, on average.

    `p` is the bad rate of the baseline, `split` the canary's share of the requests. Raises ValueError where no number
    of requests would do.
    """
    return math.ceil(math.log(1.0 / alpha) / nats_per_request(ratio, p, split, tolerated))


def conversions_to_see(lost: float, split: float, alpha: float = 0.01, margin: float = 0.0) -> int:
    """Return how many canary users, who would convert with the baseline, it takes to see that a part does not.

    `lost` is that part, `margin` the one that may be lost. Users in all: this over the rate of conversion. It is
    `nats_per_request` for a ratio below one. Raises ValueError where no number of users would do.
    """
    if not (0.0 <= margin < lost < 1.0 and 0.0 < split < 1.0):
        raise ValueError(f"lost={lost}, margin={margin}, split={split} make no test")
    kept, null = 1.0 - lost, 1.0 - margin
    mean, least = 1.0 - split * lost, 1.0 - split * margin
    return math.ceil(math.log(1.0 / alpha) / (kept * math.log(kept / null) - mean * math.log(mean / least) / split))


def seconds_to_see(
    ratio: float, p: float, split: float, rps: float, alpha: float = 0.01, tolerated: float = 1.0
) -> float:
    """Return how long that takes at `rps` requests per second of both arms together."""
    return requests_to_see(ratio, p, split, alpha, tolerated) / (rps * split)


def spend(alpha: float, shares: int) -> tuple[float, ...]:
    """Return one alpha for each of several tests of one run, so that together they keep `alpha`.

    One `Verdict` over all steps of a run needs no such split, since its bets follow the share of each second.
    """
    if shares < 1:
        raise ValueError(f"{shares} tests share no alpha")
    return (alpha / shares,) * shares
