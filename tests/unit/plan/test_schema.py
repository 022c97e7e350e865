"""Editors hear from the JSON Schemas what the reader says."""

import pytest
import yaml
from jsonschema import Draft202012Validator

from hitless.app.starter import starter_file
from hitless.kit.errors import InvalidInput
from hitless.plan.change import read_change
from hitless.plan.schema import FileKind, schema_of
from hitless.plan.system import read_system


def errors(kind: FileKind, text: str) -> list[str]:
    return [error.message for error in Draft202012Validator(schema_of(kind)).iter_errors(yaml.safe_load(text))]


def test_files_of_a_user_fit() -> None:
    assert errors("system", starter_file("shop")) == []
    whole = """
change: split-name
services:
  web: { to: "2.0", strategy: blue-green, keep: 10m, check: [python, smoke.py] }
  orders: { to: "1.1", steps: [staff, 1%, 100%], bake: 60s, drain: none, schema: 0004_split_name }
guards: { alpha: 1%, errors: { worse: 2x }, latency: { worse: 1.25x, at: p99 } }
database: { main: [0004_split_name], other: { migrations: [0001_a], contract: after 24h } }
flags: { new-checkout: [staff, 5%, everyone] }
"""
    read_change(whole, file="c")
    assert errors("change", whole) == []


@pytest.mark.parametrize(
    "text",
    [
        "change: a\nservices: { web: { too: '2.0' } }\n",
        "change: a\nservices: { web: { to: 2.0 } }\n",
        "change: a\nservices: { web: { to: '2', bake: 10 } }\n",
        "change: a\nservices: { web: { to: '2', bake: soon } }\n",
        "change: a\nservices: { 'Web Shop': { to: '2' } }\n",
        "change: a\nservices: { web: { instances: 33 } }\n",
        "change: a\nguards: { alpha: 0.01 }\nservices: { web: { to: '2' } }\n",
        "change: a\ndatabase: { main: { migrations: [0001_a], contract: later } }\n",
        "services: { web: { to: '2' } }\n",
    ],
)
def test_what_the_reader_refuses_by_its_form_an_editor_marks(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_change(text, file="c")
    assert errors("change", text)


def test_defaults_stand_there_as_a_user_writes_them() -> None:
    service = schema_of("change")["$defs"]["ServiceChange"]["properties"]
    assert (service["bake"]["default"], service["no_evidence"]["default"]) == ("10s", "10m")
    assert schema_of("change")["$defs"]["LatencyGuard"]["properties"]["worse"]["default"] == "1.25x"
    assert schema_of("change")["$defs"]["Guards"]["properties"]["alpha"]["default"] == "1%"
    drain = schema_of("system")["$defs"]["Service"]["properties"]["drain"]
    assert drain["default"] == "30s"
    read_system("system: a\nservices: { web: { run: [x], version: '1', drain: none } }\n", file="s")
