"""The system file: what is right is read, what is wrong is refused with file, line and a way forward."""

import pytest

from hitless.kit.errors import Exit, InvalidInput
from hitless.plan.system import read_system, service_of

GOOD = """\
system: shop
gateway:
  user: header:X-User-Id
groups:
  staff: { users: [u1, u2] }
databases:
  main: { url: env:SHOP_DATABASE_URL }
services:
  web:
    route: /
    run: [python, -m, web, --port, "{port}"]
    version: "1.0"
    calls: [orders]
  orders:
    route: /orders
    run: [python, -m, orders]
    version: "1.0"
    instances: 2
    drain: none
    calls: [accounts]
    database: main
  accounts:
    run: [python, -m, accounts]
    version: "1.0"
    drain: 1m30s
"""


def refusal(text: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        read_system(text, file="hitless.yaml")
    return caught.value


def test_a_system_file_is_read_with_its_defaults() -> None:
    system = read_system(GOOD, file="hitless.yaml")
    orders = system.services["orders"]
    assert (orders.instances, orders.ready, orders.drain) == (2, "/ready", float("inf"))
    assert system.services["accounts"].drain == 90
    assert system.gateway.listen == "127.0.0.1:8080"


def test_called_services_come_before_their_callers() -> None:
    assert list(read_system(GOOD, file="hitless.yaml").callees_first()) == ["accounts", "orders", "web"]


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "says"),
    [
        ("    instances: 2", "    instancs: 2", "unknown-key", 18, "services.orders.instancs"),
        ("  user: header", "  usr: header", "unknown-key", 3, "gateway.usr"),
        ("    instances: 2", '    instances: "2"', "wrong-type", 18, "services.orders.instances"),
        ("    instances: 2", "    instances: 0", "wrong-type", 18, "services.orders.instances"),
        ("    instances: 2", "    instances: 33", "wrong-type", 18, "services.orders.instances"),
        ("    run: [python, -m, orders]\n", "", "missing-key", 14, "services.orders.run"),
        ("    run: [python, -m, orders]", "    run: []", "invalid-value", 14, "needs the program"),
        ('    version: "1.0"\n    instances', "    version: 1.0\n    instances", "wrong-type", 17, "must be a text"),
        ("    drain: 1m30s", "    drain: 90", "invalid-value", 25, "90 is no duration"),
        ("    drain: 1m30s", "    drain: 1m 30s", "invalid-value", 25, "'1m 30s' is no duration"),
        ("system: shop", "system: my shop", "invalid-value", 1, "'my shop' is no name"),
        ("system: shop", 'system: "shop\\n"', "invalid-value", 1, "is no name"),
        ("  orders:", '  "or ders":', "invalid-value", 14, "is no name"),
        ("  orders:", '  "orders\\n  server x":', "invalid-value", 14, "is no name"),
        ("    route: /orders", '    route: "/orders\\nbind :80"', "invalid-value", 15, "is no route"),
        ("    route: /orders", "    route: /", "invalid-value", 1, "web and orders have the same route /"),
        ("    calls: [accounts]", "    calls: [web]", "invalid-value", 1, "circle: web -> orders -> web"),
        ("    calls: [accounts]", "    calls: [orders]", "invalid-value", 1, "circle: orders -> orders"),
        ("    calls: [accounts]", "    calls: [account]", "invalid-value", 1, "'account', which is no service"),
        ("    database: main", "    database: mian", "invalid-value", 1, "'mian', which is no database"),
        ("  user: header:X-User-Id", '  listen: "8080"', "invalid-value", 3, "is no address"),
        ("  user: header:X-User-Id", "  listen: 127.0.0.1:8081", "invalid-value", 1, "share one address"),
        ("    instances: 2", "    route: /twice", "duplicate-key", 18, "services.orders.route"),
    ],
)
def test_a_mistake_is_named_with_its_line(old: str, new: str, code: str, line: int, says: str) -> None:
    assert GOOD.count(old) == 1, "the example must hold the line that is broken exactly once"
    error = refusal(GOOD.replace(old, new))
    assert (error.code, error.exit) == (code, Exit.USAGE)
    assert error.text.startswith(f"hitless.yaml:{line}: "), error.text
    assert says in error.text


def test_an_unknown_key_is_answered_with_what_was_probably_meant() -> None:
    assert refusal(GOOD.replace("instances: 2", "instancs: 2")).hint == "did you mean instances?"


def test_a_number_where_a_version_belongs_is_answered_with_its_quoted_form() -> None:
    error = refusal(GOOD.replace('version: "1.0"\n    instances', "version: 1.0\n    instances"))
    assert error.hint == 'quote it: "1.0"'


@pytest.mark.parametrize(
    "text", ["", "- a\n- b\n", "just words", "null", "system: [", "a: &x 1\nb: *y\n", "\tsystem: x"]
)
def test_what_is_no_mapping_is_refused(text: str) -> None:
    assert refusal(text).code == "broken-yaml"


@pytest.mark.parametrize(
    "text", ["system: !!python/object/apply:os.system [echo]", "? [a, b]\n: c\n", "? {a: 1}\n: c\n"]
)
def test_yaml_that_reaches_beyond_plain_values_is_refused(text: str) -> None:
    assert refusal(text).exit == Exit.USAGE


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [*x]",
        "a: &x {b: *x}",
        "[" * 5_000,
        "a: " + "[" * 100 + "]" * 100,
        "system: 2026-99-99",
        "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + "".join(
            f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
        ),
    ],
    ids=["circle", "circle of keys", "brackets", "nested", "no date", "ten million values"],
)
def test_yaml_without_measure_is_refused(text: str) -> None:
    assert refusal(text).exit == Exit.USAGE


def test_a_file_beyond_all_measure_is_refused_before_it_is_read() -> None:
    assert refusal("#" * 1_000_001).code == "file-too-large"


def test_an_unknown_service_is_answered_with_a_near_name() -> None:
    with pytest.raises(InvalidInput) as caught:
        service_of(read_system(GOOD, file="hitless.yaml"), "order")
    assert caught.value.hint == "did you mean orders?"


@pytest.mark.parametrize("url", ["postgresql://u:secret@db/shop", "postgres://db/shop?user=u&password=secret"])
def test_a_password_in_the_file_is_refused_and_not_repeated(url: str) -> None:
    text = (
        f"system: shop\ndatabases: {{ main: {{ url: '{url}' }} }}\nservices: {{ web: {{ run: [x], version: '1' }} }}\n"
    )
    with pytest.raises(InvalidInput) as caught:
        read_system(text, file="hitless.yaml")
    assert "env:NAME" in caught.value.text
    assert "secret" not in str(caught.value)
