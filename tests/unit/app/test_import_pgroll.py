"""`hitless import pgroll FOLDER`: one migration for each file, in their order, and nothing where one is broken."""

import json
import os
from pathlib import Path

import pytest

from hitless.app.migrations import MigrationFolder, import_pgroll
from hitless.kit.errors import InvalidInput, Refused
from hitless.plan.document import written

EXAMPLES = json.loads((Path(__file__).parents[2] / "live" / "database" / "pgroll_examples.json").read_text())
ADD = "operations:\n  - add_column: {table: t, column: {name: c, type: int, nullable: true}}\n"


def folder(path: Path, files: dict[str, str]) -> Path:
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text)
    return path


def test_all_examples_become_migrations_in_their_order(tmp_path: Path) -> None:
    source = folder(tmp_path / "pgroll", {f"{name}.yaml": text for name, text in EXAMPLES.items()})
    target = MigrationFolder(tmp_path / "migrations")
    assert len(import_pgroll(source, target)) == 56
    migrations = target.read()
    assert [each.text for each in migrations] == list(EXAMPLES.values())
    assert (migrations[0].name, migrations[-1].name) == ("0001_create_tables", "0056_with_version_schema")


def test_json_says_the_same_as_yaml(tmp_path: Path) -> None:
    plain = {"operations": [{"sql": {"up": "SELECT 1;\nSELECT 2", "down": "SELECT 'ü'"}}]}
    source = folder(tmp_path / "pgroll", {"01_a.json": json.dumps(plain), "02_b.yaml": written(plain)})
    import_pgroll(source, target := MigrationFolder(tmp_path / "migrations"))
    one, two = target.read()
    assert one.read() == two.read()


def test_names_without_a_growing_number_are_numbered_on(tmp_path: Path) -> None:
    target = MigrationFolder(folder(tmp_path / "migrations", {"0007_mine.yaml": ADD.replace("c,", "d,")}))
    files = {"first one.yaml": ADD, "second.yaml": ADD.replace("c,", "e,")}
    import_pgroll(folder(tmp_path / "pgroll", files), target)
    assert [each.name for each in target.read()] == ["0007_mine", "0008_first_one", "0009_second"]


def test_numbers_that_are_times_stay(tmp_path: Path) -> None:
    target = MigrationFolder(folder(tmp_path / "migrations", {"0007_mine.yaml": ADD.replace("c,", "d,")}))
    files = {"20240101120000_first one.yaml": ADD, "20250101120000_second.yaml": ADD.replace("c,", "e,")}
    import_pgroll(folder(tmp_path / "pgroll", files), target)
    assert [each.name for each in target.read()] == ["0007_mine", "20240101120000_first_one", "20250101120000_second"]


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("02_b.yaml", "operations: [", "broken-yaml"),
        ("02_b.yaml", "operations:\n  - add_colum: {}\n", "unknown-key"),
        ("02_b.json", "{", "broken-json"),
        ("02_b.json", "[]", "broken-json"),
    ],
)
def test_one_broken_file_and_nothing_is_written(tmp_path: Path, name: str, text: str, code: str) -> None:
    source = folder(tmp_path / "pgroll", {"01_a.yaml": ADD, name: text})
    with pytest.raises(InvalidInput) as caught:
        import_pgroll(source, MigrationFolder(tmp_path / "migrations"))
    assert caught.value.code == code
    assert "02_b" in caught.value.text or "0002_b" in caught.value.text
    assert not (tmp_path / "migrations").exists()


def test_the_same_files_are_not_taken_twice(tmp_path: Path) -> None:
    source = folder(tmp_path / "pgroll", {"01_a.yaml": ADD})
    target = MigrationFolder(tmp_path / "migrations")
    import_pgroll(source, target)
    with pytest.raises(Refused, match="0001_a") as refusal:
        import_pgroll(source, target)
    assert refusal.value.code == "migration-there"


def test_two_people_who_take_the_same_number_are_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        MigrationFolder(folder(tmp_path / "migrations", {"0002_ann.yaml": ADD, "0002_ben.yaml": ADD})).read()
    assert (caught.value.code, caught.value.text) == (
        "migration-number",
        "0002_ann and 0002_ben have the same number",
    )


def test_the_examples_of_this_machine_are_those_of_the_tests(tmp_path: Path) -> None:
    shared = os.environ.get("HITLESS_SHARED", str(Path(__file__).parents[4] / "shared"))
    source = Path(shared) / "data" / "pgroll-examples"
    if not source.is_dir():
        pytest.skip(f"pgroll's examples are not at {source}")
    assert len(import_pgroll(source, MigrationFolder(tmp_path / "migrations"))) == 56
