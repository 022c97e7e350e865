"""The test of one changed service: its users against those of the version before, at every service they touch. Pure.

One test goes on over all steps of a run, so one probability of a false alarm holds for the whole run and evidence need
not be gathered anew at each step. Whether the new version is *fine* is asked anew at each step.
"""

import base64
import binascii
import math
from collections.abc import Iterable
from typing import Any

from hitless.plan.instances import Slot
from hitless.signals.metrics import Window
from hitless.signals.ports import ArmCount, Second
from hitless.signals.steps import Watch
from hitless.verdict import Arm, Decision, Errors, Latency, Tick, Verdict

BETA = 0.05  # that a version exactly at the limit is called fine
FINE_BELOW = 2.0  # times the errors of the baseline; more where more is tolerated
ERRORS, LATENCY = 0.6, 0.25  # parts of alpha
ELSEWHERE, METRICS = 0.15, 0.3  # shared by all other services, and by all counters that others measure
AT = "errors at "  # name of a guard on another service
METRIC = "metric "  # before the name of a counter, so that it is no service
LARGEST = 1e300  # an e-value that JSON can hold

NOTHING = ArmCount()


class Comparison:
    """Compares both versions of one service, second by second."""

    def __init__(self, step: Watch) -> None:
        self._worse = Verdict(_guards(step), alpha=step.alpha, horizon_s=step.horizon_s, breaker=False)  # harm.py is it
        self._fine = _fine(step)

    def next_step(self, step: Watch) -> None:
        """Go on with the next step of the same run."""
        self._fine = _fine(step)

    def feed(self, second: Second, step: Watch, windows: Iterable[Window] = ()) -> None:
        """Take a second, later than all before, and what others measured meanwhile.

        A second with lost records shows nothing of either arm.
        """
        tick = _tick(second, step, windows)
        self._worse.feed(tick)
        self._fine.feed(tick)

    @property
    def decision(self) -> Decision:
        """What is known against the new version."""
        return self._worse.decide()

    @property
    def is_worse(self) -> bool:
        """Whether it must go back."""
        return self.decision.kind == "roll back"

    @property
    def is_fine(self) -> bool:
        """Whether it was shown, since the step began, to be better than the limit."""
        return not self.is_worse and self._fine.decide().kind == "promote"

    def numbers(self) -> dict[str, Any]:
        """Write down what is known, for the journal: only numbers that JSON can hold."""
        decision = self.decision
        ratio = decision.ratio
        users = decision.users
        return {
            "watches": decision.guard,
            "e_value": min(decision.e_value, LARGEST),
            "threshold": 1.0 / self._worse.alpha,
            "ratio": None if ratio is None else {key: _finite(value) for key, value in ratio._asdict().items()},
            "compared": {
                "canary": {"users": users.canary, "bad_users": users.canary_bad},
                "baseline": {"users": users.baseline, "bad_users": users.baseline_bad},
            },
            "users_needed": decision.users_needed,
        }

    def dump(self) -> dict[str, str]:
        """Return all that later decisions depend on."""
        return {name: base64.b64encode(each.dump()).decode() for name, each in self._parts().items()}

    def restore(self, kept: dict[str, str]) -> None:
        """Go on where `dump` left off, bit by bit. Raises ValueError for anything else."""
        try:
            self._worse, self._fine = (Verdict.load(base64.b64decode(kept[name])) for name in ("worse", "fine"))
        except (KeyError, TypeError, binascii.Error) as error:
            raise ValueError(f"this is no comparison that was kept: {error!r}") from None

    def _parts(self) -> dict[str, Verdict]:
        return {"worse": self._worse, "fine": self._fine}


def harm_in_words(decision: Decision, step: Watch) -> str:
    """Say what the new version does, and where, with the numbers."""
    users, ratio = decision.users, decision.ratio
    new = f"{step.service} {step.canary_version}" if step.canary_version else f"the new version of {step.service}"
    old = step.baseline_version or "the old one"
    if decision.guard == "latency":
        return (
            f"{new} is slower than {step.latency_worse:g} times {old} at {step.latency_at}, "
            f"by {users.canary} requests against {users.baseline}"
        )
    measured = decision.guard in {each.name for each in step.metrics}
    who = f"by {decision.guard}, requests" if measured else "users"
    where = f" at {decision.guard.removeprefix(AT)}" if decision.guard.startswith(AT) else ""
    times = f"{ratio.value:.3g} times as often" if ratio and math.isfinite(ratio.value) else "where others do not"
    return (
        f"{who} of {new} fail{where} {times}: {users.canary_bad} of {users.canary} "
        f"against {users.baseline_bad} of {users.baseline}"
    )


def _guards(step: Watch) -> list[Errors | Latency]:
    others = [
        Errors(worse=step.errors_worse, on=name, name=f"{AT}{name}", weight=ELSEWHERE / len(step.elsewhere))
        for name in step.elsewhere
    ]
    measured = [
        Errors(worse=each.worse, on=f"{METRIC}{each.name}", name=each.name, weight=METRICS / len(step.metrics))
        for each in step.metrics
    ]
    return [
        Errors(worse=step.errors_worse, weight=ERRORS),
        Latency(worse=step.latency_worse, at=step.latency_at, weight=LATENCY),
        *others,
        *measured,
    ]


def _fine(step: Watch) -> Verdict:
    limit = max(FINE_BELOW, step.errors_worse)
    guards = [Errors(worse=step.errors_worse, fine_below=limit)]
    return Verdict(guards, alpha=step.alpha, beta=BETA, horizon_s=step.horizon_s, breaker=False)


def _tick(second: Second, step: Watch, windows: Iterable[Window]) -> Tick:
    places: dict[str, tuple[Arm | None, Arm | None]] = {
        f"{METRIC}{each.metric}": (_plain(each.canary), _plain(each.baseline))
        if each.canary and each.baseline
        else (None, None)
        for each in windows
    }
    if second.lost:
        return Tick(second.at, None, None, places)
    for name in step.elsewhere:
        canary, baseline = (
            second.elsewhere.get((step.service, slot, name), NOTHING) for slot in (step.canary, step.baseline)
        )
        places[name] = _plain(canary), _plain(baseline)
    return Tick(second.at, _arm(second, step, step.canary), _arm(second, step, step.baseline), places)


def _arm(second: Second, step: Watch, slot: Slot) -> Arm:
    count = second.arms.get((step.service, slot), NOTHING)
    return Arm(count.users, count.bad_users, count.latency)


def _plain(count: ArmCount) -> Arm:
    return Arm(count.users, count.bad_users)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
