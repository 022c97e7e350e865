"""How the flag server is run, and which token its clients need."""

from pathlib import Path

import pytest

from hitless.app.flag_server import flag_server
from hitless.flags.bundle import read_bundle
from hitless.flags.serve import TOKEN
from hitless.plan.system import read_system

STATE = Path("/srv/shop/.hitless")


def token(control: str) -> str | None:
    text = f"system: s\ncontrol: {control}\nservices: {{web: {{run: [a], version: '1'}}}}"
    spec = flag_server(read_system(text, file="hitless.yaml"), STATE, STATE.parent)
    assert "--bundle" in spec.argv
    return spec.env.get(TOKEN)


@pytest.mark.parametrize(
    ("control", "wanted"),
    [
        ("{}", None),
        ("{listen: '127.0.0.1:1', grpc: '[::1]:2'}", None),
        ("{listen: '0.0.0.0:1'}", f"file:{STATE}/run/token"),
        ("{grpc: '10.0.0.1:2'}", f"file:{STATE}/run/token"),
        ("{flags_token: 'env:FLAGS'}", "env:FLAGS"),
        ("{listen: '0.0.0.0:1', flags_token: 'file:secret'}", f"file:{STATE.parent}/secret"),
        ("{flags_token: 'file:/run/secret'}", "file:/run/secret"),
    ],
)
def test_on_loopback_clients_need_no_token_unless_one_is_configured(control: str, wanted: str | None) -> None:
    assert token(control) == wanted


def test_a_token_that_is_written_out_is_refused() -> None:
    from hitless.kit.errors import InvalidInput

    with pytest.raises(InvalidInput):
        token("{flags_token: 'hunter2'}")


def test_a_system_that_has_no_flags_yet_begins_with_an_empty_set(tmp_path: Path) -> None:
    from hitless.app.flag_server import write_first_bundle

    write_first_bundle(tmp_path)
    assert {name: each.keys for name, each in read_bundle((tmp_path / "flags.json").read_text()).items()} == {
        "default": ()
    }
