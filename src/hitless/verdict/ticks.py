"""What is counted in one second, in both arms, and the refusal of everything that is no count."""

import operator
from collections.abc import Mapping
from typing import NamedTuple

from hitless.verdict.buckets import EDGES

LARGEST = 2**53  # a count, or a second; up to here floats count one by one, and sums over all seconds stay finite
MOST_PARTS = 256  # of one arm


class Arm(NamedTuple):
    """What the users of one version met in one second.

    `requests` are requests of users not yet bad, `bad` is the first bad request of a user; a source that has no users
    counts plain requests and then needs `Exchangeable` instead of `Errors`. `latency` maps the index of a bucket of
    `EDGES` to a number of requests. `crashes` are ends of processes that nobody asked for, out of `instances` running.
    `users` are users that were assigned to this arm in this second. `load` is the fullness of the scarcest resource.
    `parts` are (requests, bad) of equal hash groups of this arm, at most 256, always in the same order.
    No number is above 2**53.
    """

    requests: int
    bad: int
    latency: Mapping[int, int] | None = None
    crashes: int = 0
    instances: int = 0
    users: int = 0
    load: float | None = None
    parts: tuple[tuple[int, int], ...] = ()


class Tick(NamedTuple):
    """One closed second of both arms, by one clock. An arm of which nothing is known is None, not zero.

    `places` holds further pairs (canary, baseline) by name: other services that the same users touch, or cohorts of
    users that closed in this second with `bad` of them not converted.
    """

    t: int
    canary: Arm | None
    baseline: Arm | None
    places: Mapping[str, tuple[Arm | None, Arm | None]] | None = None


def count(value: object, name: str) -> int:
    """Return a whole number >= 0; raises TypeError for what is no number, ValueError for one that is no count."""
    if type(value) is int:
        number = value
    elif isinstance(value, bool):
        raise TypeError(f"{name} is {value}, which is no count")
    elif isinstance(value, float):
        if not value.is_integer():  # NaN and infinity are not either
            raise ValueError(f"{name} is {value}, which is no count")
        number = int(value)
    else:
        try:
            number = operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            raise TypeError(f"{name} is {value!r}, which is no count") from None
    if number < 0:
        raise ValueError(f"{name} is {number}, and a count is never negative")
    if number > LARGEST:
        raise ValueError(f"{name} has {number.bit_length()} bits, and no count is above 2**53")
    return number


def checked_numbers(**settings: object) -> None:
    """Raise TypeError for a setting that is no plain number, so that all that is accepted can be dumped too."""
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name}={value!r} is no number: int or float")


def checked_arm(arm: Arm | None, name: str) -> Arm | None:
    """Return the arm with counts that are counts; raises TypeError or ValueError and has then changed nothing."""
    if arm is None:
        return None
    if not isinstance(arm, Arm):
        raise TypeError(f"{name} is {arm!r}, not an Arm")
    requests, bad = arm.requests, arm.bad
    if type(requests) is not int or type(bad) is not int or not 0 <= bad <= requests <= LARGEST:
        requests, bad = count(requests, f"{name}.requests"), count(bad, f"{name}.bad")
        if bad > requests:
            raise ValueError(f"{name} has {bad} bad of {requests} requests")
        arm = arm._replace(requests=requests, bad=bad)
    return arm if arm[2:] == _PLAIN else _checked_rest(arm, name)


_PLAIN = Arm(0, 0)[2:]


def _checked_rest(arm: Arm, name: str) -> Arm:
    latency = None if arm.latency is None else _checked_latency(arm.latency, name)
    if arm.load is not None and (isinstance(arm.load, bool) or not 0 <= arm.load < float("inf")):
        raise ValueError(f"{name}.load is {arm.load}")
    if len(arm.parts) > MOST_PARTS:
        raise ValueError(f"{name} has {len(arm.parts)} parts, and at most {MOST_PARTS} are compared")
    parts = tuple((count(n, f"{name}.parts"), count(k, f"{name}.parts")) for n, k in arm.parts)
    if any(bad > requests for requests, bad in parts):
        raise ValueError(f"{name}.parts has more bad than requests")
    if arm[3:] == _PLAIN[1:]:
        return arm if latency is arm.latency else arm._replace(latency=latency)
    return arm._replace(
        latency=latency,
        crashes=count(arm.crashes, f"{name}.crashes"),
        instances=count(arm.instances, f"{name}.instances"),
        users=count(arm.users, f"{name}.users"),
        parts=parts,
    )


def _checked_latency(latency: object, name: str) -> Mapping[int, int]:
    if not isinstance(latency, Mapping):
        raise TypeError(f"{name}.latency is {latency!r}, no mapping of buckets to counts")
    if not latency:
        return latency
    many = latency.values()
    plain = set(map(type, latency)) == {int} and set(map(type, many)) == {int} and min(many) >= 0 <= min(latency)
    plain = plain and max(many) <= LARGEST
    if not plain:
        latency = {count(bucket, f"{name}.latency"): count(many, f"{name}.latency") for bucket, many in latency.items()}
    if max(latency) > len(EDGES):
        raise ValueError(f"{name}.latency has bucket {max(latency)}; the last one is {len(EDGES)}")
    return latency


def checked(tick: Tick) -> Tick:
    """Return the tick with every count checked; raises TypeError or ValueError and has then changed nothing."""
    if not isinstance(tick, Tick):
        raise TypeError(f"{tick!r} is not a Tick")
    if type(tick.t) is not int:
        tick = tick._replace(t=_second(tick.t))
    if not -LARGEST <= tick.t <= LARGEST:
        raise ValueError(f"t has {tick.t.bit_length()} bits, and no second is above 2**53")
    canary, baseline = checked_arm(tick.canary, "canary"), checked_arm(tick.baseline, "baseline")
    places = tick.places
    if places is not None:
        _check_names(places)
        places = {
            name: (checked_arm(ours, f"{name} canary"), checked_arm(theirs, f"{name} baseline"))
            for name, (ours, theirs) in places.items()
        }
    if canary is tick.canary and baseline is tick.baseline and places is None:
        return tick
    return Tick(tick.t, canary, baseline, places)


def _second(value: object) -> int:
    """Return the second, which may lie before 0; raises TypeError or ValueError for what is none."""
    below = not isinstance(value, bool | str) and value < 0  # type: ignore[operator]
    return -count(-value, "t") if below else count(value, "t")  # type: ignore[operator]


def _check_names(places: object) -> None:
    if not isinstance(places, Mapping) or not all(isinstance(name, str) for name in places):
        raise TypeError(f"places are {places!r}, no mapping of names to pairs of arms")
