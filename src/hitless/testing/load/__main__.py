"""`python -m hitless.testing.load`: put load on a system and count what its users would have felt."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from typing import Any

from hitless.kit.errors import Exit, HitlessError
from hitless.testing.load.profile import Profile
from hitless.testing.load.report import Report
from hitless.testing.load.run import Load

DEFAULTS = Profile(url="http://127.0.0.1", get=("/",))


def main(words: Sequence[str] | None = None) -> int:
    """Run until the time is over or TERM or INT comes; print the report. Exit 0: nothing failed, 1: something did."""
    options = vars(_parser().parse_args(words))
    as_json, every_s = options.pop("json"), options.pop("progress")
    try:
        load = Load(_profile(options))
    except HitlessError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit
    report = asyncio.run(_run(load, every_s))
    print(json.dumps(report.to_json()) if as_json else report.to_text())  # noqa: T201
    return Exit.FAILED if report.failed or report.missing else Exit.DONE


async def _run(load: Load, every_s: float) -> Report:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, load.stop_soon)
    telling = asyncio.create_task(_tell(load, every_s))
    try:
        return await load.run()
    finally:
        telling.cancel()


async def _tell(load: Load, every_s: float) -> None:
    while every_s > 0:
        await asyncio.sleep(every_s)
        now = load.report()
        said = f"{now.elapsed_s:.0f} s: {now.total} requests, {now.failed} failed, p99 {now.latency_ms['p99']:.1f} ms"
        print(said, file=sys.stderr)  # noqa: T201


def _profile(options: dict[str, Any]) -> Profile:
    plain: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
    }
    if not any(plain[name] for name in ("get", "post", "download", "stream", "websocket")):
        plain["get"] = ("/",)
    return Profile(**plain)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hitless.testing.load", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--url", required=True, help="http://host:port or https://host:port")
    add("--rate", type=float, default=DEFAULTS.rate, help="requests per second (%(default)s)")
    add("--seconds", type=float, default=DEFAULTS.seconds, help="the run ends by itself after this (%(default)s)")
    add("--requests", type=int, default=DEFAULTS.requests, help="or after this many requests (%(default)s)")
    add("--users", type=int, default=DEFAULTS.users, help="user-1 .. user-N (%(default)s)")
    add("--named-users", nargs="*", default=[], metavar="USER", help="further users: together 2 %% of the requests")
    add("--user-header", default=DEFAULTS.user_header, help="header that names the user (%(default)s)")
    add("--get", action="append", default=[], metavar="PATH", help="repeatable; {user} is filled in; default /")
    add("--post", action="append", default=[], metavar="PATH", help='repeatable; body {"id": unique, "item": ...}')
    add("--check", metavar="PATH", help="with {id}: afterwards every acknowledged id is read back here")
    add("--check-says", default="", metavar="TEXT", help="and this stands in each body that is read back")
    add("--download", metavar="PATH", help="held throughout, begun again when it ends")
    add("--download-says", metavar="TEXT", help="stands in the last 200 bytes of a whole download")
    add("--stream", metavar="PATH", help="held throughout (server-sent events, say)")
    add("--websocket", metavar="PATH", help="held throughout; must echo")
    add("--websocket-every-s", type=float, default=DEFAULTS.websocket_every_s, metavar="S", help="(%(default)s)")
    add("--new-connections", type=float, default=DEFAULTS.new_connections, help="share of requests (%(default)s)")
    add("--idempotency-key", action="store_true", help="POSTs carry their id as Idempotency-Key")
    add("--timeout-s", type=float, default=DEFAULTS.timeout_s, help="from the due moment (%(default)s)")
    add("--outstanding", type=int, default=DEFAULTS.outstanding, help="requests at once at most (%(default)s)")
    add("--finish-s", type=float, default=DEFAULTS.finish_s, help="for the last download (%(default)s)")
    add("--ca", help="PEM file that certificates are checked against")
    add("--progress", type=float, default=0.0, metavar="S", help="a line on stderr every S seconds; 0: none")
    add("--json", action="store_true", help="the report as one JSON object")
    return parser


if __name__ == "__main__":
    sys.exit(main())
