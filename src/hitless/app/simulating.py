"""Simulates a plan many times, in a process of its own: the controller has other things to do meanwhile."""

import asyncio
import contextlib
import json
import sys
from typing import Any

from hitless.app.facts import Facts
from hitless.kit.errors import HitlessError, InvalidInput
from hitless.plan.plan import Plan

RUNS_LIMIT = 10_000
BEGIN_S, RUN_S = 30.0, 0.2  # at most: to begin, and for each run


async def simulated(plan: Plan, facts: Facts, runs: int) -> dict[str, Any]:
    """Return what came of `runs` seeded runs of a plan against the system as it runs; keys as in `plan --json`.

    Raises InvalidInput for a number of runs out of bounds, HitlessError `simulation-failed` if it does not end in time.
    """
    if not 1 <= runs <= RUNS_LIMIT:
        raise InvalidInput("invalid-value", f"{runs} simulated runs", f"from 1 to {RUNS_LIMIT}")
    from hitless.app.simulation.forecast import Forecast  # a controller that comes back does not wait for it

    forecast = json.dumps(Forecast.of(plan, facts).to_data()).encode()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hitless.app.simulation", "--plan", "-", "--runs", str(runs)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(BEGIN_S + RUN_S * runs):
            out, err = await process.communicate(forecast)
    except TimeoutError:
        bound = f"{BEGIN_S + RUN_S * runs:g} s"
        raise HitlessError("simulation-failed", f"{runs} runs were not over after {bound}", "ask for fewer") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    try:
        found: dict[str, Any] = json.loads(out)
    except ValueError:
        said = err.decode(errors="replace")[-1000:]
        raise HitlessError("simulation-failed", f"the simulation broke off: {said}", "please report it") from None
    return found
