"""PromQL over HTTP, against a server of the standard library that answers as Prometheus does."""

import socket
from collections.abc import Iterator

import pytest

from hitless.app.facts import Facts, Occupied, ServiceNow
from hitless.app.measured import asked
from hitless.app.proposal import Proposal
from hitless.plan.change import read_change
from hitless.runtime.steps import Launch
from hitless.signals.metrics import BrokenQuery, Metric
from hitless.signals.otlp import OtlpMemory
from hitless.signals.prometheus import Prometheus
from hitless.traffic.steps import Routing
from prometheus_server import MANY, PARSE_ERROR, PROXY, PrometheusServer, serving

pytestmark = pytest.mark.live
UP = 'up{job="a b"}'


@pytest.fixture
def server() -> PrometheusServer:
    return PrometheusServer(
        {UP: {"1.0": 7.0}, "all": {"1.0": 7.0}, "bad": {"1.0": 0.0}, "strange": {"": 1.0, "0.9": 1.0}}
    )


@pytest.fixture
def url(server: PrometheusServer) -> Iterator[str]:
    with serving(server) as url:
        yield url


def metric(url: str) -> Metric:
    return Metric(
        name="m", source="prometheus", requests="", bad="", by="version", lag_s=0, every_s=10, worse=1, url=url
    )


async def test_an_expression_is_asked_for_at_a_moment(
    server: PrometheusServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS", url + "/")
    found = await Prometheus().sample(metric("env:PROMETHEUS"), UP, 1700000000.25)
    assert [(each.version, each.value) for each in found.values()] == [("1.0", 7.0)]
    assert server.asked[-1] == {"query": [UP], "time": ["1700000000.250"]}


async def test_what_cannot_be_answered_is_an_error_of_the_source(url: str) -> None:
    with pytest.raises(OSError, match="something else"):
        await Prometheus().sample(metric(url), PROXY, 1.0)


@pytest.mark.parametrize(
    ("expression", "says"),
    [("broken(", PARSE_ERROR), ("a / on () b", MANY), ("up[5m]", "it gives a matrix"), ("1", "it gives a scalar")],
)
async def test_an_expression_that_is_none_is_told_apart_from_a_source_that_is_away(
    url: str, expression: str, says: str
) -> None:
    with pytest.raises(BrokenQuery, match=says):
        await Prometheus().sample(metric(url), expression, 1.0)


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "env:NOT_SET_AT_ALL", "file:///etc/passwd"])
async def test_a_source_that_is_not_there_is_an_error_of_the_source(address: str) -> None:
    with pytest.raises(OSError, match=r".") as raised:
        await Prometheus().sample(metric(address), "up", 1.0)
    assert not isinstance(raised.value, BrokenQuery)


def facts() -> Facts:
    there = Occupied(launch=Launch(service="orders", version="1.0", run=("x",), cwd="/"), numbers=(1, 2))
    now = ServiceNow(routing=Routing(service="orders", baseline="a", version_a="1.0"), slots={"a": there})
    return Facts(services={"orders": now}, requests_per_s={}, long_connections={}, resident_bytes={}, available_bytes=1)


async def at_plan(guards: str, more: str = "") -> Proposal:
    """Ask those who measure, as `plan` does."""
    text = f"change: c\nservices: {{ orders: {{ to: '2'{more} }} }}\nguards: {{ {guards} }}\n"
    otlp = OtlpMemory()
    sources = {"prometheus": Prometheus(), "opentelemetry": otlp}
    return await asked(read_change(text, file="c"), facts(), sources, 1700000000.0)


def checkout(url: str, requests: str = "all", bad: str = "bad") -> str:
    return f"metrics: {{ checkout: {{ url: '{url}', requests: '{requests}', bad: '{bad}' }} }}"


async def test_guards_whose_series_are_there_are_no_word_of_a_plan(server: PrometheusServer, url: str) -> None:
    assert await at_plan(f"{checkout(url)}, saturation: {{ url: '{url}', load: all }}") == Proposal()
    assert {each["time"][0] for each in server.asked} == {"1699999970.000"}  # `lag` ago: what is surely there


@pytest.mark.parametrize(("requests", "bad"), [("broken(", "bad"), ("all", "broken("), ("all", "bad[5m]")])
async def test_a_query_that_prometheus_takes_for_none_is_refused_with_its_place_and_what_prometheus_says(
    url: str, requests: str, bad: str
) -> None:
    found = await at_plan(checkout(url, requests, bad))
    (refusal,) = found.refusals
    wrong = "bad" if requests == "all" else "requests"
    assert refusal.code == "broken-query"
    assert refusal.text.startswith(f"guards.metrics.checkout.{wrong} is nothing that prometheus can answer: ")
    assert (PARSE_ERROR if "broken(" in (requests, bad) else "it gives a matrix") in refusal.text


async def test_the_load_of_a_saturation_guard_is_asked_for_as_well(url: str) -> None:
    (refusal,) = (await at_plan(f"saturation: {{ url: '{url}', load: 'max by (version' }}")).refusals
    assert (refusal.code, refusal.text.split(" is ")[0]) == ("broken-query", "guards.saturation.load")


async def test_a_name_that_is_none_of_opentelemetry_is_refused_and_one_that_nobody_sends_is_said() -> None:
    guards = "metrics: {{ m: {{ source: opentelemetry, requests: '{0}', bad: b }} }}"
    (refusal,) = (await at_plan(guards.format("rate(x[5m])"))).refusals
    assert refusal.code == "broken-query"
    unsent = await at_plan(guards.format("a"))
    assert unsent.refusals == ()
    assert [each.split(":")[0] for each in unsent.remarks] == ["no-series", "no-series"]


async def test_series_that_name_no_version_that_runs_are_said_with_the_versions_they_name(url: str) -> None:
    unnamed, unknown = await at_plan(checkout(url, "strange")), await at_plan(checkout(url, "typo"))
    said = "no-series: guards.metrics.checkout: requests shows nothing of orders 1.0 (version is '1.0'), "
    said += "but 2 series, where version is '', '0.9'; the step would wait for it"
    assert unnamed.remarks == (said,)
    assert "but no series at all" in unknown.remarks[0]
    assert unnamed.refusals == unknown.refusals == ()


async def test_a_counter_of_failures_that_shows_nothing_is_said_since_that_may_be_good_or_a_wrong_name(
    url: str,
) -> None:
    (said,) = (await at_plan(checkout(url, "all", "typo"), ", evidence: required")).remarks
    assert said.startswith("no-series: guards.metrics.checkout.bad shows no series: right where nothing")


async def test_a_rate_is_no_counter_and_a_plan_says_so(server: PrometheusServer, url: str) -> None:
    server.series["sum by (version) (rate(x[1m]))"] = {"1.0": 0.3}
    (said,) = (await at_plan(checkout(url, "sum by (version) (rate(x[1m]))"))).remarks
    assert said.startswith("no-counter: guards.metrics.checkout.requests uses rate(): ")


@pytest.mark.parametrize(
    ("more", "codes", "waits"),
    [
        ("", [], "the step would wait for it"),
        (", evidence: none", [], "the step does not wait for it"),
        (", evidence: required", ["blind-guard"], "the step would wait for it"),
        (", evidence: required, accept_blind: true", [], "the step would wait for it"),
    ],
)
async def test_a_server_that_does_not_answer_is_said_and_refused_only_where_a_step_must_have_evidence(
    more: str, codes: list[str], waits: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        away = f"http://127.0.0.1:{taken.getsockname()[1]}"
    found = await at_plan(checkout(away), more)
    said = f"silent-source: guards.metrics.checkout: Prometheus does not answer: Connection refused; {waits}"
    assert ([each.code for each in found.refusals], found.remarks) == (codes, (said,))


@pytest.mark.parametrize("status", [401, 404, 503])
async def test_what_stands_before_prometheus_and_lets_nobody_through_is_no_fault_of_the_query(
    server: PrometheusServer, url: str, status: int
) -> None:
    server.status = status
    found = await at_plan(checkout(url))
    assert found.refusals == ()
    assert found.remarks[0].startswith(f"silent-source: guards.metrics.checkout: Prometheus refuses checkout: {status}")
