"""Feature flags by the stock OpenFeature SDK and flagd's official provider; where both lack, everything is at its default.

The provider finds the flag server by FLAGD_HOST and FLAGD_SYNC_PORT, which hitless sets. It holds the whole set in this
process, is told of changes, and goes on with what it has while nobody answers.
"""

import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

try:
    from openfeature import api
    from openfeature.evaluation_context import EvaluationContext
except ImportError:
    api = None


class Flags:
    """Asks for flags. Connects beside what the service does, so that no flag server can keep it from starting."""

    def __init__(self) -> None:
        if api is not None and "FLAGD_HOST" in os.environ:
            threading.Thread(target=_connect, name="flags", daemon=True).start()

    def on(self, flag: str, headers: Mapping[str, str], user: str) -> bool:
        """Whether a flag is on for the user of a request; off where nobody knows it."""
        if api is None:
            return False
        about: dict[str, Any] = {}
        if (bucket := headers.get("x-hitless-bucket", "")).isdigit():
            about["hitlessBucket"] = int(bucket)  # for flags whose cohort is that of a change
        return api.get_client().get_boolean_value(flag, False, EvaluationContext(user, about))


def _connect() -> None:
    try:
        from openfeature.contrib.provider.flagd import FlagdProvider
        from openfeature.contrib.provider.flagd.config import ResolverType

        api.set_provider(FlagdProvider(resolver_type=ResolverType.IN_PROCESS))
    except Exception as problem:  # noqa: BLE001  a shop without flags sells all the same
        print(f"no flags: {problem}", file=sys.stderr, flush=True)
