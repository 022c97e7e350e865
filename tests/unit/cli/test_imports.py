"""`hitless import` as a person and a program call it."""

import json
from pathlib import Path

import pytest

from hitless.cli.main import run
from hitless.plan.change import read_change
from hitless.plan.system import read_system

ROLLOUT = """
kind: Rollout
metadata: {name: orders}
spec:
  replicas: 2
  strategy: {canary: {steps: [{setWeight: 10}, {pause: {}}]}}
  template: {spec: {containers: [{image: "shop/orders:1.1"}]}}
"""


@pytest.fixture
def rollout(tmp_path: Path) -> str:
    file = tmp_path / "rollout.yaml"
    file.write_text(ROLLOUT)
    return str(file)


def test_the_change_goes_to_stdout_and_what_does_not_translate_to_stderr(
    rollout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["import", "argo", rollout], as_json=False) == 0
    out, err = capsys.readouterr()
    assert read_change(out, file="stdout").change == "orders"
    assert "manual-pause: Rollout orders: spec.strategy.canary.steps[1].pause" in err


def test_both_files_are_written_and_nothing_is_overwritten(
    rollout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, system = tmp_path / "change.yaml", tmp_path / "part.yaml"
    words = ["import", "argo", rollout, "-o", str(out), "--system", str(system), "--to", "1.2"]
    assert run(words, as_json=False) == 0
    assert read_change(out.read_text(), file="c").services["orders"].to == "1.2"
    assert read_system(system.read_text(), file="s").services["orders"].instances == 2
    assert run(["--json", *words], as_json=True) == 3
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["code"] == "file-exists"


def test_a_program_gets_one_object(rollout: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--json", "import", "argo", rollout], as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["change"]["services"]["orders"]["steps"] == ["10%", "100%"]
    assert told["system"]["services"]["orders"]["cwd"] == "releases/orders/{version}"
    assert {"code", "where", "text", "hint"} == set(told["left"][0])


def test_what_cannot_be_read_is_refused_as_input(
    rollout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["import", "flagger", rollout], as_json=False) == 2
    assert run(["import", "argo", str(tmp_path / "gone.yaml")], as_json=False) == 2
    assert run(["import", "argoo", rollout], as_json=False) == 2
    err = capsys.readouterr().err
    assert "nothing-to-import" in err
    assert "no-such-file" in err
    assert "did you mean argo?" in err


@pytest.mark.parametrize(
    ("tool", "file", "text", "version"),
    [
        ("alembic", "versions/a.py", "revision = 'ae10'\ndown_revision = None\n", "0001_alembic_ae10"),
        ("django", "shop/migrations/0001_a.py", "class Migration:\n    dependencies = []\n", "0001_django_shop_0001_a"),
        ("flyway", "V7__a.sql", "select 1", "0001_flyway_7"),
    ],
)
def test_a_history_becomes_a_baseline_in_our_folder(
    tool: str, file: str, text: str, version: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "theirs" / file).parent.mkdir(parents=True)
    (tmp_path / "theirs" / file).write_text(text)
    words = ["import", tool, str(tmp_path / "theirs"), "--migrations", str(tmp_path / "ours")]
    assert run(words, as_json=False) == 0
    assert capsys.readouterr().out == f"version: {version}\n"
    assert (tmp_path / "ours" / f"{version}.yaml").exists()
    assert run(words, as_json=False) == 2  # it is there already


def test_a_program_gets_what_to_ask_the_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "V2__b.sql").write_text("")
    assert run(["--json", "import", "flyway", str(tmp_path), "--migrations", str(tmp_path / "m")], as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["tool"], told["heads"], told["version"]) == ("Flyway", ["2"], "0001_flyway_2")
    assert told["check"]["answer"] == "2"


def test_one_app_of_django_can_be_named_by_its_folder_of_migrations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shop" / "migrations"
    folder.mkdir(parents=True)
    (folder / "0001_a.py").write_text("class Migration:\n    dependencies = []\n")
    for number, named in enumerate((folder, folder.parent)):
        assert run(["import", "django", str(named), "--migrations", str(tmp_path / f"m{number}")], as_json=False) == 0
        assert capsys.readouterr().out == "version: 0001_django_shop_0001_a\n"
