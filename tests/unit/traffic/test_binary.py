"""Which HAProxy is taken."""

from pathlib import Path

import pytest

from hitless.kit.errors import HitlessError
from hitless.traffic.binary import VARIABLE, find_haproxy, version_of


def program(folder: Path, said: str) -> Path:
    file = folder / "haproxy"
    file.write_text(f"#!/bin/sh\necho '{said}'\n")
    file.chmod(0o700)
    return file


def test_the_wheel_brings_one_that_is_new_enough(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert version_of(find_haproxy()) >= (2, 6)


def test_one_that_is_named_is_taken(monkeypatch, tmp_path):
    named = program(tmp_path, "HAProxy version 3.0.5-1 2024/09/19")
    monkeypatch.setenv(VARIABLE, str(named))
    assert (find_haproxy(), version_of(named)) == (named, (3, 0, 5))


@pytest.mark.parametrize(
    ("said", "code"), [("HAProxy version 2.4.22-1", "haproxy-too-old"), ("nginx version 1.22", "no-haproxy")]
)
def test_one_that_will_not_do_is_refused(monkeypatch, tmp_path, said, code):
    monkeypatch.setenv(VARIABLE, str(program(tmp_path, said)))
    with pytest.raises(HitlessError) as caught:
        find_haproxy()
    assert caught.value.code == code


def test_one_that_is_not_there_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(HitlessError) as caught:
        find_haproxy()
    assert caught.value.code == "no-haproxy"
