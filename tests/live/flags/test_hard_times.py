"""Two hundred clients through a kill, and input that is too large, circular or of the wrong kind."""

import asyncio
import json
import socket
import time
from typing import Any

import grpc
import pytest

pytestmark = pytest.mark.live

CLIENTS = 200
FLAG = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"}


class Client:
    """A client that is told of changes and comes back with the last event that it saw, as browsers do."""

    def __init__(self, port: int) -> None:
        self.port, self.last = port, ""

    async def connect(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        known = f"Last-Event-ID: {self.last}\r\n" if self.last else ""
        self.writer.write(f"GET /ofrep/v1/events HTTP/1.1\r\nHost: x\r\n{known}\r\n".encode())
        await self.reader.readuntil(b": connected")

    async def told(self) -> None:
        await self.reader.readuntil(b"id: ")
        self.last = (await self.reader.readuntil(b"\n")).decode().strip()
        await self.reader.readuntil(b"refetchEvaluation")


async def test_two_hundred_clients_are_told_of_each_change_and_after_a_kill_of_what_they_missed(server: Any) -> None:
    clients = [Client(server.http) for _ in range(CLIENTS)]
    async with asyncio.timeout(240):
        await asyncio.gather(*(client.connect() for client in clients))
        server.write({"f": FLAG | {"defaultVariant": "on"}})
        await asyncio.gather(*(client.told() for client in clients))
        before = {client.last for client in clients}
        await asyncio.to_thread(server.kill)
        for client in clients:
            client.writer.close()
        server.sets["default"].write_text(json.dumps({"flags": {"f": FLAG | {"state": "DISABLED"}}}))
        await asyncio.to_thread(server.start)
        await asyncio.gather(*(client.connect() for client in clients))
        await asyncio.gather(*(client.told() for client in clients))
    after = {client.last for client in clients}
    assert len(before) == len(after) == 1
    assert before != after
    for client in clients:
        client.writer.close()


def test_ten_megabytes_are_refused_before_they_are_read(server: Any) -> None:
    with socket.create_connection(("127.0.0.1", server.http), timeout=60) as raw:
        raw.sendall(b"POST /ofrep/v1/evaluate/flags/f HTTP/1.1\r\nHost: x\r\nContent-Length: 10485760\r\n\r\n")
        assert raw.recv(64).startswith(b"HTTP/1.1 413")
    assert server.post("/ofrep/v1/evaluate/flags/f", b" " * 10_485_760)[0] == 413  # and who sends it all reads it
    assert server.value() is False


BAD = {
    "circular": {"targeting": {"if": [{"$ref": "a"}, "on", "off"]}},
    "unknown operator": {"targeting": {"no_such": [1]}},
    "no variants": {"variants": {}},
    "wrong state": {"state": "MAYBE"},
    "wrong default": {"defaultVariant": 7},
    "a list for a rule": {"targeting": [1]},
}


def test_each_bad_flag_answers_parse_error_and_the_good_ones_live(server: Any) -> None:
    flags = {"f": FLAG | {"defaultVariant": "on"}, **{name: FLAG | more for name, more in BAD.items()}, "a number": 5}
    evaluators = {"a": {"and": [{"$ref": "b"}]}, "b": {"or": [{"$ref": "a"}]}}
    server.sets["default"].write_text(json.dumps({"flags": flags, "$evaluators": evaluators}))
    server.until(lambda: server.value() is True)
    for name in (*BAD, "a number"):
        status, _, answer = server.post(f"/ofrep/v1/evaluate/flags/{name.replace(' ', '%20')}", {})
        assert (status, answer["errorCode"]) == (400, "PARSE_ERROR"), name
    bulk = server.post("/ofrep/v1/evaluate/flags", {})[2]["flags"]
    assert {each["key"] for each in bulk if "errorCode" in each} == {*BAD, "a number"}


def test_weights_over_the_limit_and_a_missing_key_give_the_default(server: Any) -> None:
    heavy = {"fractional": [{"var": "targetingKey"}, ["on", 2**31], ["off", 1]]}
    split = {"fractional": [["on", 100], ["off", 0]]}
    server.write({"f": FLAG | {"targeting": split}, "heavy": FLAG | {"targeting": heavy}})
    server.until(lambda: server.value(targetingKey="u") is True)
    assert server.post("/ofrep/v1/evaluate/flags/f", {})[2]["reason"] == "DEFAULT"
    assert server.post("/ofrep/v1/evaluate/flags/heavy", {"context": {"targetingKey": "u"}})[2]["reason"] == "DEFAULT"


def test_a_client_that_pings_all_the_time_keeps_its_stream(server: Any) -> None:
    """The official Python provider asks for keep-alive after 0 ms; a server that minds cuts it off every minute."""
    options = [("grpc.keepalive_time_ms", 1), ("grpc.http2.max_pings_without_data", 0)]
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}", options=options) as channel:
        stream = channel.unary_stream("/flagd.sync.v1.FlagSyncService/SyncFlags")(b"")
        assert b"defaultVariant" in next(stream)
        time.sleep(3)  # many pings
        server.write({"f": FLAG | {"metadata": {"note": "changed"}}})
        assert b"changed" in next(stream)
        stream.cancel()
