"""Follows a run to its end, for a person or a program, and turns the end into an exit code."""

import time
from typing import Any

from hitless.cli.client import Client
from hitless.cli.live import Live, on_terminal
from hitless.cli.output import NOBODY_COUNTED, emit_json, fact_text, say
from hitless.kit.errors import Exit, HitlessError

ENDS = {"completed": Exit.DONE, "rolled-back": Exit.ROLLED_BACK, "rollback-incomplete": Exit.ROLLBACK_INCOMPLETE}


def follow(client: Client, run: str, *, as_json: bool, timeout_s: float | None = None, after: int = 0) -> Exit:
    """Print a run's facts behind a position until it is at rest; returns the exit code.

    Ctrl-C detaches, it never aborts.
    """
    try:
        return _until_rest(client, run, as_json=as_json, timeout_s=timeout_s, after=after)
    except KeyboardInterrupt:
        say(f"\ndetached; run {run} goes on. Come back: hitless watch {run}   take it back: hitless abort {run}")
        return Exit.DETACHED


def _until_rest(client: Client, run: str, *, as_json: bool, timeout_s: float | None, after: int) -> Exit:
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    steps = client.patiently(f"/v1/runs/{run}")["steps"]
    live = Live(steps, enabled=not as_json and on_terminal())
    for fact in client.follow(run, after=after):
        if deadline is not None and time.monotonic() > deadline and not _ends(fact):
            live.clear()
            say(f"run {run} goes on; come back with: hitless watch {run}")
            return Exit.WATCH_TIMED_OUT
        if fact is None:
            live.turn()
            continue
        live.clear()
        _tell(fact, steps, as_json=as_json)
        live.saw(fact)
        if _ends(fact):
            return _end(client, run, fact, as_json=as_json)
    raise HitlessError("journal-broken", f"the journal of run {run} ends without an end", "hitless doctor")


def _ends(fact: dict[str, Any] | None) -> bool:
    return fact is not None and fact["fact"] == "ended" and bool(fact["last"])


def _tell(fact: dict[str, Any], steps: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        emit_json(fact)
    elif (text := fact_text(fact, steps)) is not None:
        say(text)


def _end(client: Client, run: str, fact: dict[str, Any], *, as_json: bool) -> Exit:
    state = fact["body"]["state"]
    if not as_json:
        requests = client.patiently(f"/v1/runs/{run}")["requests"]
        felt = f"{requests['failed']} of {requests['total']} requests failed while it went on"
        say(f"run {run} {state}: {felt if requests['counted_s'] else NOBODY_COUNTED}")
        if fact["body"].get("text"):
            say(f"{fact['body']['code']}: {fact['body']['text']}")
            say(f"  hint: see hitless show {run}, mend it, then hitless resume {run}")
    return ENDS[state]
