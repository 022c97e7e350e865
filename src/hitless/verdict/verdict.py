"""The verdict: all guards together, one false-alarm probability for the whole run."""

import math
from collections.abc import Sequence
from typing import Any

from hitless.verdict.broken import Broken
from hitless.verdict.decision import FINAL, Decision
from hitless.verdict.guard import Counts, Guard, Setting, Watch, arms
from hitless.verdict.state import NO_DUMP, checked_guards, decode, encode
from hitless.verdict.ticks import Tick, checked, checked_numbers, count

SILENCE_S = 60  # without anything to compare: no evidence
BREAKER = "breaker"
LARGEST = 1e300  # evidence of one guard that can still be shared out


class Verdict:
    """Says after each tick whether the canary is worse; may be looked at all the time.

    `alpha` is the probability that a healthy canary is ever rolled back, `beta` that one exactly at its limit is
    promoted, `horizon_s` the time that the run may take (evidence about late regressions is spread over it; the
    guarantee of `alpha` does not end with it). The evidence of the guards is averaged by their weights, which is valid
    however they depend on one another. Nothing fires on fewer than `least_bad` bad events of the canary, except the
    `breaker`, which looks at what is plainly broken and is armed from the first second. The first `warmup_s` seconds
    are not compared. After `silence_s` seconds without anything to compare in one of the guards of the changed service
    it holds, and after `blind_s` (None: never) it rolls back. Raises ValueError or TypeError for what cannot be.
    """

    def __init__(
        self,
        guards: Sequence[Guard],
        alpha: float = 0.01,
        beta: float = 0.05,
        horizon_s: float = 86_400,
        *,
        least_bad: int = 3,
        warmup_s: int = 0,
        silence_s: int = SILENCE_S,
        blind_s: int | None = None,
        breaker: bool = True,
    ) -> None:
        checked_guards(guards)
        checked_numbers(alpha=alpha, beta=beta)
        if not (0.0 < alpha < 1.0 and 0.0 < beta < 1.0):
            raise ValueError(f"alpha={alpha}, beta={beta}: two probabilities")
        _checked_seconds("horizon_s", horizon_s, above=True)
        _checked_seconds("warmup_s", warmup_s)
        _checked_seconds("silence_s", silence_s, above=True)
        if blind_s is not None:
            _checked_seconds("blind_s", blind_s)
        least_bad = count(least_bad, "least_bad")
        if not isinstance(breaker, bool):
            raise TypeError(f"breaker={breaker}: yes or no")
        self.guards, self.alpha, self.beta, self.horizon_s = tuple(guards), alpha, beta, horizon_s
        self.options: dict[str, Any] = {
            "least_bad": least_bad,
            "warmup_s": warmup_s,
            "silence_s": silence_s,
            "blind_s": blind_s,
            "breaker": breaker,
        }
        self._silence_s, self._warmup_s = silence_s, warmup_s
        total = math.fsum(guard.weight for guard in guards) or 1.0
        self._weights = tuple(guard.weight / total for guard in guards)
        self._watches: tuple[Watch, ...] = tuple(
            guard.watch(Setting(1.0 / (alpha * weight) if alpha * weight else math.inf, horizon_s, least_bad, alpha))
            for guard, weight in zip(guards, self._weights, strict=True)
        )
        self._weighted = tuple(zip(self._weights, self._watches, strict=True))
        self._threshold, self._first = 1.0 / alpha, next((k for k, weight in enumerate(self._weights) if weight), 0)
        self._watched = tuple(zip(self.guards, self._watches, strict=True))
        self._absolute = [(guard, watch) for guard, watch in self._watched if not guard.weight]
        self._asked = [watch for watch in self._watches if watch.fine is not None]  # for a promotion
        self._broken = Broken() if breaker else None
        self._first_t: int | None = None
        self._last_t: int | None = None
        self._seen_t: list[int | None] = [None] * len(guards)  # when each guard last had something to compare
        awaited = [index for index, (guard, watch) in enumerate(self._watched) if not guard.on and watch.awaited]
        self._must = awaited or list(range(len(guards)))
        self._final: Decision | None = None

    def feed(self, tick: Tick) -> Decision:
        """Take the counts of one second and decide.

        The same second again changes nothing. Raises ValueError for an older one, and ValueError or TypeError for what
        is no count; nothing has changed then.
        """
        tick = checked(tick)
        if self._last_t is not None and tick.t <= self._last_t:
            if tick.t < self._last_t:
                raise ValueError(f"tick {tick.t} comes after tick {self._last_t}")
            return self.decide()
        if self._first_t is None:
            self._first_t = tick.t
        self._last_t = tick.t
        if self._final is None:
            self._look(tick, tick.t - self._first_t)
        decision = self.decide()
        if decision.kind in FINAL:
            self._final = decision
        return decision

    def _look(self, tick: Tick, elapsed_s: int) -> None:
        if self._broken is not None:
            self._broken.feed(tick)
        if elapsed_s < self._warmup_s:
            return
        for index, (guard, watch) in enumerate(self._watched):
            canary, baseline = arms(guard, tick)
            if canary is not None and baseline is not None and watch.feed(canary, baseline, elapsed_s):
                self._seen_t[index] = tick.t

    def decide(self) -> Decision:
        """Return the decision as it stands after the last tick."""
        if self._final is not None:
            return self._final
        parts = [weight * watch.worse for weight, watch in self._weighted]
        total, lead = (parts[0], 0) if len(parts) == 1 else (sum(parts), self._lead(parts))
        enough = total >= self._threshold and self._is_ready(parts)
        kind, name, reason = self._kind(self.guards[lead].name, enough=enough, silent=not total)
        shown = min(total, self._threshold)  # with what jumps over it this were no e-value
        watch = self._watches[lead]
        return Decision(kind, name, reason, shown, watch.counts, self._threshold, watch.null)

    def _lead(self, parts: Sequence[float]) -> int:
        """Return the guard with the most evidence; while nothing points to worse, the first that gathers evidence."""
        most = max(parts)
        lead = parts.index(most)
        return lead if most > self._weights[lead] else self._first

    def evidence(self) -> dict[str, float]:
        """Return each guard's part of the evidence; together they are `e_value`."""
        parts = [weight * min(watch.worse, LARGEST) for weight, watch in self._weighted]
        scale = min(1.0, self._threshold / (sum(parts) or 1.0))
        return {guard.name: part * scale for guard, part in zip(self.guards, parts, strict=True)}

    def doubts(self) -> dict[str, str]:
        """Return, by guard, why counts cannot be believed: of one guard, or all of them."""
        said = {guard.name: watch.doubt or watch.void for guard, watch in self._watched}
        return {name: why for name, why in said.items() if why}

    def _is_ready(self, parts: Sequence[float]) -> bool:
        """Tell whether the guards that have seen enough bad events reach the threshold without the others."""
        ready = sum([part for part, watch in zip(parts, self._watches, strict=True) if watch.ready])
        return ready >= self._threshold

    def _kind(self, lead: str, *, enough: bool, silent: bool) -> tuple[str, str, str]:
        """Return kind, guard and reason. What is broken comes first, then what is worse, then what is not known."""
        if (plain := self._plain()) is not None:
            return plain
        if enough:
            return "roll back", lead, "worse"
        doubt = ""
        for watch in self._watches:
            doubt = doubt or watch.doubt
        if doubt and silent:
            return "hold", lead, doubt
        if (silent_s := self._silent_s()) >= self._silence_s:
            return self._silent(silent_s, lead)
        if self._asked and min([watch.fine or 0.0 for watch in self._asked]) * self.beta >= 1.0:
            return "promote", lead, "shown to be better than its limit"
        return "continue", lead, doubt or self._waits() or "undecided"

    def _waits(self) -> str:
        """Return what evidence waits for that would be more without it."""
        waits = ""
        for watch in self._watches:
            waits = waits or watch.waits
        return waits

    def _plain(self) -> tuple[str, str, str] | None:
        """Return what needs no statistics."""
        if self._broken is not None and self._broken.reason:
            return "roll back", BREAKER, self._broken.reason
        for guard, watch in self._absolute:
            if watch.alarm:
                return "roll back", guard.name, watch.alarm
            if watch.void:
                return "hold", guard.name, watch.void
        return None

    def _silent(self, silent_s: int, lead: str) -> tuple[str, str, str]:
        blind_s = self.options["blind_s"]
        if blind_s is not None and silent_s >= blind_s:
            return "roll back", lead, f"blind: nothing to compare for {silent_s} s"
        return "hold", lead, f"no evidence for {silent_s} s"

    def _silent_s(self) -> int:
        """Return for how long the guard that waits longest has had nothing to compare."""
        if self._last_t is None or self._first_t is None:
            return 0
        before = self._first_t - 1
        silent_s = 0
        for index in self._must:
            seen = self._seen_t[index]
            silent_s = max(silent_s, self._last_t - (before if seen is None else seen))
        return silent_s

    def dump(self) -> bytes:
        """Return all that later decisions depend on, at most 64 KiB."""
        final = self._final
        state = {
            "settings": [self.alpha, self.beta, self.horizon_s],
            "options": self.options,
            "clock": [self._first_t, self._last_t],
            "seen": self._seen_t,
            "watches": [watch.state() for watch in self._watches],
            "broken": None if self._broken is None else self._broken.state(),
            "final": None if final is None else [final.kind, final.guard, final.reason, final.e_value, *final.parts()],
        }
        return encode(self.guards, state)

    @classmethod
    def load(cls, data: bytes) -> "Verdict":
        """Return a verdict that decides on as the dumped one would, bit by bit; raises ValueError for other data."""
        guards, state = decode(data)
        try:
            verdict = cls(guards, *state["settings"], **state["options"])
            verdict._restore(state)
        except NO_DUMP as error:
            raise ValueError(f"this is no dumped verdict: {error!r}") from error
        return verdict

    def _restore(self, state: dict[str, Any]) -> None:
        self._first_t, self._last_t = state["clock"]
        self._seen_t = state["seen"]
        for watch, kept in zip(self._watches, state["watches"], strict=True):
            watch.restore(kept)
        if self._broken is not None:
            self._broken.restore(state["broken"])
        if state["final"] is not None:
            kind, guard, reason, e_value, counts, threshold, null = state["final"]
            self._final = Decision(kind, guard, reason, e_value, Counts(*counts), threshold, null)


def _checked_seconds(name: str, value: float, *, above: bool = False) -> None:
    """Raise TypeError or ValueError for what is no length of time; `above`: 0 is none either."""
    checked_numbers(**{name: value})
    if not 0.0 <= value < math.inf or (above and not value):
        raise ValueError(f"{name}={value}: seconds, {'more than 0' if above else '0 or more'}")
