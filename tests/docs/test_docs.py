"""What the documentation says is so: its files are read by our own readers, its commands exist, its links lead somewhere."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from hitless.cli.main import cli
from hitless.database.migration import Migration
from hitless.plan.change import read_change
from hitless.plan.guards import Guards
from hitless.plan.system import read_system

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*/*.md")])
MADE = ("commands.md", "errors.md")
BLOCK = re.compile(r"^( *)```yaml\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^ {4,}(?:\$ )?|`)hitless ((?:[a-z]+ ?)+)", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def blocks(pages: list[Path]) -> Iterator[tuple[str, str]]:
    for page in pages:
        for number, match in enumerate(BLOCK.finditer(page.read_text())):
            text = "\n".join(line.removeprefix(match[1]) for line in match[2].splitlines())
            yield f"{page.name} {number}", text


@pytest.mark.parametrize(("where", "text"), list(blocks(PAGES)))
def test_every_file_in_the_docs_is_read_as_a_user_s_would_be(where: str, text: str) -> None:
    content = yaml.safe_load(text)
    if "part of hitless.yaml" in text:
        service = {"web": {"run": ["x"], "version": "1"}}
        read_system(yaml.safe_dump({"system": "shop", "services": service, **content}), file=where)
    elif "system" in content:
        read_system(text, file=where)
    elif "operations" in content:
        Migration(name="0001_docs", text=text).read()
    elif "change" in content:
        read_change(text, file=where)
    elif set(content) <= {"services", "guards", "database", "flags", *Guards.model_fields}:  # a part of a change
        content = {"guards": content} if set(content) <= set(Guards.model_fields) else content
        read_change(yaml.safe_dump({"change": "docs", "services": {"web": {"to": "2"}}, **content}), file=where)
    else:
        pytest.fail(f"{where} is no file of ours; say `part of hitless.yaml` in it if it is one")


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in MADE], ids=lambda page: page.name)
def test_every_command_in_the_docs_exists(page: Path) -> None:
    for match in COMMAND.finditer(page.read_text()):
        words = match[1].split()
        command: click.Command | None = cli
        for word in words[:2]:
            if isinstance(command, click.Group):
                command = command.get_command(click.Context(command), word)
                assert command is not None, f"{page.name}: hitless {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_every_option_in_the_docs_exists() -> None:
    known = set(re.findall(r"--[a-z][a-z-]+", (ROOT / "docs" / "commands.md").read_text())) | {
        "--json",
        "--help",
        "--version",
    }
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for line in page.read_text().splitlines():
            for call in re.findall(r"hitless [^`#]*", line):
                assert set(re.findall(r"(?<=\s)--[a-z][a-z-]+", call)) <= known, f"{page.name}: {line}"


def test_every_key_of_the_two_files_is_in_the_reference() -> None:
    from hitless.plan.schema import FILE_KINDS, schema_of

    reference = (ROOT / "docs" / "reference.md").read_text()
    for kind in FILE_KINDS:
        schema = schema_of(kind)
        for part in (schema, *schema["$defs"].values()):
            for key in part.get("properties", {}):
                assert re.search(rf"[`.{{ ]{key}\b", reference), f"{kind}: {key} is not in docs/reference.md"


def made() -> object:
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "docs" / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_that_are_made_are_up_to_date() -> None:
    module = made()
    how = "run: make docs"
    assert (ROOT / "docs" / "commands.md").read_text() == module.commands(), how  # type: ignore[attr-defined]
    written = (ROOT / "docs" / "errors.md").read_text()
    missing = [code for code in module.codes() if f"`{code}`" not in written]  # type: ignore[attr-defined]
    assert not missing, f"{how} ({', '.join(sorted(missing))})"
