"""Serves the API on a unix socket that only its owner may open."""

import asyncio
import os
import socket
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

SHUTDOWN_S = 2


def listen(path: Path) -> socket.socket:
    """Bind a unix socket of mode 0600; what a killed controller left there is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(64)
    listener.setblocking(False)
    return listener


async def serve(app: Starlette, listener: socket.socket, stop: asyncio.Event) -> None:
    """Answer requests until `stop` is set."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=SHUTDOWN_S
    )
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopping.cancel()
    await serving


class _Server(uvicorn.Server):
    """Leaves the signals to the controller."""

    def install_signal_handlers(self) -> None:
        """Do nothing."""
