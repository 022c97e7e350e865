"""Asking an instance whether it is ready."""

import asyncio

PROBE_TIMEOUT_S = 2.0


async def answers_200(port: int, path: str, *, timeout_s: float = PROBE_TIMEOUT_S) -> bool:
    """Tell whether GET on loopback answers 200 within the time."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _status(port, path) == 200
    except (OSError, TimeoutError):
        return False


async def _status(port: int, path: str) -> int | None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    try:
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: hitless\r\nConnection: close\r\n\r\n"
        writer.write(head.encode("latin-1"))
        line = await reader.readline()
    except ValueError:  # a first line longer than the limit is no HTTP
        return None
    finally:
        writer.close()
    words = line.split()
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() else None
