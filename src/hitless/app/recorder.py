"""The process that turns the gateway's log into counts per second: `python -m hitless.app.recorder PORT SOCKET`."""

import sys
from pathlib import Path

from hitless.signals.counting import Observed
from hitless.signals.recorder import run_recorder
from hitless.traffic import record


def observe(line: bytes) -> Observed | None:
    """Read one record of the gateway; None if it is none."""
    seen = record.parse(line)
    if seen is None:
        return None
    return Observed(
        at_ms=seen.end_ms,
        service=seen.service,
        slot=seen.slot,
        user=seen.user,
        failed=seen.failed,
        latency_ms=seen.tw + seen.tc + seen.tr if seen.tr >= 0 else seen.ta,  # not how fast the client is
        saved=seen.saved,
    )


if __name__ == "__main__":
    run_recorder(int(sys.argv[1]), Path(sys.argv[2]), observe)
