"""Statistics that decide whether a new version is worse. Pure, usable alone."""

from hitless.verdict.buckets import EDGES
from hitless.verdict.decision import Decision, Ratio
from hitless.verdict.errors import Errors
from hitless.verdict.latency import Latency
from hitless.verdict.planning import requests_to_see, seconds_to_see, spend
from hitless.verdict.ticks import Arm, Tick
from hitless.verdict.verdict import Verdict

__all__ = [
    "EDGES",
    "Arm",
    "Decision",
    "Errors",
    "Latency",
    "Ratio",
    "Tick",
    "Verdict",
    "requests_to_see",
    "seconds_to_see",
    "spend",
]
