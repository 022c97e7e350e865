"""What the load client counts, against a real server."""

import asyncio
import json
import signal
import sys

import pytest

from hitless.kit.errors import InvalidInput
from hitless.testing.load import Load, Profile


async def test_a_healthy_system_has_no_failure_and_every_request_is_counted_once(server):
    profile = Profile(url=server.url, rate=2000, requests=200, users=50, get=("/a", "/b/{user}"), post=("/rows",))
    report = await Load(profile).run()
    assert (report.total, report.failed, report.outstanding) == (200, 0, 0)
    assert report.statuses == {200: 134, 201: 66}
    assert set(report.acknowledged) == set(server.rows)
    assert set(server.rows.values()) == {1}
    assert report.versions["/b/{user}"] == {"1.0": 67}
    assert sum(part.total for part in report.slices) == 200
    assert 20 < len(server.users) <= 50


async def test_a_share_of_the_requests_comes_on_new_connections_and_the_rest_keeps_alive(server):
    await Load(Profile(url=server.url, rate=100, requests=100, new_connections=0.3, get=("/",))).run()
    assert 15 <= server.connections < 95
    before = server.connections
    await Load(Profile(url=server.url, rate=500, requests=100, new_connections=1, get=("/",))).run()
    assert server.connections - before == 100


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/error", "status-500"),
        ("/cut", "cut"),
        ("/reset", "reset"),
        ("/nonsense", "bad-answer"),
        ("/silent", "timeout"),
    ],
)
async def test_what_users_would_have_felt_counts_as_failed(server, path, reason):
    profile = Profile(url=server.url, rate=1000, requests=30, get=("/fine", path), timeout_s=2.0, websocket_every_s=0.1)
    report = await Load(profile).run()
    assert (report.total, report.failed) == (30, 15)
    assert set(report.reasons) <= {reason, "cut"}  # what was written may stand before the reset
    assert {example.path for example in report.examples} == {path}
    assert {part.path: part.failed for part in report.slices} == {"/fine": 0, path: 15}


async def test_only_the_first_twenty_failures_are_kept(server):
    report = await Load(Profile(url=server.url, rate=1000, requests=50, get=("/error",))).run()
    assert (report.failed, len(report.examples)) == (50, 20)


async def test_a_server_that_is_not_there_refuses(server):
    profile = Profile(url="http://127.0.0.1:1", rate=100, requests=5, post=("/rows",))
    report = await Load(profile).run()
    assert report.reasons == {"refused": 5}
    assert (len(report.uncertain), report.acknowledged) == (5, ())


async def test_arrivals_are_fixed_and_latency_counts_from_the_due_moment(server):
    profile = Profile(url=server.url, rate=200, requests=20, get=("/silent",), timeout_s=1, outstanding=5)
    report = await Load(profile).run()
    assert report.reasons == {"timeout": 5, "not-sent": 15}  # nothing waited for the answers
    assert report.elapsed_s >= 1


async def test_a_row_that_was_acknowledged_but_not_kept_is_found(server):
    server.forget = {3, 7}
    profile = Profile(url=server.url, rate=500, requests=20, post=("/rows",), check="/rows/{id}")
    report = await Load(profile).run()
    assert report.failed == 0
    assert len(report.missing) == 2
    assert set(report.missing) == set(report.acknowledged) - set(server.rows)


async def test_a_row_that_is_there_twice_is_found(server):
    load = Load(Profile(url=server.url, rate=500, requests=20, post=("/rows",), check="/rows/{id}", check_says="1}"))
    running = asyncio.create_task(load.run())
    await until(lambda r: r.acknowledged, load)
    twice = load.report().acknowledged[0]
    server.rows[twice] = 2
    assert (await running).missing == (twice,)


def held(server, code=1001, **more):
    return Profile(
        url=server.url,
        download="/download",
        download_says="complete",
        stream="/stream",
        websocket=f"/ws/{code}",
        websocket_every_s=0.01,
        seconds=20,
        **more,
    )


async def until(condition, load):
    async with asyncio.timeout(120):
        while not condition(load.report()):
            await asyncio.sleep(0.01)


async def test_long_ones_are_held_and_counted_and_a_run_can_be_stopped(server):
    load = Load(held(server))
    running = asyncio.create_task(load.run())
    await until(lambda r: r.download and r.download.completed >= 2 and r.websocket.echoed >= 3 and r.stream.bytes, load)
    load.stop_soon()
    report = await running
    assert report.failed == 0
    assert report.download.closed == report.download.failed == report.download.given_up == 0
    assert (report.stream.opened, report.stream.closed) == (1, 0)
    assert (report.websocket.connected, report.websocket.closed) == (1, 0)


async def test_what_a_server_that_stops_closes_properly_is_closed_and_opened_again(server):
    load = Load(held(server))
    running = asyncio.create_task(load.run())
    await until(lambda r: r.websocket and r.websocket.echoed >= 1 and r.stream.bytes, load)
    server.going_down.set()
    await until(lambda r: r.websocket.closed and r.stream.closed and r.download.closed, load)
    server.going_down.clear()
    await until(lambda r: r.websocket.connected >= 2 and r.stream.opened >= 2 and r.download.completed >= 1, load)
    load.stop_soon()
    report = await running
    assert report.failed == 0, report.to_text()


@pytest.mark.parametrize(("code", "reason"), [(1011, "websocket-closed-1011"), (0, "websocket-cut")])
async def test_a_websocket_that_is_cut_or_closed_for_an_error_is_a_failure(server, code, reason):
    load = Load(Profile(url=server.url, websocket=f"/ws/{code}", websocket_every_s=0.01, seconds=20))
    running = asyncio.create_task(load.run())
    await until(lambda r: r.websocket and r.websocket.echoed >= 1, load)
    server.going_down.set()
    await until(lambda r: r.failed, load)
    load.stop_soon()
    assert reason in (await running).reasons


async def test_a_download_that_is_cut_is_a_failure(server):
    load = Load(Profile(url=server.url, download="/cut", seconds=20))
    running = asyncio.create_task(load.run())
    await until(lambda r: r.failed >= 2, load)
    load.stop_soon()
    report = await running
    assert set(report.reasons) == {"download-cut"}
    assert report.download.completed == 0


async def test_it_runs_in_a_thread_of_its_own_and_can_be_looked_at(server):
    load = Load(Profile(url=server.url, rate=300, get=("/",)))
    await asyncio.to_thread(load.start)
    async with asyncio.timeout(120):
        while load.report().total < 10:
            await asyncio.sleep(0.01)
    report = await asyncio.to_thread(load.stop)
    assert report.failed == 0
    assert report.total >= 10
    assert load.report() == report


async def test_a_run_that_is_cancelled_leaves_nothing_behind(server):
    load = Load(held(server, rate=100, get=("/", "/silent")))
    running = asyncio.create_task(load.run())
    await until(lambda r: r.outstanding and r.websocket.echoed, load)
    running.cancel()
    await asyncio.wait([running])
    await asyncio.sleep(0)
    names = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}
    assert not {name for name in names if name.startswith(("Load", "Held", "Pool"))}


async def command(*words):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "hitless.testing.load",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_ends_at_a_signal_and_prints_its_report(server, number):
    process = await command("--url", server.url, "--rate", "200", "--seconds", "60", "--post", "/rows", "--json")
    async with asyncio.timeout(120):
        while not server.rows:
            await asyncio.sleep(0.01)
        process.send_signal(number)
        out, err = await process.communicate()
    report = json.loads(out)
    assert (process.returncode, err) == (0, b"")
    assert set(report["posts"]["acknowledged"]) == set(server.rows)
    assert {part["path"] for part in report["slices"]} == {"/rows"}


async def test_the_command_tells_failures_by_its_exit_code_and_in_words(server):
    process = await command("--url", server.url, "--rate", "200", "--requests", "10", "--get", "/error")
    out, _ = await process.communicate()
    assert process.returncode == 1
    assert "status-500: 10" in out.decode()


async def test_the_command_refuses_what_makes_no_sense():
    process = await command("--url", "ftp://somewhere")
    out, err = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert err.startswith(b"load-profile: url")


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 0},
        {"seconds": 1e9},
        {"get": ("no slash",)},
        {"get": ("/a\r\nX: y",)},
        {"named_users": ("a b",)},
        {"user_header": "X:"},
        {"check": "/rows"},
        {"get": ()},
        {"url": "http://h/path"},
    ],
)
def test_a_profile_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(InvalidInput):
        Profile(**({"url": "http://127.0.0.1:1", "get": ("/",)} | wrong))
