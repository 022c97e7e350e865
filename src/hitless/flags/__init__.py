"""Feature flags: evaluation and definitions in the formats of flagd and OpenFeature."""

from hitless.flags.evaluation import Evaluation
from hitless.flags.flagset import FlagSet

__all__ = ["Evaluation", "FlagSet"]
