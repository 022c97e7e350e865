"""The flag server over its protocols, through changes, bad files and kills."""

import http.client
import json
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.live

BULK = "/ofrep/v1/evaluate/flags"


def boolean(*, on: bool) -> dict[str, Any]:
    return {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on" if on else "off"}


def stream(server: Any, **headers: str) -> tuple[http.client.HTTPConnection, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=120)
    connection.request(
        "GET", "/ofrep/v1/events", headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    return connection, connection.getresponse()


def next_event(answer: Any) -> dict[str, str]:
    event: dict[str, str] = {}
    while True:
        line = answer.readline().decode().rstrip("\n")
        if not line and "data" in event:
            return event
        name, _, value = line.partition(": ")
        event[name] = value


def test_a_single_evaluation_answers_value_variant_and_reason(server: Any) -> None:
    status, _, answer = server.post(f"{BULK}/f", {"context": {"targetingKey": "u"}})
    assert (status, answer) == (200, {"key": "f", "reason": "STATIC", "variant": "off", "metadata": {}, "value": False})


@pytest.mark.parametrize(
    ("key", "body", "status", "code"),
    [
        ("gone", b"{}", 404, "FLAG_NOT_FOUND"),
        ("f", b"{", 400, "PARSE_ERROR"),
        ("f", b"[" * 100_000, 400, "PARSE_ERROR"),
        ("f", b'{"context": 7}', 400, "INVALID_CONTEXT"),
        ("bad", b"{}", 400, "PARSE_ERROR"),
    ],
)
def test_what_is_wrong_is_answered_with_the_protocols_own_error(
    server: Any, key: str, body: bytes, status: int, code: str
) -> None:
    server.write({"f": boolean(on=True), "bad": {**boolean(on=True), "targeting": {"no_such": []}}})
    server.until(lambda: server.value() is True)
    answered, _, answer = server.post(f"{BULK}/{key}", body)
    assert (answered, answer["errorCode"], answer["key"]) == (status, code, key)
    assert answer["errorDetails"]


def test_a_body_over_the_limit_is_refused(server: Any) -> None:
    assert server.post(f"{BULK}/f", b" " * 1_100_000)[0] == 413


def test_a_flag_that_is_off_leaves_the_value_out(server: Any) -> None:
    server.write({"f": {**boolean(on=True), "state": "DISABLED"}})
    server.until(lambda: server.post(f"{BULK}/f", {})[2]["reason"] == "DISABLED")
    assert "value" not in server.post(f"{BULK}/f", {})[2]


def test_the_etag_is_that_of_the_content_over_restarts_and_contexts(server: Any) -> None:
    first = server.post(BULK, {"context": {"targetingKey": "u"}})[1]["etag"]
    server.kill()
    server.start()
    assert server.post(BULK, {"context": {"targetingKey": "u"}}, If_None_Match=first)[0] == 304
    server.write({"f": boolean(on=True)})
    server.until(lambda: server.value() is True)
    assert server.post(BULK, {"context": {"targetingKey": "u"}}, If_None_Match=first)[0] == 200


def test_browsers_are_allowed(server: Any) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.http, timeout=60)) as connection:
        connection.request("OPTIONS", BULK, headers={"Origin": "http://x", "Access-Control-Request-Method": "POST"})
        answer = connection.getresponse()
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, "*")
    assert "ETag" in server.post(BULK, {})[1]["access-control-expose-headers"]


def test_a_stream_tells_of_a_change_and_a_restarted_one_of_what_was_missed(server: Any) -> None:
    connection, answer = stream(server)
    assert answer.readline().startswith(b":")
    server.write({"f": boolean(on=True)})
    event = next_event(answer)
    assert json.loads(event["data"])["type"] == "refetchEvaluation"
    connection.close()
    server.kill()
    Path(server.sets["default"]).write_text(json.dumps({"flags": {"f": boolean(on=False)}}))
    server.start()
    connection, answer = stream(server, Last_Event_ID=event["id"])
    assert next_event(answer)["id"] != event["id"]
    connection.close()


def test_the_stream_named_in_the_bulk_answer_tells_what_changed_in_between(server: Any) -> None:
    address = server.post(BULK, {})[2]["eventStreams"][0]["url"]
    server.write({"f": boolean(on=True)})
    server.until(lambda: server.value() is True)
    with closing(http.client.HTTPConnection("127.0.0.1", server.http, timeout=120)) as connection:
        connection.request("GET", address[address.index("/ofrep") :])
        assert "id" in next_event(connection.getresponse())


def test_a_broken_file_leaves_the_last_good_set_in_force(server: Any) -> None:
    server.sets["default"].write_text('{"flags": ')
    server.reload()
    assert server.value() is False
    server.write({"f": boolean(on=True)})
    server.until(lambda: server.value() is True)


def test_clients_must_show_the_token_where_one_is_configured(tmp_path: Path, new_server: Any) -> None:
    (tmp_path / "set.json").write_text('{"flags": {}}')
    (tmp_path / "token").write_text("secret\n")
    server = new_server({"default": tmp_path / "set.json"}, "--token-file", str(tmp_path / "token"))
    server.start()
    try:
        assert server.post(BULK, {}, Authorization="Bearer secret")[0] == 200
        assert server.post(BULK, {}, X_API_Key="secret")[0] == 200
        assert server.post(BULK, {}, Authorization="Bearer wrong")[0] == 401
    finally:
        server.kill(signal.SIGTERM)
