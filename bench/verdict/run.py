"""VERDICT-1: how often healthy canaries are taken back, and how many users a bad one reaches, with other rules beside.

    python bench/verdict/run.py [--seed 7] [--scale 1.0] [--only power,healthy,...]

Every rule sees the streams one second at a time and never later ones. `--scale` multiplies the number of runs: 1 takes
half an hour on one core, 0.1 some minutes. Exit 1 if a must was missed. Needs numpy.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import incumbents
import numpy as np
from engine import run, run_groups, run_latency
from streams import DAY_S, Streams, grouped, kl_conditional, latency_chances, make, with_bursts, with_chronic

from hitless.verdict import Arm, Errors, Tick, Verdict

CELLS = [(p, rps, split) for p in (0.001, 0.01) for rps in (100, 5000) for split in (0.01, 0.05, 0.5)]
RATIOS = (1.5, 2.0, 5.0, 20.0)
CHRONIC: dict[str, tuple[int, ...]] = {  # seconds in which he counts; none: when hitless counts him
    "counted once": (0,),
    "hitless' pauses": (),
    "1, 2, 4 ... min": (0, 60, 180, 420, 900, 1860, 3780),
}
STEP_S = 3  # cells in which the oracle needs less are decided by the length of a second


@dataclass(frozen=True)
class Score:
    """One line of the table."""

    what: str
    ours: str
    must: str
    moonshot: str
    beside: str = ""
    fell_short: bool = False


def too_many(count: int, total: int, allowed: float) -> bool:
    """Tell whether so many are more than chance explains (three standard deviations)."""
    return count / total > allowed + 3 * math.sqrt(allowed * (1 - allowed) / total)


class Bench:
    """Holds the seed and the number of runs."""

    def __init__(self, seed: int, scale: float) -> None:
        self._seed, self._scale = seed, scale

    def rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, *key])

    def runs(self, many: int, least: int = 2) -> range:
        return range(max(least, round(many * self._scale)))

    # ------------------------------------------------------------------ false alarms
    def healthy(self) -> Iterator[Score]:
        alarms = dict.fromkeys(
            (
                "hitless",
                "argo < 99 %",
                "argo < 95 %",
                "flagger",
                "kayenta",
                "z each minute",
                "Lindon-Malek",
                "known rate",
            ),
            0,
        )
        total, worst = 0, (0.0, "")
        for index, (p, rps, split) in enumerate(CELLS):
            rules = _rules(p)
            mine, many = 0, self.runs(12 if rps == 100 else 4)
            for k in many:
                streams = make(self.rng(1, index, k), rps=rps, split=split, p=p, amplitude=0.5)
                mine += run(streams) is not None
                for name, rule in rules.items():
                    alarms[name] += rule(streams) is not None
            alarms["hitless"] += mine
            total += len(many)
            worst = max(worst, (mine / len(many), f"{mine}/{len(many)} at p={p}, {rps}/s, {split:.0%}"))
        beside = ", ".join(f"{name} {count / total:.0%}" for name, count in alarms.items() if name != "hitless")
        yield Score(
            "false alarms, healthy, 24 h, +-50 %",
            _share(alarms["hitless"], total),
            "1 %",
            "1 %",
            beside,
            too_many(alarms["hitless"], total, 0.01),
        )
        yield Score("  its worst cell", worst[1], "", "", "")
        ramp, many = 0, self.runs(60)
        steps = [(0, 0.01), (300, 0.05), (600, 0.25), (900, 0.5)]
        for k in many:
            ramp += run(make(self.rng(2, k), rps=1000, split=steps, p=0.002, seconds=3600, amplitude=0.5)) is not None
        yield Score("  ramp 1-5-25-50 % in an hour", _share(ramp, len(many)), "", "1 %", "")

    # ------------------------------------------------------------------ users exposed
    def power(self) -> Iterator[Score]:
        ours: list[float] = []
        missed: dict[str, int] = dict.fromkeys(("hitless", *_rules(0.01)), 0)
        worst, cells = (0.0, ""), [(*cell, ratio) for cell in CELLS for ratio in RATIOS]
        for index, (p, rps, split, ratio) in enumerate(cells):
            bound_s = math.log(100) / kl_conditional(ratio, p, split) / (rps * split)
            seconds = int(min(DAY_S, max(7200, 60 * math.ceil(12 * bound_s / 60))))
            rules = _rules(p)
            many = self.runs(80 if bound_s < 600 else 12, 8)
            hits = dict.fromkeys(missed, 0)
            exposed = best = 0
            for k in many:
                streams = make(self.rng(3, index, k), rps=rps, split=split, p=p, ratio=ratio, seconds=seconds)
                found = run(streams)
                exposed += streams.exposed(found)
                best += streams.exposed(incumbents.oracle(ratio)(streams))
                hits["hitless"] += found is not None
                if k < 4:
                    for name, rule in rules.items():
                        hits[name] += rule(streams) is not None
            for name, count in hits.items():
                missed[name] += count * 2 < (len(many) if name == "hitless" else min(4, len(many)))
            if bound_s >= STEP_S:
                ours.append(exposed / best)
                worst = max(worst, (ours[-1], f"{ours[-1]:.2f} at p={p}, {rps}/s, {split:.0%}, x{ratio:g}"))
        mean = math.exp(float(np.mean(np.log(ours))))
        yield Score(
            "exposed requests / oracle: geometric mean",
            f"{mean:.3f}",
            "1.35",
            "1.10",
            "Lindon-Malek 1.45",
            mean > 1.35,
        )
        yield Score("  its worst cell", worst[1], "1.6", "1.20", "", worst[0] > 1.6)
        beside = ", ".join(f"{name} {count}" for name, count in missed.items() if name != "hitless")
        yield Score(f"missed, of {len(cells)} cells", str(missed["hitless"]), "0", "0", beside, missed["hitless"] > 0)

    # ------------------------------------------------------------------ late
    def late(self) -> Iterator[Score]:
        for onset in (1800, 14_400):
            for ratio in (2.0, 5.0):
                delays, oracles = [], []
                for k in self.runs(40, 5):
                    streams = make(
                        self.rng(4, onset, int(ratio), k),
                        rps=1000,
                        split=0.05,
                        p=0.002,
                        ratio=ratio,
                        onset=onset,
                        seconds=onset + 3600,
                    )
                    found = run(streams)
                    best = incumbents.oracle(ratio)(streams.since(onset))
                    if found is None or found > onset:
                        delays.append((found or onset + 3600) - onset)
                        oracles.append(best or 3600)
                median = f"{np.median(delays):.0f}/{np.median(oracles):.0f} s = {np.median(delays) / np.median(oracles):.1f}x"
                yield Score(
                    f"late by {onset // 60} min, x{ratio:g}: delay / oracle",
                    f"{median} (means {np.mean(delays) / np.mean(oracles):.1f}x)",
                    "5x",
                    "2.5x",
                    fell_short=bool(np.median(delays) > 5 * np.median(oracles)),
                )

    # ------------------------------------------------------------------ clusters
    def clusters(self) -> Iterator[Score]:
        users = requests = 0
        many = self.runs(20)
        for k in many:
            rng = self.rng(5, k)
            streams = with_bursts(make(rng, rps=1000, split=0.05, p=0.001), rng, 120)
            users += run(streams) is not None
            requests += incumbents.lindon_malek()(_requests(streams)) is not None
        yield Score(
            "false alarms, bursts at 5 %, users counted",
            _share(users, len(many)),
            "1 %",
            "1 %",
            f"Lindon-Malek on requests {_share(requests, len(many))}",
            too_many(users, len(many), 0.01),
        )
        for name, options in (("bursts", {"burst_every_s": 120.0}), ("one chronic user", {"chronic": True})):
            alarms, many = 0, self.runs(40)
            for k in many:
                alarms += (
                    run_groups(
                        grouped(
                            self.rng(6, k, len(name)),
                            rps=500,
                            p=0.001,
                            groups=100,
                            canary_groups=5,
                            seconds=7200,
                            **options,
                        )
                    )
                    is not None
                )
            yield Score(f"  the same without identity: {name}, 2 h", _share(alarms, len(many)), "", "1 %", "")
        for ratio in (2.0, 5.0):
            found = [
                run_groups(
                    grouped(
                        self.rng(7, k),
                        rps=1000,
                        p=0.001,
                        groups=100,
                        canary_groups=5,
                        seconds=14_400,
                        ratio=ratio,
                        burst_every_s=120,
                    )
                )
                for k in self.runs(8, 3)
            ]
            yield Score(
                f"  x{ratio:g} found without identity",
                f"{sum(each is not None for each in found)}/{len(found)}, median {np.median([each or 14_400 for each in found]):.0f} s",
                "",
                "",
                "",
            )
        many = self.runs(1000)  # fewer could not tell 1 % from 4 %
        for name, seconds in CHRONIC.items():
            chronic = 0
            for k in many:
                streams = make(self.rng(8, k), rps=1000, split=0.05, p=0.001, seconds=7200)
                chronic += run(with_chronic(streams, seconds)) is not None
            yield Score(
                f"false alarms, one chronic user, {name}",
                _share(chronic, len(many)),
                "1 %",
                "1 %",
                "",
                too_many(chronic, len(many), 0.01),
            )

    # ------------------------------------------------------------------ promotion
    def promotion(self) -> Iterator[Score]:
        at_limit = total = 0
        healthy: list[float] = []
        for index, (p, rps, split) in enumerate(
            ((0.001, 100, 0.05), (0.001, 5000, 0.05), (0.01, 100, 0.05), (0.01, 5000, 0.5))
        ):
            for limit in (1.5, 2.0, 3.0):
                for k in self.runs(10):
                    guard = Errors(worse=limit, fine_below=limit)
                    streams = make(
                        self.rng(9, index, int(limit * 2), k), rps=rps, split=split, p=p, ratio=limit, seconds=7200
                    )
                    at_limit += run(streams, Verdict([guard], alpha=0.01, beta=0.05), stop="promote") is not None
                    total += 1
                    if limit == 2.0 and k < 5:
                        streams = make(self.rng(10, index, k), rps=rps, split=split, p=p, seconds=21_600)
                        healthy.append(run(streams, Verdict([guard]), stop="promote") or math.inf)
        promoted = sum(map(math.isfinite, healthy))
        yield Score(
            "bad canaries at the limit that are promoted",
            _share(at_limit, total),
            "5 %",
            "5 %",
            f"healthy ones within 6 h: {promoted}/{len(healthy)}",
            too_many(at_limit, total, 0.05),
        )
        yield Score("promotions without evidence", str(blind := _without_evidence()), "0", "0", "", blind > 0)

    # ------------------------------------------------------------------ latency
    def latency(self) -> Iterator[Score]:
        quotients, lines = [], []
        plain = latency_chances()
        for index, (rps, split, horizon) in enumerate(
            ((100, 0.01, 7200), (100, 0.05, 2400), (5000, 0.01, 600), (5000, 0.05, 120))
        ):
            slow = latency_chances(tail=1.5)
            ours, best = [], []
            for k in self.runs(10, 3):
                rng = self.rng(11, index, k)
                canary = rng.multinomial(rng.poisson(rps * split, horizon), slow)
                baseline = rng.multinomial(rng.poisson(rps * (1 - split), horizon), plain)
                ours.append(run_latency(canary, baseline, 1) or horizon)
                best.append(_latency_oracle(canary, baseline, slow, plain) or horizon)
            quotients.append(np.mean(ours) / np.mean(best))
            lines.append(f"{rps}/s {split:.0%}: {np.mean(ours):.0f}/{np.mean(best):.0f} s")
        mean = math.exp(float(np.mean(np.log(quotients))))
        yield Score(
            "tail latency (p99 +50 %) / oracle",
            f"{mean:.2f}x (worst {max(quotients):.2f}x)",
            "3x",
            "1.5x",
            "; ".join(lines),
            mean > 3,
        )
        alarms, many = 0, self.runs(20)
        for k in many:
            rng = self.rng(12, k)
            canary, baseline = (rng.multinomial(rng.poisson(rate, 3600), plain) for rate in (50, 950))
            alarms += run_latency(canary, baseline, 1) is not None
        yield Score("  false alarms, healthy, 1 h", _share(alarms, len(many)), "1 %", "1 %", "")

    # ------------------------------------------------------------------ speed
    def speed(self) -> Iterator[Score]:
        for rps, p in ((100, 0.001), (1000, 0.002), (5000, 0.01)):
            streams = make(self.rng(13, rps), rps=rps, split=0.05, p=p, seconds=5000)
            columns = (streams.canary, streams.canary_bad, streams.baseline, streams.baseline_bad)
            ticks = [
                Tick(t, Arm(n, c), Arm(m, b))
                for t, (n, c, m, b) in enumerate(zip(*(part.tolist() for part in columns), strict=True))
            ]
            best = math.inf
            for _ in range(3):
                verdict = Verdict([Errors()])
                began = time.process_time()
                for tick in ticks:
                    verdict.feed(tick)
                best = min(best, time.process_time() - began)
            yield Score(
                f"one update, {rps}/s, p={p}",
                f"{best / len(ticks) * 1e6:.1f} us",
                "20 us",
                "6 us",
                "",
                best / len(ticks) > 20e-6,
            )


def _rules(p: float) -> dict[str, incumbents.Rule]:
    return {
        "argo < 99 %": incumbents.argo(0.99),
        "argo < 95 %": incumbents.argo(0.95),
        "flagger": incumbents.flagger(),
        "kayenta": incumbents.kayenta(),
        "z each minute": incumbents.z_each_minute(),
        "Lindon-Malek": incumbents.lindon_malek(),
        "known rate": incumbents.known_rate(2.0, p),
    }


def _share(count: int, total: int) -> str:
    return f"{count}/{total} = {count / total:.2%}"


def _requests(streams: Streams) -> Streams:
    return Streams(
        streams.canary,
        streams.canary_bad,
        streams.baseline,
        streams.baseline_bad,
        streams.split,
        streams.canary_bad,
        streams.baseline_bad,
    )


def _without_evidence() -> int:
    """Count promotions in two hours in which nothing came, or nothing in one arm, or nothing bad."""
    cases: tuple[Callable[[int], Tick], ...] = (
        lambda t: Tick(t, Arm(0, 0), Arm(0, 0)),
        lambda t: Tick(t, Arm(0, 0), Arm(1000, 1)),
        lambda t: Tick(t, Arm(50, 0), Arm(0, 0)),
        lambda t: Tick(t, None, None),
        lambda t: Tick(t, None, Arm(1000, 1)),
        lambda t: Tick(t, Arm(50, 0), None),
        lambda t: Tick(t, Arm(50, 0), Arm(950, 0)),
        lambda t: Tick(t * 3600, Arm(0, 0), Arm(0, 0)),
    )
    promoted = 0
    for case in cases:
        verdict = Verdict([Errors(fine_below=2.0)])
        promoted += any(verdict.feed(case(t)).kind == "promote" for t in range(7200))
    return promoted


def _latency_oracle(canary: np.ndarray, baseline: np.ndarray, slow: np.ndarray, plain: np.ndarray) -> int | None:
    share = canary.sum(1) / np.maximum(canary.sum(1) + baseline.sum(1), 1)
    mixed = share[:, None] * slow + (1 - share[:, None]) * plain + 1e-300
    log = (canary * np.log((slow + 1e-300) / mixed) + baseline * np.log((plain + 1e-300) / mixed)).sum(1)
    return incumbents.first(np.cumsum(log) >= math.log(100))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--only", default="speed,power,healthy,late,clusters,promotion,latency")
    options = parser.parse_args()
    bench = Bench(options.seed, options.scale)
    print(f"VERDICT-1, seed {options.seed}, scale {options.scale:g}")
    print(f"{'score':48} {'ours':44} {'must':>6} {'moonshot':>9}  beside")
    short = 0
    for part in options.only.split(","):
        for score in getattr(bench, part)():
            short += score.fell_short
            print(f"{score.what:48} {score.ours:44} {score.must:>6} {score.moonshot:>9}  {score.beside}", flush=True)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
