"""The state folder and its sockets belong to one system and one user."""

from pathlib import Path

import pytest

from hitless.app.paths import claim_state_folder
from hitless.kit.errors import Exit, Refused
from hitless.kit.files import socket_folder
from hitless.plan.system import System, read_system


def system(name: str) -> System:
    return read_system(f"system: {name}\nservices: {{ web: {{ run: [web], version: '1' }} }}\n", file="hitless.yaml")


def test_the_state_folder_of_another_system_is_refused(tmp_path: Path) -> None:
    claim_state_folder(system("shop"), tmp_path / "state")
    claim_state_folder(system("shop"), tmp_path / "state")
    with pytest.raises(Refused) as refusal:
        claim_state_folder(system("bakery"), tmp_path / "state")
    assert (refusal.value.code, refusal.value.exit) == ("other-system", Exit.REFUSED)


def test_a_folder_of_sockets_that_others_can_open_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    sockets = socket_folder(deep)
    assert not sockets.is_relative_to(tmp_path)
    sockets.mkdir(mode=0o700)
    try:
        sockets.chmod(0o755)
        with pytest.raises(Refused) as refusal:
            claim_state_folder(system("shop"), deep)
        assert (refusal.value.code, refusal.value.exit) == ("sockets-exposed", Exit.REFUSED)
        sockets.chmod(0o700)
        claim_state_folder(system("shop"), deep)
    finally:
        sockets.rmdir()
