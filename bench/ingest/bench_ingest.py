"""How much of one core the recorder needs for 10,000 records/s, and how many it can take at most.

    python bench/ingest/bench_ingest.py [--rate 10000] [--seconds 10]

A recorder of its own process gets records as the gateway writes them, over TCP, while a change is under way: one of
three services has two versions, and their users are followed to the other two. It is followed meanwhile. Counted are the processor time of the recorder and what its followers got: not one record less.
"""

import argparse
import asyncio
import json
import os
import socket
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

from hitless.signals.counting import Counter
from hitless.signals.lines import Lines
from hitless.signals.recorder import run_recorder
from hitless.signals.ticks import RecorderTicks
from hitless.traffic import record

USERS = 2000
SLICES = 50  # pieces that a second of load is sent in
SERVICES = (("web", "public"), ("orders", "internal"), ("accounts", "internal"))
GOAL = 10_000  # records/s
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def message(number: int, at_ms: int) -> bytes:
    """Write a record as the gateway does: three services, one of them with two versions, so that its users are followed."""
    user = number * 2654435761 % USERS
    service, listener = SERVICES[number % 3]
    slot = "b" if service == "web" and user < USERS // 20 else "a"
    status = 503 if number % 1000 == 0 else 200
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    text = (
        f"{at_ms}\t{service}.{slot}\t{user:016X}\t{user % 10_000}\t{status}\t0\t--"
        f"\t0\t1\t{number % 400}\t{number % 400 + 2}\tGET\t0\t1.0\t{listener}\t{trace}\n"
    )
    return text.encode()


def processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def parts_alone(records: int = 100_000) -> dict[str, float]:
    """Time each part by itself, in microseconds a record."""
    now_ms = round(time.time() * 1000)
    stream = b"".join(message(number, now_ms) for number in range(records))
    begun = time.process_time()
    cutting, lines = Lines(), []
    for position in range(0, len(stream), 65536):
        lines += cutting.feed(stream[position : position + 65536])
    cut = time.process_time()
    observed = [seen for each in lines if (seen := record.parse(each)) is not None]
    parsed = time.process_time()
    Counter(now_ms).count(observed)
    counted = time.process_time()
    return {
        "lines": (cut - begun) / records * 1e6,
        "parse": (parsed - cut) / records * 1e6,
        "count": (counted - parsed) / records * 1e6,
    }


async def paced(writer: asyncio.StreamWriter, rate: int, seconds: int) -> int:
    begun, sent = time.time(), 0
    for piece in range(seconds * SLICES):
        await asyncio.sleep(max(0.0, begun + piece / SLICES - time.time()))
        now_ms = round(time.time() * 1000)
        writer.write(b"".join(message(sent + number, now_ms) for number in range(rate // SLICES)))
        sent += rate // SLICES
        await writer.drain()
    return sent


async def flat_out(writer: asyncio.StreamWriter, records: int) -> None:
    now_ms = round(time.time() * 1000)
    data = b"".join(message(number, now_ms) for number in range(records))
    for position in range(0, len(data), 1 << 18):
        writer.write(data[position : position + (1 << 18)])
        await writer.drain()


async def arrive(path: Path, since: float, records: int) -> tuple[int, int]:
    """Follow until so many records have come; return them and the lost ones."""
    got = lost = 0
    async with asyncio.timeout(60):
        async for second in RecorderTicks(path).follow(since):
            got += sum(arm.requests for arm in second.arms.values())
            lost += second.lost
            if got >= records:
                break
    return got, lost


async def connected(port: int) -> asyncio.StreamWriter:
    for _ in range(200):
        try:
            return (await asyncio.open_connection("127.0.0.1", port))[1]
        except OSError:
            await asyncio.sleep(0.05)
    raise TimeoutError("the recorder does not listen after 10 s")


async def measure(pid: int, port: int, path: Path, rate: int, seconds: int) -> dict[str, object]:
    writer = await connected(port)
    await asyncio.sleep(2)  # what the recorder missed before we came must not be counted as lost
    since, before, begun = time.time() - 1, processor_s(pid), time.time()
    sent = await paced(writer, rate, seconds)
    share = (processor_s(pid) - before) / (time.time() - begun)
    got, lost = await arrive(path, since, sent)
    await asyncio.sleep(2)
    since, before = time.time() - 1, processor_s(pid)
    await flat_out(writer, 100_000)
    _, lost_flat_out = await arrive(path, since, 100_000)
    most = 100_000 / (processor_s(pid) - before)
    writer.close()
    return {
        "records_per_s": rate,
        "core_share": round(share, 3),
        "sent": sent,
        "counted": got,
        "lost": lost + lost_flat_out,
        "records_per_core_s": round(most),
    }


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rate", type=int, default=GOAL)
    arguments.add_argument("--seconds", type=int, default=10)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, port = Path(folder) / "recorder.sock", free_port()
        recorder = get_context("spawn").Process(target=run_recorder, args=(port, path, record.parse))
        recorder.start()
        try:
            figures = asyncio.run(measure(recorder.pid or 0, port, path, given.rate, given.seconds))
        finally:
            recorder.terminate()
            recorder.join()
    figures["microseconds"] = {part: round(us, 2) for part, us in parts_alone().items()}
    print(json.dumps(figures))
    return 0 if figures["counted"] == figures["sent"] and figures["lost"] == 0 else 1


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
