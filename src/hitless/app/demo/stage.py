"""Where acts are played: a running shop under load, and the commands of hitless as a user types them."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Timer
from typing import Any

from hitless.app.demo.rows import Compared
from hitless.app.paths import load_system, state_folder
from hitless.kit.errors import Exit, HitlessError
from hitless.testing.load import Load, Report
from hitless.testing.shop import shop_profile

COMMAND_S = 90.0  # no command of the demo takes longer
RATE = 300.0  # requests per second
USERS = 2000
DOWNLOAD = "/orders/download?seconds=4"  # shorter than the drain of the demo's services
OUTSTANDING = 2000  # requests at once: a slow machine queues, and the client waits its 10 s before it calls that failed
BACK_S = 30.0  # for a process that was killed

Fact = dict[str, Any]


class ActFailed(HitlessError):
    """Something did not end as the demo says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Requests at the client. `failed` had to succeed; `met_broken` met a version that is broken on purpose."""

    total: int
    failed: int
    met_broken: int
    failed_there: int

    def since(self, before: "Counts") -> "Counts":
        """Return what came on top."""
        return Counts(**{name: getattr(self, name) - getattr(before, name) for name in Counts.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One change that was carried out or taken back."""

    run: str
    change: str
    state: str  # completed, rolled-back, ...
    exit: int
    seconds: float
    requests: Counts

    def to_json(self) -> dict[str, Any]:
        """Write it as plain data."""
        return asdict(self)


@dataclass(slots=True, kw_only=True)
class Stage:
    """A shop of its own that acts are played on."""

    file: Path  # its system file
    say: Callable[[str], None]
    rate: float = RATE  # requests per second
    command_s: float = COMMAND_S  # that one command may take
    runs: list[Ran] = field(default_factory=list)
    broken: set[tuple[str, str]] = field(default_factory=set)  # (service, version) that fail on purpose
    killed: int = 0  # processes of ours, with -9
    compared: Compared | None = None  # rows on both schema versions
    account: str = ""  # the report of the last run, as Markdown
    load: Load = field(init=False)
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        url = f"http://{load_system(self.file).gateway.listen}"
        _allow_files(OUTSTANDING * 2)
        more = {"download": DOWNLOAD, "outstanding": OUTSTANDING}
        profile = shop_profile(url, rate=self.rate, users=USERS, seconds=3600.0, **more)
        self.load = Load(profile)

    @property
    def state(self) -> Path:
        """The state folder of the shop."""
        return state_folder(load_system(self.file), self.file)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the curtain rose."""
        return time.monotonic() - self.began

    def tell(self, text: str) -> None:
        """Say something with the time before it."""
        self.say(f"{self.elapsed_s:7.1f} s  {text}")

    def hitless(self, *words: str, expect: Exit = Exit.DONE) -> Any:
        """Run a command with --json; returns what it printed last. Raises ActFailed if it does not end as expected."""
        done = subprocess.run(self._argv(*words), capture_output=True, text=True, timeout=self.command_s, check=False)
        if done.returncode != expect:
            raise ActFailed(
                "demo-failed", f"hitless {' '.join(words)} ended with {done.returncode}: {done.stdout[-800:]}"
            )
        return json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else None

    def apply(self, change: str, *, expect: Exit = Exit.DONE, on_fact: Callable[[Fact], None] | None = None) -> Ran:
        """Carry a change file of the shop out and tell what happens; `on_fact` sees each fact of the journal.

        Raises ActFailed if the command does not end as expected.
        """
        path = self.file.parent / "changes" / f"{change}.yaml"
        self.tell(f"$ hitless apply changes/{path.name}")
        before, began = self.counts(), time.monotonic()
        run, state, complaint, steps = "", "", "", list[dict[str, Any]]()
        with subprocess.Popen(self._argv("apply", str(path)), stdout=subprocess.PIPE, text=True) as command:
            watchdog = Timer(self.command_s, command.kill)
            watchdog.start()
            try:
                for fact in _objects(command):
                    if "fact" not in fact:  # the id of the run, or an error
                        run, complaint = run or str(fact.get("run", "")), str(fact.get("text", complaint))
                        steps = steps or (self.hitless("show", run)["steps"] if run else [])
                        continue
                    state = fact["body"]["state"] if fact["fact"] == "ended" else state
                    self._narrate(fact, steps)
                    if on_fact is not None:
                        on_fact(fact | {"step": _step_of(fact, steps)})
            finally:
                watchdog.cancel()
        ran = Ran(
            run=run,
            change=change,
            state=state,
            exit=command.returncode,
            seconds=round(time.monotonic() - began, 1),
            requests=self.counts().since(before),
        )
        self.runs.append(ran)
        self._sum_up(ran)
        if ran.exit != expect:
            text = f"{change} ended with exit code {ran.exit} and not with {int(expect)}: {complaint}"
            raise ActFailed("demo-failed", text)
        return ran

    def kill(self, process: str) -> tuple[int, int]:
        """Kill one of our own processes with -9; returns its pid and the one that took its place.

        Raises ActFailed if none does within 30 s.
        """
        pid_file = self.state / "run" / f"{process}.pid"
        old = int(pid_file.read_text())
        os.kill(old, signal.SIGKILL)
        self.killed += 1
        deadline = time.monotonic() + BACK_S
        while time.monotonic() < deadline:
            with suppress(OSError, ValueError):
                if (new := int(pid_file.read_text())) != old:
                    return old, new
            time.sleep(0.01)
        raise ActFailed("demo-failed", f"the {process} did not come back within {BACK_S:g} s")

    def counts(self, report: Report | None = None) -> Counts:
        """Return what the client has counted until now."""
        seen = report or self.load.report()
        there = [part for part in seen.slices if self._by_design(part.path, part.version or "")]
        failed_there = sum(part.failed for part in there)
        return Counts(
            total=seen.total,
            failed=seen.failed - failed_there,
            met_broken=sum(part.total for part in there),
            failed_there=failed_there,
        )

    def _by_design(self, path: str, version: str) -> bool:
        """Tell whether an answer came from a version that is broken on purpose, or was passed on from one."""
        here = path.split("?", maxsplit=1)[0].split("/")[1] or "web"  # the route of web is /
        return any(
            version == f"{service}/{broken}" or (version == broken and here == service)
            for service, broken in self.broken
        )

    def _argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "hitless.cli.main", "-f", str(self.file), "--json", *words]

    def _narrate(self, fact: Fact, steps: list[dict[str, Any]]) -> None:
        body = fact["body"]
        match fact["fact"]:
            case "started":
                self.tell(f"  {_step_of(fact, steps)}")
            case "turned-back":
                self.tell(f"  taking back: {body['text']}")
            case "undoing" if steps[body["position"]]["inverse"]:
                self.tell(f"  back: {steps[body['position']]['inverse']}")

    def _sum_up(self, ran: Ran) -> None:
        counts = ran.requests
        self.tell(f"  {ran.state} after {ran.seconds:g} s; {counts.total} requests meanwhile, {counts.failed} failed")
        if counts.met_broken:
            self.tell(
                f"  {counts.met_broken} of them met the broken version by design, which failed {counts.failed_there}"
            )


def _allow_files(wanted: int) -> None:
    """Have room for that many connections; many machines give a process 1,024 unless it asks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _objects(command: subprocess.Popen[str]) -> Iterator[Fact]:
    assert command.stdout is not None
    for line in command.stdout:
        yield json.loads(line)


def _step_of(fact: Fact, steps: list[dict[str, Any]]) -> str:
    position = fact["body"].get("position")
    return str(steps[position]["describe"]) if isinstance(position, int) and position < len(steps) else ""
