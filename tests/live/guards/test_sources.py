"""Guards that need more than the answers of one service: what users do next, and what others measure."""

import gzip
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from prometheus_server import PARSE_ERROR, PrometheusServer, serving

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]
SHOPPERS_LIMIT = 6000
PROTOBUF = "application/x-protobuf"


def taken_back(shop: Any, change: str) -> dict[str, Any]:
    """Apply a change that must go back; return its last verdict."""
    out = shop.hitless("--json", "apply", change, exit_code=5)
    verdict: dict[str, Any] = shop.show(json.loads(out.splitlines()[0])["run"])["verdicts"][-1]
    return verdict


@contextmanager
def going_on(work: Any) -> Iterator[None]:
    """Do some work again and again beside what is tested."""
    over = threading.Event()

    def repeat() -> None:
        for number in range(SHOPPERS_LIMIT):
            if over.is_set():
                return
            work(number)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(120)


def ask(url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, sent), timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_version_that_answers_everything_but_sells_nothing_is_taken_back(shop: Any) -> None:
    """People who see a button buy something, every second one; the new version has no button."""

    def visit(number: int) -> None:
        user = f"shopper-{number}"
        _, page = ask(f"{shop.url}/", X_User_Id=user)
        if b"<button>" in page and number % 2:
            order = json.dumps({"id": f"{user}-order", "item": "a book"}).encode()
            ask(f"{shop.url}/orders", order, X_User_Id=user, Content_Type="application/json")
        time.sleep(0.02)

    services = "services: { web: { to: '9.8', steps: [30%, 100%], bake: 100s } }"
    guards = "guards: { latency: { worse: 20x }, business: { at: orders, within: 2s } }"
    change = shop.change("unsold", f"{services}\n{guards}")
    with going_on(visit):
        assert any("half of them lost shows after about" in said for said in shop.planned(change)["remarks"])
        verdict = taken_back(shop, change)
    assert (verdict["verdict"], verdict["guard"]) == ("worse", "business")
    assert "users of web 9.8 do not POST to orders in time" in verdict["reason"]
    assert verdict["canary"]["failed"] == 0


class Exporter:
    """A real OpenTelemetry exporter of one version of a service, with the defaults but for its pace."""

    def __init__(self, shop: Any, version: str) -> None:
        self._shop, self._version = shop, version
        self.begin()

    def begin(self) -> None:
        token = (self._shop.state / "run" / "token").read_text().strip()
        exporter = OTLPMetricExporter(
            endpoint=f"{self._shop.control}/v1/metrics",
            headers={"authorization": f"Bearer {token}"},
            compression=Compression.NoCompression if self._version == "9.7" else Compression.Gzip,
        )
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=500)
        self._provider = MeterProvider(
            [reader], Resource.create({"service.version": self._version}), shutdown_on_exit=False
        )
        meter = self._provider.get_meter("shop")
        self.requests, self.failed = meter.create_counter("checkouts"), meter.create_counter("checkouts.failed")

    def count(self, requests: int, failed: int) -> None:
        self.requests.add(requests)
        self.failed.add(failed)

    def end(self) -> None:
        self._provider.shutdown()


@contextmanager
def exporters(shop: Any) -> Iterator[None]:
    """Both versions count checkouts; one in three fails in the new one. The old one's counters begin again at times."""
    old, new = Exporter(shop, shop.version("orders")), Exporter(shop, "9.7")

    def count(number: int) -> None:
        old.count(19, int(number % 10 == 0))
        new.count(3, 1)
        if number % 60 == 59:
            old.end()
            old.begin()
        time.sleep(0.1)

    try:
        with going_on(count):
            yield
    finally:
        old.end()
        new.end()


def test_what_opentelemetry_measures_takes_a_version_back_that_the_gateway_finds_well(shop: Any) -> None:
    guards = (
        "guards: { metrics: { checkout: { source: opentelemetry, by: service.version, requests: checkouts, "
        "bad: checkouts.failed, every: 2s, lag: 2s } } }"
    )
    services = "services: { orders: { to: '9.7', steps: [30%, 100%], bake: 100s } }"
    with exporters(shop):
        verdict = taken_back(shop, shop.change("measured", f"{services}\n{guards}"))
    assert (verdict["verdict"], verdict["guard"]) == ("worse", "checkout")
    assert "by checkout, requests of orders 9.7 fail" in verdict["reason"]
    assert verdict["ratio"]["low"] > 5  # 1 of 3 against 1 of 190: windows with a reset are no evidence, and no drop


def test_a_query_that_prometheus_takes_for_none_is_refused_before_anything_is_touched(shop: Any) -> None:
    with serving(PrometheusServer({"checkouts_total": {shop.version("orders"): 7.0}})) as url:
        metric = f"{{ url: '{url}', requests: checkouts_total, bad: 'checkouts_failed_total{{(' }}"
        services = "services: { orders: { to: '9.7', steps: [30%, 100%] } }"
        change = shop.change("mistyped", f"{services}\nguards: {{ metrics: {{ checkout: {metric} }} }}")
        plan = json.loads(shop.hitless("--json", "plan", change, exit_code=3))
        shop.hitless("apply", change, exit_code=3)
    (refusal,) = plan["refusals"]
    assert refusal["code"] == "broken-query"
    assert PARSE_ERROR in refusal["text"]


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"\xff\xff", {"content_type": PROTOBUF}, "broken-metrics"),
        (b"{", {"content_type": "application/json"}, "broken-metrics"),
        (b"[]", {"content_type": "application/json"}, "broken-metrics"),
        (b"x", {"content_type": "text/plain"}, "not-otlp"),
        (b"x", {"content_type": PROTOBUF, "content_encoding": "br"}, "unknown-encoding"),
        (b"x", {"content_type": PROTOBUF, "content_encoding": "gzip"}, "broken-metrics"),
        (
            gzip.compress(b"\n" * 50_000_000, mtime=0),
            {"content_type": PROTOBUF, "content_encoding": "gzip"},
            "body-too-large",
        ),
        (
            gzip.compress(b"\n" * 1000, mtime=0)[:-9],
            {"content_type": PROTOBUF, "content_encoding": "gzip"},
            "broken-metrics",
        ),
    ],
)
def test_what_is_no_metrics_request_is_refused_with_the_reason(
    shop: Any, body: bytes, headers: dict[str, str], code: str
) -> None:
    token = (shop.state / "run" / "token").read_text().strip()
    status, said = ask(f"{shop.control}/v1/metrics", body, authorization=f"Bearer {token}", **headers)
    assert (status, json.loads(said)["code"]) == (400, code)


def test_who_has_no_token_is_not_heard(shop: Any) -> None:
    status, said = ask(f"{shop.control}/v1/metrics", b"", content_type=PROTOBUF)
    assert (status, json.loads(said)["code"]) == (403, "no-token")
