"""PromQL over HTTP, against a server of the standard library that answers as Prometheus does."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from hitless.signals.metrics import Metric
from hitless.signals.prometheus import Prometheus

pytestmark = pytest.mark.live


class Answering(BaseHTTPRequestHandler):
    asked: ClassVar[list[dict[str, list[str]]]] = []

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        self.asked.append(query)
        value = {"metric": {"version": "1.0"}, "value": [float(query["time"][0]), "7"]}
        body = {"status": "success", "data": {"resultType": "vector", "result": [value]}}
        status = 200
        if query["query"] == ["broken("]:
            status, body = 400, {"status": "error", "errorType": "bad_data", "error": "unclosed"}
        text = b"<html>" if query["query"] == ["proxy"] else json.dumps(body).encode()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def metric(url: str) -> Metric:
    return Metric(
        name="m", source="prometheus", requests="", bad="", by="version", lag_s=0, every_s=10, worse=1, url=url
    )


async def test_an_expression_is_asked_for_at_a_moment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS", url + "/")
    found = await Prometheus().sample(metric("env:PROMETHEUS"), 'up{job="a b"}', 1700000000.25)
    assert [(each.version, each.value) for each in found.values()] == [("1.0", 7.0)]
    assert Answering.asked[-1] == {"query": ['up{job="a b"}'], "time": ["1700000000.250"]}


@pytest.mark.parametrize(("expression", "says"), [("broken(", "400"), ("proxy", "something else")])
async def test_what_cannot_be_answered_is_an_error_of_the_source(url: str, expression: str, says: str) -> None:
    with pytest.raises(OSError, match=says):
        await Prometheus().sample(metric(url), expression, 1.0)


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "env:NOT_SET_AT_ALL", "file:///etc/passwd"])
async def test_a_source_that_is_not_there_is_an_error_of_the_source(address: str) -> None:
    with pytest.raises(OSError, match=r"."):
        await Prometheus().sample(metric(address), "up", 1.0)
