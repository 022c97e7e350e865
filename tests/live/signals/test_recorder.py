"""The recorder over real sockets, as the gateway and the controller meet it."""

import asyncio
import json
import select
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from hitless.signals.counting import Observed
from hitless.signals.lines import LINE_LIMIT
from hitless.signals.outcomes import Conversion
from hitless.signals.ports import Second
from hitless.signals.recorder import recording
from hitless.signals.ticks import RecorderTicks

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]  # one recorder for most of them


def parse(text: str) -> Observed | None:
    """A log of our own: JSON, or talk of the gateway."""
    if text.startswith("<"):
        return None
    return Observed(**json.loads(text))


def request(**different: object) -> bytes:
    plain = {
        "at_ms": round(time.time() * 1000),
        "service": "orders",
        "slot": "a",
        "user": "u1",
        "failed": False,
        "latency_ms": 12.0,
    }
    return json.dumps(plain | different).encode() + b"\n"


class Recorded:
    """A recorder that runs, and a gateway connected to it."""

    def __init__(self, port: int, path: Path, writer: asyncio.StreamWriter) -> None:
        self.port, self.path, self.writer = port, path, writer
        self.begun = 0  # the second in which the test began

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until(self, enough: object, since: float | None = None) -> list[Second]:
        """Follow until what came is enough; at most 120 s."""
        seconds: list[Second] = []
        async with asyncio.timeout(120):
            async for second in RecorderTicks(self.path).follow(self.begun if since is None else since):
                seconds.append(second)
                if enough(seconds):  # type: ignore[operator]
                    break
        return seconds


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Recorded]:
    path = tmp_path_factory.mktemp("recorder") / "recorder.sock"
    async with recording(0, path, parse) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        made = Recorded(port, path, writer)
        await made.until(lambda seconds: seconds[-1].lost == 0, since=time.time())
        yield made
        writer.close()


@pytest.fixture
def recorded(running: Recorded) -> Recorded:
    running.begun = int(time.time())
    return running


def requests(seconds: list[Second], service: str = "orders") -> int:
    return sum(arm.requests for second in seconds for (name, _), arm in second.arms.items() if name == service)


async def test_what_the_gateway_logs_is_counted_by_second_and_arm(recorded: Recorded) -> None:
    await recorded.send(b"".join(request(slot=slot, failed=slot == "b") for slot in "aaab") + b"<29>talk\n")
    seconds = await recorded.until(lambda seconds: requests(seconds) == 4)
    arms = {arm: count for second in seconds for arm, count in second.arms.items()}
    assert (arms["orders", "a"].failed, arms["orders", "b"].failed) == (0, 1)
    assert arms["orders", "b"].bad_users == 1


async def test_lines_that_come_in_pieces_are_counted_whole(recorded: Recorded) -> None:
    data = request(service="pieces") + request(service="pieces", user="u2")
    for position in range(0, len(data), 7):
        await recorded.send(data[position : position + 7])
        await asyncio.sleep(0)
    assert await recorded.until(lambda seconds: requests(seconds, "pieces") == 2)


async def test_a_second_with_no_request_is_told_too_and_is_evidence(recorded: Recorded) -> None:
    since = recorded.begun - 2
    seconds = await recorded.until(lambda seconds: len(seconds) >= 4, since=since)
    assert [second.at for second in seconds] == list(range(since, since + 4))
    assert seconds[-1].lost == 0


async def test_before_the_recorder_ran_everything_is_lost(recorded: Recorded) -> None:
    seconds = await recorded.until(lambda seconds: not seconds[-1].lost, since=recorded.begun - 3600)
    assert len(seconds) > 3500


async def test_a_test_that_begins_makes_bad_users_new_once_for_each_run(recorded: Recorded) -> None:
    ticks = RecorderTicks(recorded.path)
    for run, bad in (("r1", 1), ("r1", 0), ("r2", 1)):
        await ticks.begin("fresh", run)
        since = time.time()
        await recorded.send(request(service="fresh", user="always-bad", failed=True))
        seconds = await recorded.until(lambda seconds: requests(seconds, "fresh"), since=int(since))
        assert sum(second.arms["fresh", "a"].bad_users for second in seconds if ("fresh", "a") in second.arms) == bad
        await recorded.until(lambda _: True, since=seconds[-1].at + 1)


async def test_what_the_gateway_dropped_makes_the_second_no_evidence(recorded: Recorded) -> None:
    await recorded.send(b"<134>1 2026-11-24T15:33:46Z - haproxy 17205 - - 17 events dropped\n")
    assert (await recorded.until(lambda seconds: seconds[-1].lost >= 17))[-1].lost >= 17


async def test_garbage_is_counted_as_lost_and_the_stream_given_up(recorded: Recorded) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", recorded.port)
    writer.write(request() + b"{not json\n" + b"x" * (LINE_LIMIT + 1))
    assert await reader.read() == b""
    writer.close()
    await recorded.until(lambda seconds: any(second.lost >= 2 for second in seconds))
    await recorded.send(request(service="others"))
    assert await recorded.until(lambda seconds: requests(seconds, "others") == 1)


async def test_a_connection_that_is_reset_has_lost_something(recorded: Recorded) -> None:
    await recorded.until(lambda seconds: seconds[-1].lost == 0, since=time.time())
    with socket.create_connection(("127.0.0.1", recorded.port)) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.sendall(request())
        await asyncio.sleep(0.1)
    assert await recorded.until(lambda seconds: seconds[-1].lost > 0, since=int(time.time()) - 1)


async def test_a_follower_that_does_not_read_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hitless.signals.recorder.BACKLOG", 1)
    path = tmp_path / "r.sock"
    async with recording(0, path, parse) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        many = [request(service="s" * 500 + str(number), user="") for number in range(400)]
        slow = socket.socket(socket.AF_UNIX)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(str(path))
        slow.sendall(b'{"since": 0}\n')
        hung_up = select.poll()
        hung_up.register(slow, 0)
        async with asyncio.timeout(240):
            while not hung_up.poll(0):
                writer.write(b"".join(many))
                await asyncio.sleep(0.5)
        slow.close()
        writer.close()
        async for second in RecorderTicks(path).follow(time.time()):  # the others are served on
            assert second.at > 0
            break


@pytest.mark.parametrize("question", [b"\n", b"[]\n", b'{"since": "now"}\n', b"x" * 5000])
async def test_a_question_that_is_none_is_answered_by_hanging_up(recorded: Recorded, question: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(recorded.path)
    writer.write(question)
    with suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()


async def test_only_our_own_user_reaches_the_socket(recorded: Recorded) -> None:
    assert stat.S_IMODE(recorded.path.stat().st_mode) == 0o600


async def test_following_what_is_not_there_raises_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        await anext(RecorderTicks(tmp_path / "nothing.sock").follow(0.0))


async def test_a_recorder_that_goes_away_raises_oserror_at_who_follows(tmp_path: Path) -> None:
    path = tmp_path / "r.sock"
    async with recording(0, path, parse):
        following = RecorderTicks(path).follow(time.time() - 2)
        await anext(following)
    with pytest.raises(OSError):
        async for _ in following:
            pass


async def test_with_no_gateway_connected_silence_is_no_evidence(recorded: Recorded) -> None:
    recorded.writer.close()
    since = time.time() + 0.1
    assert all(second.lost for second in await recorded.until(lambda seconds: len(seconds) == 1, since=since))


async def test_as_a_process_it_ends_on_sigterm_and_a_second_one_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    path = tmp_path / "r.sock"
    program = (
        "import sys, pathlib; from hitless.signals.recorder import run_recorder;"
        "run_recorder(int(sys.argv[1]), pathlib.Path(sys.argv[2]), lambda message: None)"
    )
    argv = (sys.executable, "-c", program, str(port))
    first = await asyncio.create_subprocess_exec(*argv, str(path))
    try:
        async with asyncio.timeout(120):
            async for _ in _patiently(path):
                break
            second = await asyncio.create_subprocess_exec(
                *argv, str(tmp_path / "other.sock"), stderr=asyncio.subprocess.DEVNULL
            )
            assert await second.wait() == 1
    finally:
        first.send_signal(signal.SIGTERM)
    assert await first.wait() == 0
    assert not path.exists()


async def _patiently(path: Path) -> AsyncIterator[Second]:
    while True:
        try:
            async for second in RecorderTicks(path).follow(time.time() - 1):
                yield second
        except OSError:
            await asyncio.sleep(0.05)


async def test_a_recorder_that_is_told_to_forget_knows_nothing_of_before_and_counts_on(tmp_path: Path) -> None:
    path = tmp_path / "recorder.sock"
    ticks, began = RecorderTicks(path), int(time.time())
    async with recording(0, path, parse) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(failed=True))
        recorded = Recorded(port, path, writer)
        recorded.begun = began
        assert await recorded.until(lambda seconds: requests(seconds) == 1)
        await ticks.forget()
        forgotten_at = time.time()
        writer.write(request(at_ms=round(forgotten_at * 1000), failed=True))  # it was on its way
        seconds = await recorded.until(lambda seconds: seconds[-1].at > forgotten_at and not seconds[-1].lost)
        assert all(second.lost for second in seconds[:-1])
        assert requests(seconds) == 0
        writer.write(request())
        assert await recorded.until(lambda seconds: requests(seconds) == 1)
        writer.close()


async def test_a_recorder_that_was_started_anew_can_be_told_again_what_is_tested(tmp_path: Path) -> None:
    path = tmp_path / "recorder.sock"
    ticks = RecorderTicks(path)
    for _ in range(2):
        async with recording(0, path, parse) as port:
            await ticks.begin("web", "r1", Conversion(at="orders", method="POST", within_s=0.5))
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            async with asyncio.timeout(120):
                async for second in ticks.follow(time.time()):
                    if second.outcomes:
                        break
                    for slot, user in (("a", "old"), ("b", "ann"), ("a", "ben")):
                        writer.write(request(service="web", slot=slot, user=f"{user}{second.at}"))
                    writer.write(request(user=f"ben{second.at}", did="POST"))
            assert second.outcomes["web", "b"].bad_users == second.outcomes["web", "b"].users
            assert second.outcomes["web", "a"].bad_users < second.outcomes["web", "a"].users
            writer.close()
