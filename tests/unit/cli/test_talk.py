"""What the command line says while a run goes on, and that every verb it names is there."""

import click
import pytest

from hitless.cli.live import Live
from hitless.cli.main import VERBS, cli, run

STEPS = [{"describe": "start orders 1.1", "inverse": "stop orders 1.1"}, {"describe": "watch orders", "inverse": None}]


def fact(kind: str, position: int) -> dict:
    return {"fact": kind, "body": {"position": position}}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_its_module_and_says_what_it_does(verb):
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    assert command.help


def test_one_line_says_which_step_is_under_way_and_makes_room_for_facts(capsys):
    live = Live(STEPS, enabled=True)
    live.saw(fact("started", 1))
    live.turn()
    assert "2/2  watch orders  0 s" in capsys.readouterr().err
    live.saw(fact("undoing", 0))
    live.turn()
    assert "1/2  back: stop orders 1.1  0 s" in capsys.readouterr().err
    live.clear()
    assert capsys.readouterr().err.strip() == ""


def test_without_a_terminal_nothing_moves(capsys):
    live = Live(STEPS, enabled=False)
    live.saw(fact("started", 0))
    live.turn()
    live.clear()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_taught_to_complete(shell, capsys):
    assert run(["completion", shell], as_json=False) == 0
    assert "COMPLETE" in capsys.readouterr().out
