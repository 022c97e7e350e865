"""The README's first change, as a newcomer types it: every command in its order, on a system that `init` has written."""

import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hitless.runtime.free_ports import free_port

pytestmark = pytest.mark.live
README = (Path(__file__).parents[2] / "README.md").read_text()
TYPED = re.compile(r"^ +\$ hitless (.+)$", re.MULTILINE)
COMMAND_S = 240.0


@pytest.fixture
def newcomer() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hitless-readme-"))
    yield folder
    subprocess.run(argv("down", "--hold"), cwd=folder, capture_output=True, timeout=COMMAND_S, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def argv(*words: str) -> list[str]:
    return [sys.executable, "-m", "hitless.cli.main", *words]


def typed(folder: Path, *words: str) -> str:
    done = subprocess.run(argv(*words), cwd=folder, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    assert done.returncode == 0, (
        f"hitless {' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    )
    return done.stdout + done.stderr


def with_free_ports(folder: Path) -> str:
    """Others may be at home at the ports that `init` writes."""
    file, taken = folder / "hitless.yaml", list[int]()
    for _ in range(4):
        taken.append(free_port(len(taken) + 7, taken))
    text = file.read_text().replace(":8080", f":{taken[0]}").replace(":8081", f":{taken[1]}")
    file.write_text(f"{text}control: {{ listen: '127.0.0.1:{taken[2]}', grpc: '127.0.0.1:{taken[3]}' }}\n")
    return f"http://127.0.0.1:{taken[0]}/"


@pytest.mark.timeout(900)
def test_the_first_change_of_the_readme_goes_as_the_readme_says(newcomer: Path) -> None:
    typed(newcomer, *re.search(r"`hitless (init [a-z-]+)`", README)[1].split())
    url = with_free_ports(newcomer)
    change = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)[1].replace("bake: 5s", "bake: 1s")
    (newcomer / "change.yaml").write_text(
        "\n".join(line.strip() if "#" in line else line[3:] for line in change.splitlines())
    )
    over = threading.Event()

    def users() -> None:
        while not over.wait(0.03):
            with suppress(OSError):
                urllib.request.urlopen(url, timeout=60).read()

    visits = threading.Thread(target=users)
    visits.start()
    try:
        said = {words: typed(newcomer, *words.split()) for words in TYPED.findall(README)}
    finally:
        over.set()
        visits.join()
    assert "web-a1" in said["status"]
    assert "web: 5% of users to 1.1" in said["plan change.yaml"]
    assert re.search(r"run r1 completed: 0 of [1-9]\d* requests failed", said["apply change.yaml"])
    assert typed(newcomer, "show", "r1", "--report", "md").startswith("# Run r1: second-version")
    assert "all as they were written" in typed(newcomer, "audit", "verify")
    typed(newcomer, "rollback", "r1")
