"""Every verb can be asked for help, and a shell can complete it."""

import os
import subprocess
import sys

import click
import pytest

from hitless.cli.main import VERBS, cli, run


def test_every_verb_is_there_and_says_what_it_does() -> None:
    context = click.Context(cli)
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None, verb
        assert command.get_short_help_str(), verb


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"], as_json=False) == 0
    out = capsys.readouterr().out
    assert all(f"  {verb} " in out for verb in VERBS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell], as_json=False) == 0
    assert "_HITLESS_COMPLETE" in capsys.readouterr().out


def test_a_word_is_completed() -> None:
    environment = {**os.environ, "_HITLESS_COMPLETE": "bash_complete", "COMP_WORDS": "hitless roll", "COMP_CWORD": "1"}
    answer = subprocess.run(
        [sys.executable, "-m", "hitless.cli.main"],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "plain,rollback" in answer.stdout, answer.stderr
