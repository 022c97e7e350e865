"""A reference is looked up at each start; what chooses the schema version is added to the URL found there."""

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from hitless.database.urls import version_parameters, version_url
from hitless.runtime.shim.references import resolve


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann@db.example/shop",
        "postgresql://ann@/shop?host=/run/postgresql&sslmode=disable",
        "postgresql://ann@db/shop?options=-cstatement_timeout%3D5s&application_name=mine",
    ],
)
def test_a_resolved_reference_is_the_url_of_that_version(url: str, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"{url}\n")
    wanted = conninfo_to_dict(version_url(url, "0002_split"))
    parameters = version_parameters(version_url(url, "0002_split"))
    for reference, ours in ((f"env:URL&{parameters}", {"URL": url}), (f"file:{tmp_path}/url&{parameters}", {})):
        found = conninfo_to_dict(resolve(reference, ours))
        given = str(conninfo_to_dict(url).get("options", ""))  # it stands there twice then; the last one counts
        assert found | {"options": str(found["options"]).removeprefix(given).strip()} == wanted
    assert 'hitless_0002_split"' in str(wanted["options"])
    assert wanted["application_name"] == "hitless/0002_split"
