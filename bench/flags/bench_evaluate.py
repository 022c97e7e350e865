"""Evaluations per second on one core: email rule, else 5 % fractional; flagd-core in the same run where installed.

Run: python bench/flags/bench_evaluate.py
"""

import json
import time
from collections.abc import Callable
from typing import Any

from hitless.flags import FlagSet

KEYED = {"fractional": [{"cat": [{"var": "$flagd.flagKey"}, {"var": "targetingKey"}]}, ["on", 5], ["off", 95]]}
SHORT = {"fractional": [["on", 5], ["off", 95]]}
CONTEXTS = [{"targetingKey": f"user-{n}", "email": f"user{n}@mail.example"} for n in range(1000)]


def _document(split: dict[str, Any]) -> str:
    rule = {"if": [{"ends_with": [{"var": "email"}, "@shop.example"]}, "on", split]}
    flag = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off", "targeting": rule}
    return json.dumps({"flags": {"f": flag}, "metadata": {"version": "1"}})


def _per_s(evaluate: Callable[[Any], Any], contexts: list[Any], rounds: int) -> float:
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        for _ in range(rounds):
            for context in contexts:
                evaluate(context)
        best = min(best, time.process_time() - start)
    return rounds * len(contexts) / best


def main() -> tuple[float, float]:
    """Print one line for each engine and form of the rule; returns ours, the slowest: full results and variants per s."""
    slowest = [float("inf"), float("inf")]
    for name, split in (("bucket key by cat", KEYED), ("shorthand", SHORT)):
        document = _document(split)
        for bucketing in ("v3", "v2"):
            flags = FlagSet.parse(document, bucketing=bucketing)
            choose = flags.chooser("f")
            assert choose is not None
            full = _per_s(lambda context, flags=flags: flags.evaluate("f", context), CONTEXTS, 200)
            variant = _per_s(choose, CONTEXTS, 200)
            slowest = [min(slowest[0], full), min(slowest[1], variant)]
            print(
                f"{name:18} {bucketing}  full result {full:12,.0f}/s   variant only, generated code {variant:12,.0f}/s"
            )
        try:
            from openfeature.contrib.tools.flagd.core import FlagdCore
            from openfeature.evaluation_context import EvaluationContext
        except ImportError:
            print(f"{name:18} flagd-core is not installed: not compared")
            continue
        core = FlagdCore()
        core.set_flags(document)
        contexts = [EvaluationContext(c["targetingKey"], {"email": c["email"]}) for c in CONTEXTS]
        reference = _per_s(lambda context, core=core: core.resolve_boolean_value("f", False, context), contexts, 10)
        print(f"{name:18} v3  flagd-core  {reference:12,.0f}/s")
    return slowest[0], slowest[1]


if __name__ == "__main__":
    main()
