"""The examples of flagd's own schemas are read without a bad flag. They lie beside the checkout."""

import json
import os
from pathlib import Path

import pytest

from hitless.flags import FlagSet

NAMED = os.environ.get("HITLESS_FLAGD_TESTBED")
BESIDE = [above / "shared" / "data" / "flagd" for above in Path(__file__).parents[4:6]]
CASES = next((each for each in ([Path(NAMED)] if NAMED else BESIDE) if each.is_dir()), BESIDE[0]) / "schema" / "test"
if not CASES.is_dir():
    pytest.skip(f"flagd's schema examples are not at {CASES}: not tested", allow_module_level=True)


@pytest.mark.parametrize("file", sorted(CASES.glob("fl*/positive/*.json")), ids=lambda file: file.stem)
def test_an_example_of_a_set_is_read_whole(file: Path) -> None:
    read = FlagSet.parse(file.read_text())
    assert not read.bad
    assert read.keys
    answers = [read.evaluate(key, {"targetingKey": "u", "email": "u@faas.com"}) for key in read.keys]
    assert not [answer for answer in answers if answer.error_code]


@pytest.mark.parametrize("file", sorted(CASES.glob("targeting/positive/*.json")), ids=lambda file: file.stem)
def test_an_example_of_a_rule_compiles(file: Path) -> None:
    rule = {key: value for key, value in json.loads(file.read_text()).items() if key != "$schema"}
    flag = {"state": "ENABLED", "variants": {"a": 1}, "defaultVariant": "a", "targeting": rule}
    shared = {"some-ref": {"==": [1, 1]}}
    assert not FlagSet.parse(json.dumps({"flags": {"f": flag}, "$evaluators": shared})).bad
