"""Requests through a real HAProxy: routes, drains, failures, time limits, and a gateway that is killed."""

import asyncio
import json
import shutil
import ssl
import subprocess
from dataclasses import replace

import pytest

from hitless.kit.errors import HitlessError, InvalidInput
from hitless.kit.fence import Fence, Fenced
from hitless.kit.units import Share
from hitless.plan.instances import InstanceId
from hitless.traffic import config
from hitless.traffic.haproxy import HaproxyGateway
from hitless.traffic.ports import Place
from hitless.traffic.steps import Routing

pytestmark = pytest.mark.live

A1, A2, B1 = (InstanceId.parse(name) for name in ("orders-a1", "orders-a2", "orders-b1"))
WEBSOCKET = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
ALL_A = Routing(service="orders", baseline="a", version_a="1.0", version_b="1.1")
HASTY = Routing(service="hasty", baseline="a", version_a="1.0")


async def serve(world, *services):
    for service in services:
        await world.instance(f"{service}-a1")
        await world.gateway.route(Routing(service=service, baseline="a", version_a="1.0"))


async def test_the_longest_route_in_whole_segments_wins(world):
    await serve(world, "web", "orders", "hosted", "hidden")
    wanted = {"/": "web", "/orders": "orders", "/orders/": "orders", "/orders/7?x=/": "orders", "/ordersX": "web"}
    for path, service in wanted.items():
        answer = await world.get(path)
        assert (answer.by, answer.seen["path"]) == (f"{service}-a1", path)
    assert (await world.get("/orders/7", host="admin.example:8080")).by == "hosted-a1"
    assert (await world.get("/hidden")).by == "web-a1"
    assert (await world.ask("/hidden/x", port=world.internal)).by == "hidden-a1"
    missing = await world.ask("/nothing", port=world.internal)
    assert (missing.status, json.loads(missing.body)["code"]) == (404, "no-service")


async def test_who_asked_is_told_and_a_claim_is_not_believed(world):
    await serve(world, "web")
    seen = (await world.get("/", x_forwarded_for="1.2.3.4", forwarded="for=1.2.3.4", host="a.example")).seen["headers"]
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert (seen["x-forwarded-proto"], seen["x-forwarded-host"]) == ("http", "a.example")
    assert "forwarded" not in seen


async def test_a_trace_is_begun_if_there_is_none_and_else_kept(world):
    await serve(world, "web")
    begun = (await world.get("/")).seen["headers"]["traceparent"].split("-")
    assert [len(part) for part in begun] == [2, 32, 16, 2]
    assert int(begun[1], 16) > 0
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert (await world.get("/", traceparent=trace)).seen["headers"]["traceparent"] == trace


async def test_a_repointed_instance_gets_the_requests_at_once(world):
    old, _ = await world.two_versions()
    async with world.connected(world.public) as client:
        for _ in range(3):
            await client.send("/orders")
            await client.receive()
        new = await world.instance("orders-a9", admitted=False)
        await world.gateway.admit(A1, new.port)
        before = len(old.seen)
        for _ in range(10):
            await client.send("/orders")
            assert (await client.receive()).by == "orders-a9"
            assert (await world.get()).by == "orders-a9"
        assert len(old.seen) == before


async def test_an_admitted_instance_takes_requests_before_its_first_check(world):
    instance = await world.instance("orders-a1", admitted=False)
    instance.ready = 503
    await world.gateway.route(ALL_A)
    await world.gateway.admit(A1, instance.port)
    assert (await world.get()).status == 200


async def test_a_draining_instance_gets_nothing_new_and_keeps_what_it_has(world):
    first = await world.instance("orders-a1")
    await world.gateway.route(ALL_A)
    async with world.connected(world.public) as stream, world.connected(world.public) as socket:
        await stream.send("/orders/stream")
        assert (await stream.head()).status == 200
        assert await stream.chunk() == b"first"
        await socket.send("/orders/ws", {**WEBSOCKET, "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="})
        assert (await socket.head()).status == 101
        second = await world.instance("orders-a2")
        assert await world.gateway.in_flight(A1) == 2

        await world.gateway.drain(A1)
        assert (await world.gateway.places())[A1] == Place(port=first.port, state="drain")
        before = len(first.seen)
        assert {(await world.get()).by for _ in range(20)} == {"orders-a2"}
        assert (len(first.seen), len(second.seen)) == (before, 20)

        socket.writer.write(b"still there")
        assert await socket.reader.read(100) == b"still there"
        first.go_on.set()
        assert (await stream.chunk(), await stream.chunk()) == (b"last", b"")
        await world.until(lambda: flying(world, A1, 1))
        socket.close()
        await world.until(lambda: flying(world, A1, 0))
    await world.gateway.remove(A1)
    assert A1 not in await world.gateway.places()


async def flying(world, instance, count) -> bool:
    return await world.gateway.in_flight(instance) == count


async def test_a_drained_instance_can_be_admitted_again(world):
    instance = await world.instance("orders-a1")
    await world.gateway.route(ALL_A)
    await world.gateway.drain(A1)
    assert (await world.get()).status == 503
    await world.gateway.admit(A1, instance.port)
    assert (await world.get()).status == 200
    await world.gateway.remove(A1)
    assert (await world.get()).status == 503
    await world.gateway.admit(A1, instance.port)
    assert (await world.get()).status == 200


async def test_no_request_fails_while_instances_are_replaced_under_load(world):
    old = await world.instance("orders-a1")
    await world.gateway.route(ALL_A)
    failures, asked, over = [], 0, asyncio.Event()

    async def load(method: str) -> None:
        nonlocal asked
        async with world.connected(world.public) as client:
            while not over.is_set():
                await client.send("/orders", method=method)
                asked += 1
                if (await client.receive()).status != 200:
                    failures.append(method)

    async with asyncio.TaskGroup() as group:
        for method in ("GET", "POST", "GET", "POST"):
            group.create_task(load(method))
        for number in range(2, 12):
            new = await world.instance(f"orders-a{number}")
            previous = InstanceId("orders", "a", number - 1)
            await world.gateway.drain(previous)
            await world.until(lambda: flying(world, previous, 0))  # noqa: B023
            await world.gateway.remove(previous)
            old.stop()
            old = new
        over.set()
    assert asked > 50
    assert failures == []


async def test_an_idempotent_request_survives_the_death_of_its_instance(world):
    bad, good = await world.instance("orders-a1"), await world.instance("orders-a2")
    await world.gateway.route(ALL_A)
    bad.drop = True
    for method, headers in (("GET", {}), ("PUT", {}), ("POST", {"idempotency-key": "k"})):
        answers = [await world.ask("/orders", method=method, body=b"abc", headers=headers) for _ in range(6)]
        assert {(answer.status, answer.by) for answer in answers} == {(200, "orders-a2")}
        assert {body for how, _, body in good.seen if how == method} == {b"abc"}


async def test_a_request_that_is_not_idempotent_is_sent_once(world):
    instances = [await world.instance("orders-a1"), await world.instance("orders-a2")]
    await world.gateway.route(ALL_A)
    for instance in instances:
        instance.drop = True
    for _ in range(4):
        assert (await world.ask("/orders", method="POST", body=b"abc")).status == 502
    assert sum(len(instance.seen) for instance in instances) == 4
    for instance in instances:
        instance.drop, instance.status = False, 503
        instance.seen.clear()
    assert (await world.ask("/orders", method="POST", body=b"abc")).status == 503
    assert sum(len(instance.seen) for instance in instances) == 1


async def test_a_dead_instance_costs_no_request_of_any_kind(world):
    dead = await world.instance("orders-a1")
    await world.instance("orders-a2")
    await world.gateway.route(ALL_A)
    dead.stop()
    answers = [await world.ask("/orders", method=method) for method in ("GET", "POST") for _ in range(10)]
    assert {answer.by for answer in answers} == {"orders-a2"}


async def test_a_failing_instance_is_ejected_but_never_the_last_one(world):
    instances = [await world.instance("orders-a1"), await world.instance("orders-a2")]
    await world.gateway.route(ALL_A)
    instances[0].ready = 500

    async def only(names: set[str]) -> bool:
        return {(await world.get()).by for _ in range(8)} == names

    await world.until(lambda: only({"orders-a2"}))
    instances[1].ready = 500
    await world.until(lambda: only({"orders-a1", "orders-a2"}))
    instances[0].ready = 200
    await world.until(lambda: only({"orders-a1"}))


async def test_an_instance_that_answers_errors_is_ejected(world):
    bad, _ = await world.instance("orders-a1"), await world.instance("orders-a2")
    await world.gateway.route(ALL_A)
    bad.status = bad.ready = 500
    await world.until(lambda: healthy(world))
    bad.ready = 200


async def healthy(world) -> bool:
    return {(await world.get()).status for _ in range(8)} == {200}


async def test_the_first_byte_has_a_bound_and_a_silent_stream_has_not(world):
    instance = await world.instance("hasty-a1")
    await world.gateway.route(HASTY)
    async with world.connected(world.public) as stream:
        await stream.send("/hasty/stream", {"accept": "text/event-stream"})  # HAProxy 2.6 knows streams by it alone
        assert await stream.head()
        assert await stream.chunk() == b"first"
        assert (await world.get("/hasty/slow")).status == 504
        assert (await world.ask("/hasty/slow", method="POST")).status == 504
        instance.go_on.set()
        assert await stream.chunk() == b"last"


async def test_a_long_upload_is_not_bounded_by_the_time_to_the_first_byte(world):
    await world.instance("hasty-a1")
    await world.gateway.route(HASTY)
    body = b"x" * 40_000
    async with world.connected(world.public) as client:
        client.writer.write(f"POST /hasty HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n".encode())
        for begin in range(0, len(body), 5_000):
            client.writer.write(body[begin : begin + 5_000])
            await asyncio.sleep(0.15)
        answer = await client.receive()
    assert (answer.status, answer.seen["body"]) == (200, body.decode())


async def test_a_killed_gateway_comes_back_in_the_same_state_with_no_controller(world):
    await world.two_versions()
    gone = await world.instance("orders-a2")
    await world.gateway.drain(A2)
    await world.gateway.route(replace(ALL_A, share=Share(10_000)))
    world.kill()
    world.process = subprocess.Popen(world.gateway.command(), stderr=subprocess.DEVNULL)
    await world.until(world.gateway.alive)
    assert {(await world.get(x_user_id=f"u{number}")).by for number in range(10)} == {"orders-b1"}
    assert gone.seen == []
    await world.gateway.reconcile()
    await world.gateway.route(ALL_A)
    assert {(await world.get()).by for _ in range(10)} == {"orders-a1"}


async def test_a_change_while_the_gateway_is_away_is_in_force_when_it_is_back(world):
    await world.two_versions()
    world.kill()
    change = asyncio.create_task(world.gateway.route(replace(ALL_A, baseline="b")))
    await asyncio.sleep(0.1)
    assert not change.done()
    await world.start()
    await change
    assert (await world.get()).by == "orders-b1"


async def test_reconcile_mends_what_somebody_changed_behind_our_back(world):
    await world.two_versions()
    api = world.gateway._api
    api.set("set map gateway/routing.map orders orders.b~9|orders.a~9|0||-|9", "set server orders.a/i1 state maint")
    api.set("set server orders.b/i5 state ready", "set server orders.b/i1 addr 127.0.0.1 port 9")
    await world.gateway.reconcile()
    assert (await world.get()).by == "orders-a1"
    await world.gateway.route(replace(ALL_A, baseline="b"))
    assert {(await world.get()).by for _ in range(6)} == {"orders-b1"}


async def test_a_zombie_controller_changes_nothing(world):
    await world.two_versions()
    Fence(world.state, 8).raise_epoch()
    with pytest.raises(Fenced):
        await world.gateway.route(replace(ALL_A, baseline="b"))
    assert (await world.gateway.routings())["orders"] == ALL_A
    assert (await world.get()).by == "orders-a1"


async def test_every_request_has_one_record_and_none_is_lost(world):
    await world.two_versions()
    await world.gateway.route(replace(ALL_A, share=Share(5000), salt="s"))
    for number in range(100):
        await world.get(x_user_id=f"u{number}")
    await world.ask("/orders", port=world.internal, method="POST", headers={"x-hitless-user": "bob"})
    await world.until(lambda: len(world.recorder.records) == 101)
    *public, internal = world.recorder.records
    assert len({record["user"] for record in public}) == 100
    assert len({record["trace"] for record in public}) == 100
    assert {(record["backend"], record["version"]) for record in public} == {("orders.a", "1.0"), ("orders.b", "1.1")}
    assert all((int(record["bucket"]) < 5000) == (record["backend"] == "orders.b") for record in public)
    assert {record["listener"] for record in public} == {"public"}
    assert (internal["listener"], internal["method"], internal["status"]) == ("internal", "POST", "200")
    assert await world.gateway.dropped_logs() == 0
    assert (await world.gateway.request_counts())["orders"] == (101, 0)


async def test_a_retry_and_an_error_are_seen_in_the_record(world):
    bad, _ = await world.instance("orders-a1"), await world.instance("orders-a2")
    await world.gateway.route(ALL_A)
    bad.drop = True
    for _ in range(4):
        await world.get()
    bad.drop, bad.status = False, 500
    while (await world.get()).status != 500:
        pass
    await world.until(lambda: any(record["status"] == "500" for record in world.recorder.records))
    saved = [record for record in world.recorder.records if record["retries"] != "0"]
    assert saved
    assert {record["status"] for record in saved} == {"200"}


async def test_a_control_process_that_is_dead_is_said_in_json(world):
    for path, code in (("/api/x", "controller-unreachable"), ("/ofrep/v1/x", "flags-unreachable")):
        answer = await world.ask(path, port=world.control)
        assert (answer.status, json.loads(answer.body)["code"]) == (503, code)


async def test_who_asks_for_flags_too_often_is_told_to_slow_down(world, monkeypatch):
    monkeypatch.setattr(config, "FLAG_RATE", 2)  # a second, of one address
    world.gateway.write_files()
    world.kill()
    await world.start()
    answers = await asyncio.gather(*(world.ask("/ofrep/v1/x", port=world.control) for _ in range(8)))
    assert {answer.status for answer in answers} == {503, 429}  # nobody serves flags here
    slow_down = next(answer for answer in answers if answer.status == 429)
    assert json.loads(slow_down.body)["errorCode"] == "GENERAL"


async def test_control_requests_reach_their_process(world):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 x\r\ncontent-length: 2\r\n\r\nhi")
        await writer.drain()
        writer.close()

    for name, path in (("controller", "/api"), ("flags", "/flags/x")):
        server = await asyncio.start_unix_server(serve, world.state / "run" / f"{name}.sock")
        assert (await world.ask(path, port=world.control)).body == b"hi"
        server.close()


async def test_a_stopped_gateway_lets_what_is_in_flight_end_and_takes_nothing_new(world):
    instance = await world.instance("orders-a1")
    await world.gateway.route(ALL_A)
    async with world.connected(world.public) as stream:
        await stream.send("/orders/stream")
        assert await stream.head()
        world.process.send_signal(world.gateway.stop_signal)
        await world.until(lambda: refused(world))
        assert world.process.poll() is None
        assert await stream.chunk() == b"first"
        instance.go_on.set()
        assert (await stream.chunk(), await stream.chunk()) == (b"last", b"")
    await world.until(lambda: world.process.poll() == 0)


async def refused(world) -> bool:
    try:
        await world.get()
    except ConnectionRefusedError:
        return True
    except (OSError, asyncio.IncompleteReadError):
        return False
    return False


async def test_what_a_trusted_proxy_says_is_kept(run):
    async with run(gateway="trusted_proxies: [127.0.0.0/8]") as world:
        await serve(world, "web")
        said = {"x-forwarded-for": "1.2.3.4", "x-forwarded-proto": "https", "x-forwarded-host": "shop.example"}
        seen = (await world.ask("/", headers=said)).seen["headers"]
        assert seen["x-forwarded-for"] == "1.2.3.4, 127.0.0.1"
        assert (seen["x-forwarded-proto"], seen["x-forwarded-host"]) == ("https", "shop.example")
        seen = (await world.ask("/")).seen["headers"]
        assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == ("127.0.0.1", "http")


async def test_grpc_is_passed_on_as_it_is(world):
    async def echo(reader, writer):
        writer.write(await reader.read(100))
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(echo, world.state / "run" / "flags-grpc.sock")
    grpc = int(world.system.control.grpc.rpartition(":")[2])
    async with world.connected(grpc) as client:
        client.writer.write(b"PRI * HTTP/2.0")
        assert await client.reader.read(100) == b"PRI * HTTP/2.0"
    server.close()


async def test_a_deep_state_folder_has_its_sockets_elsewhere(run):
    async with run(deep="d" * 90) as world:
        assert len(str(world.gateway._api.path)) < 100
        await serve(world, "web")
        assert (await world.get("/")).by == "web-a1"
        shutil.rmtree(world.gateway._api.path.parent)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to make a certificate with")
async def test_tls_and_http2_in_front(run, folder):
    (folder / "certs").mkdir()
    pem = folder / "certs" / "shop.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=shop.example"]
    subprocess.run([*made, "-keyout", str(pem), "-out", str(folder / "c")], check=True, capture_output=True)
    pem.write_text(pem.read_text() + (folder / "c").read_text())
    async with run(gateway="tls: certs/", user="") as world:
        await world.instance("web-a1")
        await world.gateway.route(Routing(service="web", baseline="a", version_a="1.0"))
        async with world.connected(world.public, tls=believing(pem, "http/1.1")) as client:
            await client.send("/")
            answer = await client.receive()
            assert answer.seen["headers"]["x-forwarded-proto"] == "https"
            assert answer.header("set-cookie").endswith("; Secure")
        async with world.connected(world.public, tls=believing(pem, "h2")) as client:
            assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
            client.writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b""))
            # GET https://a/ by the static table of RFC 7541: indexed 2, 7, 4, and a literal for index 1
            client.writer.write(frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x82\x87\x84\x41\x01a"))
            while True:
                kind, payload = await next_frame(client.reader)
                if kind == HEADERS:
                    break
            assert payload[0] == 0x88  # indexed 8: status 200


SETTINGS, HEADERS, END_STREAM, END_HEADERS = 4, 1, 1, 4  # RFC 9113 section 6


def believing(certificate, protocol) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    context.set_alpn_protocols([protocol])
    return context


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


async def next_frame(reader) -> tuple[int, bytes]:
    head = await reader.readexactly(9)
    return head[3], await reader.readexactly(int.from_bytes(head[:3], "big"))


async def test_bad_words_are_refused_and_change_nothing(world):
    await world.two_versions()
    for bad in (
        replace(ALL_A, salt="a b"),
        replace(ALL_A, version_b="1;2"),
        replace(ALL_A, group="x\ny"),
        replace(ALL_A, service="web\n"),
    ):
        with pytest.raises(HitlessError):
            await world.gateway.route(bad)
    with pytest.raises(InvalidInput):
        await world.gateway.admit(InstanceId("orders", "a", 33), 80)
    with pytest.raises(InvalidInput):
        await world.gateway.admit(A1, 0)
    assert await world.gateway.routings() == {"orders": ALL_A}


async def test_what_haproxy_refuses_is_said_before_it_is_started(run, folder):
    with pytest.raises(InvalidInput, match="nowhere"):
        await run(gateway="tls: nowhere/").__aenter__()


async def test_a_service_that_left_the_file_is_forgotten(world, folder):
    await world.two_versions()
    left = world.system.model_copy(update={"services": {"web": world.system.services["web"]}})
    gateway = HaproxyGateway(world.state, left, folder, Fence(world.state, 7), recorder_port=world.recorder.port)
    gateway.write_files()
    assert (await gateway.places(), await gateway.routings()) == ({}, {})
