"""What HAProxy is started from."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.kit.errors import HitlessError, InvalidInput
from hitless.kit.units import Share
from hitless.plan.instances import INSTANCES_LIMIT, InstanceId
from hitless.plan.system import System, read_system
from hitless.traffic import words
from hitless.traffic.config import GatewayConfig
from hitless.traffic.memory import Memory
from hitless.traffic.ports import Place
from hitless.traffic.steps import Routing

TEXT = """
system: shop
gateway: { user: "header:X-User-Id" }
groups: { staff: { users: [ann] } }
services:
  web: { route: /, run: [web], version: "1.0" }
  orders: { route: /orders/, run: [orders], version: "1.0", ready: /healthz, timeout: 5s, idle: 2h, drain: 1m }
  hidden: { run: [hidden], version: "1.0" }
"""
A1, B2 = InstanceId("orders", "a", 1), InstanceId("orders", "b", 2)
ROUTING = Routing(service="orders", baseline="a", version_a="1.0", version_b="1.1", share=Share(500), salt="r1")
MEMORY = Memory(
    routings={"orders": ROUTING},
    places={A1: Place(port=4001, state="ready"), B2: Place(port=4002, state="drain")},
    epoch=7,
)


def system(text: str = TEXT) -> System:
    return read_system(text, file="hitless.yaml")


def config(text: str = TEXT, memory: Memory = MEMORY, **more: object) -> GatewayConfig:
    return GatewayConfig(system=system(text), memory=memory, recorder_port=5000, **more)  # type: ignore[arg-type]


def test_every_place_that_an_instance_can_take_is_declared_twice():
    text = config().text()
    assert len(re.findall(r"^    server [ir]\d+ ", text, re.MULTILINE)) == 3 * 2 * 2 * INSTANCES_LIMIT


def test_a_ready_place_stands_with_its_port_and_all_others_are_closed():
    text = config().text()
    assert re.findall(r"^    server (\w+) 127\.0\.0\.1:(\d+) (?:check|backup)$", text, re.MULTILINE) == [
        ("i1", "4001"),
        ("r1", "4001"),
    ]
    assert "server i2 127.0.0.1:4002 disabled check" in text


def test_times_of_a_service_reach_its_backends():
    text = config().text()
    backend = text.partition("backend orders.b")[2].partition("\n\n")[0]
    for line in ("tcp-response inspect-delay 5000ms", "timeout tunnel 7200000ms", "uri /healthz"):
        assert line in backend
    assert "hard-stop-after 70000ms" in text


def test_who_has_no_name_gets_a_cookie_only_where_the_file_names_no_user():
    assert "set-cookie" not in config().text()
    text = config(TEXT.replace('user: "header:X-User-Id"', "")).text()
    assert "HttpOnly; SameSite=Lax" in text
    assert "; Secure" not in text


def test_the_oldest_haproxy_is_not_asked_for_what_it_cannot_do():
    assert "tcp-response" not in config(version=(2, 6, 12)).text()


def test_maps_hold_one_row_each():
    files = config(groups={"staff": ("ann", "ben")}).files()
    assert files["gateway/routing.map"] == "web -\norders orders.a~1.0|orders.b~1.1|500|r1|-|7\nhidden -\n"
    assert files["gateway/routes.map"] == "/ web\n/orders/ orders\n"
    assert files["gateway/groups.map"] == "staff|ann 1\nstaff|ben 1\n"


@pytest.mark.parametrize(
    ("baseline", "share", "first"), [("a", 0, "a"), ("b", 0, "b"), ("a", 9999, "a"), ("a", 10_000, "b")]
)
def test_the_first_arm_is_where_everybody_goes_who_is_not_chosen(baseline, share, first):
    routing = Routing(service="orders", baseline=baseline, share=Share(share), group="staff", version_a="1")
    fields = words.row(routing, 3).split("|")
    assert fields[0].startswith(f"orders.{first}~")
    assert int(fields[2]) < 10_000
    assert fields[4] == ("staff" if share < 10_000 else "-")


HOSTILE = st.text(st.sampled_from("ab1 \n\r\t;|#'\"\\%{}$,~"), min_size=1, max_size=12)


@given(HOSTILE, st.sampled_from(("service", "salt", "group", "version_a")))
def test_nothing_that_could_end_a_word_reaches_a_row(text, name):
    routing = Routing(**({"service": "orders", "baseline": "a"} | {name: text}))
    try:
        row = words.row(routing, 1)
    except InvalidInput:
        return
    assert re.fullmatch(r"[A-Za-z0-9._:~|-]+", row)
    assert row.count("|") == 5


@given(HOSTILE)
def test_users_of_groups_cannot_forge_lines_or_keys(user):
    try:
        text = config(groups={"staff": (user,)}).groups_map()
    except InvalidInput:
        return
    assert len(text.splitlines()) == 1
    assert text == f"staff|{user} 1\n"
    assert text.count("|") == 1


@given(HOSTILE)
def test_hostile_words_never_reach_the_configuration(text):
    """The models of the system file refuse them already; the gateway does not count on it."""
    good = system()
    changed = {
        "services": {"web": good.services["web"].model_copy(update={"ready": text})},
        "gateway": good.gateway.model_copy(update={"user": f"header:{text}"}),
    }
    for name, value in changed.items():
        try:
            rendered = GatewayConfig(
                system=good.model_copy(update={name: value}), memory=Memory(), recorder_port=1
            ).text()
        except InvalidInput:
            continue
        assert re.fullmatch(r"[a-zA-Z0-9]+", text)
        assert len(rendered.splitlines()) == len(
            GatewayConfig(system=good.model_copy(update={name: value}), memory=Memory(), recorder_port=1)
            .text()
            .splitlines()
        )


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (words.address, "127.0.0.1:80 ssl"),
        (words.address, "localhost:80"),
        (words.network, "10.0.0.0/8 127.0.0.1"),
        (words.header, "X User"),
        (words.file, "it's"),
        (words.file, "a\nb"),
        (words.route, "/a b"),
        (words.path, "x"),
        (words.milliseconds, -1.0),
        (words.milliseconds, math.nan),
        (words.port, 0),
        (words.port, 70_000),
    ],
)
def test_each_kind_of_word_has_its_own_bounds(check, bad):
    with pytest.raises(InvalidInput):
        check(bad)


def test_endless_drain_is_the_longest_time_that_haproxy_knows():
    assert words.milliseconds(math.inf) == "2147483000ms"


def test_an_instance_beyond_the_places_is_refused():
    with pytest.raises(InvalidInput, match="32"):
        words.servers(InstanceId("orders", "a", INSTANCES_LIMIT + 1))


def test_what_is_remembered_is_read_back():
    assert Memory.read(MEMORY.write()) == MEMORY


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"routings": {}, "places": {"x": {}}, "epoch": 1}'])
def test_a_broken_memory_is_an_error_with_a_code(text):
    with pytest.raises(HitlessError) as caught:
        Memory.read(text)
    assert caught.value.code == "gateway-state-broken"
