"""The test of one changed service: its users against those of the version before, at every service they touch. Pure.

One test goes on over all steps of a run, so one probability of a false alarm holds for the whole run and evidence need
not be gathered anew at each step. Whether the new version is *fine* is asked anew at each step.
"""

import base64
import binascii
import math
from collections.abc import Iterable
from typing import Any

from hitless.signals import guards
from hitless.signals.guards import AT, NO_ENDS, Ends
from hitless.signals.metrics import Full, Window
from hitless.signals.ports import Second
from hitless.signals.steps import Watch
from hitless.verdict import Decision, Verdict

BETA = 0.05  # that a version exactly at the limit is called fine
LARGEST = 1e300  # an e-value that JSON can hold


class Comparison:
    """Compares both versions of one service, second by second."""

    def __init__(self, step: Watch) -> None:
        self._worse = Verdict(
            guards.against(step), alpha=guards.alpha_against(step), horizon_s=step.horizon_s, breaker=False
        )
        self._begin(step)

    def _begin(self, step: Watch) -> None:
        self._fine = Verdict(guards.fine(step), alpha=step.alpha, beta=BETA, horizon_s=step.horizon_s, breaker=False)
        shares = guards.shares(step)
        self._shares = Verdict(shares, breaker=False) if shares else None

    def next_step(self, step: Watch) -> None:
        """Go on with the next step of the same run."""
        self._begin(step)

    def feed(self, second: Second, step: Watch, windows: Iterable[Window | Full] = (), ends: Ends = NO_ENDS) -> None:
        """Take a second, later than all before, what others measured meanwhile, and which processes ended.

        A second with lost records shows nothing of either arm.
        """
        tick = guards.tick(second, step, windows, ends)
        for verdict in self._parts().values():
            verdict.feed(tick)

    def feed_alone(self, second: Second, windows: Iterable[Window | Full]) -> None:
        """Take a second in which nobody is left to compare with: how full the new version is shows all the same."""
        self._worse.feed(guards.alone(second, windows))

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

    @property
    def void(self) -> str:
        """Why the comparison cannot be believed: the arms do not get the users that they were meant to get."""
        return "" if self._shares is None else next(iter(self._shares.doubts().values()), "")

    def numbers(self) -> dict[str, Any]:
        """Write down what is known, for the journal: only numbers that JSON can hold."""
        decision = self.decision
        ratio = decision.ratio
        users, needed = decision.users, decision.needed
        return {
            "watches": decision.guard,
            "e_value": min(decision.e_value, LARGEST),
            "threshold": 1.0 / self._worse.alpha,
            "ratio": None if ratio is None else {key: _finite(value) for key, value in ratio._asdict().items()},
            "compared": {
                "canary": {"users": users.canary, "bad_users": users.canary_bad},
                "baseline": {"users": users.baseline, "bad_users": users.baseline_bad},
            },
            "bad_below": decision.bad_below,
            "users_needed": decision.users_needed,
            "needed": None if needed is None else needed._asdict(),
            "evidence": {name: min(part, LARGEST) for name, part in self._worse.evidence().items()},
            "doubts": [*self._worse.doubts().values(), *filter(None, [self.void])],
        }

    def dump(self) -> dict[str, str]:
        """Return all that later decisions depend on."""
        return {name: base64.b64encode(each.dump()).decode() for name, each in self._parts().items()}

    def restore(self, kept: dict[str, str]) -> None:
        """Go on where `dump` left off, bit by bit. Raises ValueError for anything else."""
        try:
            read = {name: Verdict.load(base64.b64decode(data)) for name, data in kept.items()}
            self._worse, self._fine = read["worse"], read["fine"]
            self._shares = read.get("shares", self._shares)  # none was kept: it begins now, with the alpha set aside
        except (KeyError, TypeError, binascii.Error) as error:
            raise ValueError(f"this is no comparison that was kept: {error!r}") from None

    def _parts(self) -> dict[str, Verdict]:
        parts = {"worse": self._worse, "fine": self._fine}
        return parts if self._shares is None else parts | {"shares": self._shares}


def harm_in_words(decision: Decision, step: Watch) -> str:
    """Say what the new version does, and where, with the numbers."""
    users, ratio = decision.users, decision.ratio
    new = f"{step.service} {step.canary_version}" if step.canary_version else f"the new version of {step.service}"
    old = step.baseline_version or "the old one"
    times = f"{ratio.value:.3g} times as often" if ratio and math.isfinite(ratio.value) else "where others do not"
    bad = f"{users.canary_bad} of {users.canary} against {users.baseline_bad} of {users.baseline}"
    match decision.guard:
        case "latency":
            return (
                f"{new} is slower than {step.latency_worse:g} times {old} at {step.latency_at}, "
                f"by {users.canary} requests against {users.baseline}"
            )
        case "business" if step.conversion is not None:
            done = f"do not {step.conversion.method} to {step.conversion.at} in time"
            return f"users of {new} {done} {times}: {bad}"
        case "crashes":
            return f"instances of {new} end by themselves {times}: {bad} seconds"
        case name if name in {load.name for load in step.loads}:
            return f"{new}: {decision.reason}"
        case name:
            measured = name in {each.name for each in step.metrics}
            who = f"by {name}, requests" if measured else "users"
            where = f" at {name.removeprefix(AT)}" if name.startswith(AT) else ""
            return f"{who} of {new} fail{where} {times}: {bad}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
