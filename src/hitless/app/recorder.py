"""The process that turns the gateway's log into counts per second: `python -m hitless.app.recorder PORT SOCKET`."""

import sys
from pathlib import Path

from hitless.signals.recorder import run_recorder
from hitless.traffic import record

if __name__ == "__main__":
    run_recorder(int(sys.argv[1]), Path(sys.argv[2]), record.parse)
