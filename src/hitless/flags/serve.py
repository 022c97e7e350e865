"""The flag server's process: OFREP by uvicorn, flagd by gRPC, from set files that it only reads.

Run: python -m hitless.flags.serve --bundle FILE --listen unix:PATH [--grpc unix:PATH]
or with plain sets: --set [NAME=]FILE [--bucketing v3]
SIGHUP, or POST /admin/reload on the unix socket, reads the files again; they are looked at every 500 ms besides.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import uvicorn
import uvloop

from hitless.flags.bundle import read_bundle
from hitless.flags.flagd import Flagd
from hitless.flags.flagset import FlagSet
from hitless.flags.served import TOKEN, Served
from hitless.flags.web import Web
from hitless.kit.errors import HitlessError

LOOK_S = 0.5
BACKLOG = 1024  # connections that wait until the loop takes them: who connects after the first line is answered
GRACE_S = 1  # streams are cut on TERM; their clients come back by themselves


class FlagServer:
    """One process that serves sets of flags until it is told to stop."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._paths = {"": options.bundle} if options.bundle else dict(map(_named, options.set))
        self._seen = self._marks()
        self._served = Served(self._read(), dict(map(_pair, options.context)))
        self._token = options.token_file.read_text().strip() if options.token_file else os.environ.get(TOKEN, "")

    async def run(self) -> None:
        """Serve; returns on TERM or INT."""
        listener = listen(self._options.listen)
        web = Web(self._served, self._token, self.reload)
        settings = uvicorn.Config(
            web,
            log_level="error",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=GRACE_S,
            ws="none",
            http="httptools",
        )
        server = uvicorn.Server(settings)
        flagd = Flagd(self._served, self._token) if self._options.grpc else None
        port = await flagd.start(self._options.grpc) if flagd else 0
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._try_reload)
        watching = asyncio.create_task(self._watch())
        sys.stdout.write(f"flags: {describe(listener)} grpc {port} version {self._served.version}\n")
        sys.stdout.flush()
        try:
            await server.serve(sockets=[listener])
        finally:
            watching.cancel()
            if flagd:
                await flagd.stop(GRACE_S)

    def reload(self) -> None:
        """Read the files and serve them. Raises HitlessError and goes on with the last good sets if one is bad."""
        self._seen = self._marks()
        self._served.replace(self._read())

    def _read(self) -> dict[str, FlagSet]:
        try:
            texts = {name: path.read_text(encoding="utf-8") for name, path in self._paths.items()}
        except (OSError, UnicodeDecodeError) as error:
            raise HitlessError("set-unreadable", f"the sets cannot be read: {error}", "hitless doctor") from None
        if self._options.bundle:
            return read_bundle(texts[""])
        return {name: FlagSet.parse(text, self._options.bucketing) for name, text in texts.items()}

    def _try_reload(self) -> None:
        try:
            self.reload()
        except HitlessError as error:
            sys.stderr.write(f"flags: the last good set stays in force: {error}\n")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if self._marks() != self._seen:
                self._try_reload()

    def _marks(self) -> list[tuple[int, int, int]]:
        marks = []
        for path in self._paths.values():
            with suppress(FileNotFoundError):
                found = path.stat()
                marks.append((found.st_ino, found.st_mtime_ns, found.st_size))
        return marks


def listen(address: str) -> socket.socket:
    """Open `unix:PATH` (mode 0600, in place of what lies there) or `HOST:PORT`."""
    if address.startswith("unix:"):
        path = Path(address.removeprefix("unix:"))
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(BACKLOG)
        return listener
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else asyncio lets Nagle wait 40 ms
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host.strip("[]"), int(port)))
    listener.listen(BACKLOG)
    return listener


def describe(listener: socket.socket) -> str:
    """Write where a socket listens."""
    name = listener.getsockname()
    return f"unix:{name}" if isinstance(name, str) else f"{name[0]}:{name[1]}"


def _named(text: str) -> tuple[str, Path]:
    name, _, path = text.rpartition("=")
    return name or path, Path(path)


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m hitless.flags.serve", description="Serve sets of flags.")
    sets = parser.add_mutually_exclusive_group(required=True)
    sets.add_argument("--bundle", type=Path, metavar="FILE", help="all sets of a system in one file")
    sets.add_argument("--set", action="append", metavar="[NAME=]FILE", help="several: the later wins")
    parser.add_argument("--listen", required=True, help="OFREP: unix:PATH or HOST:PORT (port 0: any)")
    parser.add_argument("--grpc", default="", help="flagd: unix:PATH or HOST:PORT (port 0: any)")
    parser.add_argument("--bucketing", choices=["v2", "v3"], default="v3")
    parser.add_argument("--context", action="append", default=[], metavar="NAME=VALUE", help="added to every context")
    parser.add_argument(
        "--token-file",
        type=Path,
        help="clients must send its content as bearer token or X-API-Key; also: the environment's HITLESS_FLAGS_TOKEN",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the process; returns the exit code."""
    try:
        server = FlagServer(parse(arguments))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.run())
    except HitlessError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
