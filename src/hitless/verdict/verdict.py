"""The verdict: all guards together, one false-alarm probability for the whole run."""

import math
from collections.abc import Sequence

from hitless.verdict.decision import Decision
from hitless.verdict.guard import Counts, Guard, Setting, Watch, arms
from hitless.verdict.state import decode, encode
from hitless.verdict.ticks import Tick, checked

SILENCE_S = 60  # without anything to compare: no evidence


class Verdict:
    """Says after each tick whether the canary is worse; may be looked at all the time.

    `alpha` is the probability that a healthy canary is ever rolled back, `beta` that one exactly at its limit is
    promoted, `horizon_s` the time that the run may take (evidence about late regressions is spread over it; the
    guarantee of `alpha` does not end with it). Nothing fires on fewer than `least_bad` bad events of the canary.
    The first `warmup_s` seconds are not looked at. After `silence_s` seconds without anything to compare it holds, and
    after `blind_s` (None: never) it rolls back. Raises ValueError for what cannot be.
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
    ) -> None:
        if not guards or len({guard.name for guard in guards}) != len(guards):
            raise ValueError("a verdict needs at least one guard, and names that differ")
        if not (0.0 < alpha < 1.0 and 0.0 < beta < 1.0 and 0.0 < horizon_s < math.inf):
            raise ValueError(f"alpha={alpha}, beta={beta}, horizon_s={horizon_s}: probabilities and seconds, please")
        self.guards, self.alpha, self.beta, self.horizon_s = tuple(guards), alpha, beta, horizon_s
        self.least_bad, self.warmup_s, self.silence_s, self.blind_s = least_bad, warmup_s, silence_s, blind_s
        total = math.fsum(guard.weight for guard in guards)
        self.weights = tuple(guard.weight / total for guard in guards)
        self.watches: tuple[Watch, ...] = tuple(
            guard.watch(Setting(1.0 / (alpha * weight), horizon_s, least_bad))
            for guard, weight in zip(guards, self.weights, strict=True)
        )
        self.first_t: int | None = None
        self.last_t: int | None = None
        self.seen_t: list[int | None] = [None] * len(guards)  # when each guard last had something to compare
        self.final: Decision | None = None

    def feed(self, tick: Tick) -> Decision:
        """Take the counts of one second and decide.

        The same second again changes nothing. Raises ValueError for an older one, and ValueError or TypeError for what
        is no count; nothing has changed then.
        """
        tick = checked(tick)
        if self.last_t is not None and tick.t <= self.last_t:
            if tick.t < self.last_t:
                raise ValueError(f"tick {tick.t} comes after tick {self.last_t}")
            return self.decide()
        if self.first_t is None:
            self.first_t = tick.t
        self.last_t = tick.t
        if self.final is None and tick.t - self.first_t >= self.warmup_s:
            self._look(tick, tick.t - self.first_t)
        decision = self.decide()
        if decision.kind in ("roll back", "promote"):
            self.final = decision
        return decision

    def _look(self, tick: Tick, elapsed_s: int) -> None:
        for index, (guard, watch) in enumerate(zip(self.guards, self.watches, strict=True)):
            canary, baseline = arms(guard, tick)
            if canary is not None and baseline is not None and watch.feed(canary, baseline, elapsed_s):
                self.seen_t[index] = tick.t

    def decide(self) -> Decision:
        """Return the decision as it stands after the last tick."""
        if self.final is not None:
            return self.final
        parts = [weight * watch.worse for weight, watch in zip(self.weights, self.watches, strict=True)]
        total = math.fsum(parts)
        lead = parts.index(max(parts))
        guard, watch = self.guards[lead], self.watches[lead]
        kind, reason = self._kind(total, watch.counts)
        threshold = 1.0 / self.alpha
        null = getattr(guard, "worse", 1.0)
        return Decision(kind, guard.name, reason, total, watch.counts, threshold, null)

    def _kind(self, total: float, counts: Counts) -> tuple[str, str]:
        if total * self.alpha >= 1.0:
            return "roll back", "worse"
        silent_s = self._silent_s()
        if silent_s >= self.silence_s:
            if self.blind_s is not None and silent_s >= self.blind_s:
                return "roll back", f"blind: nothing to compare for {silent_s} s"
            return "hold", f"no evidence for {silent_s} s"
        fine = [watch.fine for watch in self.watches if watch.fine is not None]
        if fine and min(fine) * self.beta >= 1.0:
            return "promote", "shown to be better than its limit"
        return "continue", "undecided"

    def _silent_s(self) -> int:
        """Return for how long the guard that waits longest has had nothing to compare."""
        if self.last_t is None or self.first_t is None:
            return 0
        since = min(self.first_t - 1 if seen is None else seen for seen in self.seen_t)
        return self.last_t - since

    def dump(self) -> bytes:
        """Return all that later decisions depend on, at most 64 KiB."""
        final = self.final
        state = {
            "settings": [self.alpha, self.beta, self.horizon_s],
            "options": [self.least_bad, self.warmup_s, self.silence_s, self.blind_s],
            "clock": [self.first_t, self.last_t],
            "seen": self.seen_t,
            "watches": [watch.state() for watch in self.watches],
            "final": None if final is None else [final.kind, final.guard, final.reason, final.e_value, *final.parts()],
        }
        return encode(self.guards, state)

    @classmethod
    def load(cls, data: bytes) -> "Verdict":
        """Return a verdict that decides on as the dumped one would, bit by bit; raises ValueError for other data."""
        guards, state = decode(data)
        try:
            least_bad, warmup_s, silence_s, blind_s = state["options"]
            verdict = cls(
                guards,
                *state["settings"],
                least_bad=least_bad,
                warmup_s=warmup_s,
                silence_s=silence_s,
                blind_s=blind_s,
            )
            verdict.first_t, verdict.last_t = state["clock"]
            verdict.seen_t = state["seen"]
            for watch, kept in zip(verdict.watches, state["watches"], strict=True):
                watch.restore(kept)
            if state["final"] is not None:
                kind, guard, reason, e_value, counts, threshold, null = state["final"]
                verdict.final = Decision(kind, guard, reason, e_value, Counts(*counts), threshold, null)
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no dumped verdict: {error!r}") from error
        return verdict
