"""Statistics that decide whether a new version is worse. Pure, usable alone."""

from hitless.verdict.buckets import EDGES
from hitless.verdict.business import Business
from hitless.verdict.decision import Decision, Needed, Ratio
from hitless.verdict.errors import Errors
from hitless.verdict.exchangeable import Exchangeable
from hitless.verdict.latency import Latency
from hitless.verdict.planning import conversions_to_see, requests_to_see, seconds_to_see, spend
from hitless.verdict.processes import Crashes, Saturation
from hitless.verdict.samples import SampleRatio
from hitless.verdict.ticks import Arm, Tick
from hitless.verdict.verdict import Verdict

__all__ = [
    "EDGES",
    "Arm",
    "Business",
    "Crashes",
    "Decision",
    "Errors",
    "Exchangeable",
    "Latency",
    "Needed",
    "Ratio",
    "SampleRatio",
    "Saturation",
    "Tick",
    "Verdict",
    "conversions_to_see",
    "requests_to_see",
    "seconds_to_see",
    "spend",
]
