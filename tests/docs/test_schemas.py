"""The JSON Schemas in the package are those of this code."""

import json
from importlib import resources

import pytest
from jsonschema import Draft202012Validator

from hitless.plan.schema import FILE_KINDS, FileKind, published


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_the_published_schema_is_that_of_this_code(kind: FileKind) -> None:
    there = resources.files("hitless.plan").joinpath("schemas", f"{kind}.schema.json").read_text()
    how = "run: make docs"
    assert there.strip() == published(kind).strip(), how
    Draft202012Validator.check_schema(json.loads(there))
