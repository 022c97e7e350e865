"""Simulated runs from the command line: `python -m hitless.app.simulation --runs 1000`, or `--seed 123` for one."""

import argparse
import json
import os
import sys
from pathlib import Path

from hitless.app.simulation.campaign import Cases, campaign
from hitless.app.simulation.chance import case_of, run_case
from hitless.app.simulation.forecast import Forecast

REPLAY = "python -m hitless.app.simulation"


def main(arguments: list[str]) -> int:
    """Run it; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog=REPLAY, description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one and tell its story")
    parser.add_argument("--runs", type=int, default=1000, help="so many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--plan", type=Path, help="a plan as hitless hands it over, - for stdin; else the shop")
    parser.add_argument("--processes", type=int, help="at most so many at once; else all processors")
    told = parser.parse_args(arguments)
    cases = _cases(told.plan)
    if told.seed is not None:
        return _replay(cases, told.seed)
    os.nice(5)
    found = campaign(cases, told.first, told.runs, processes=told.processes)
    again = f" --plan {told.plan}" if told.plan and str(told.plan) != "-" else ""
    for each in found.broken:
        _say(f"seed {each['seed']}: {each['broken']}\n  {each['case']}\n  again: {REPLAY}{again} --seed {each['seed']}")
    sys.stdout.write(json.dumps(found.to_data()) + "\n")
    return int(bool(found.broken))


def _cases(plan: Path | None) -> Cases:
    if plan is None:
        return case_of
    text = sys.stdin.read() if str(plan) == "-" else plan.read_text()
    return Forecast.from_data(json.loads(text)).case_of


def _replay(cases: Cases, seed: int) -> int:
    case = cases(seed)
    _say(f"seed {seed}: {case.describe()}")
    for key, character in sorted(case.setting.characters.known.items()):
        _say(f"  {' '.join(key)}: {character}")
    outcome = run_case(case, seed)
    begun = outcome.facts[0].at if outcome.facts else 0.0
    for entry in outcome.facts:
        sys.stdout.write(f"{entry.at - begun:8.3f} s  {entry.run}  {entry.fact}\n")
    _say(f"{outcome.lives} controllers, {outcome.requests} requests, ended {', '.join(outcome.states)}")
    for what in outcome.broken:
        _say(f"BROKEN: {what}")
    return int(bool(outcome.broken))


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
