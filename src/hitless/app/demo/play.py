"""Plays the demo from the first curtain to the last, and counts at the client."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from hitless.app.demo import rows
from hitless.app.demo.acts import ACTS
from hitless.app.demo.shop import copy_shop
from hitless.app.demo.stage import RATE, USERS, ActFailed, Counts, Stage
from hitless.kit.errors import HitlessError
from hitless.testing.load import Report

ACCOUNT = "hitless-demo-report.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """How it went."""

    stage: Stage
    counts: Counts
    report: Report
    problems: tuple[str, ...]  # empty: everything went as it had to
    account: Path | None = None  # where the report of the last run lies

    def to_json(self) -> dict[str, Any]:
        """Write it as plain data."""
        counts, report = self.counts, self.report
        return {
            "requests": {
                "total": counts.total,
                "failed": counts.failed,
                "met_broken": {"total": counts.met_broken, "failed": counts.failed_there},
            },
            "rows": self._rows(),
            "killed": self.stage.killed,
            "runs": [ran.to_json() for ran in self.stage.runs],
            "report": report.to_json() | {"posts": None},
            "problems": list(self.problems),
            "seconds": round(self.stage.elapsed_s, 1),
            "file": str(self.stage.file),
            "account": str(self.account) if self.account else None,
        }

    def _rows(self) -> dict[str, int]:
        compared = self.stage.compared
        return {
            "acknowledged": len(self.report.acknowledged),
            "missing": len(self.report.missing or ()),
            "compared": compared.rows if compared else 0,
            "differing": compared.differing if compared else 0,
        }


def play(say: Callable[[str], None], *, keep: bool) -> Played:
    """Start a shop in a temporary folder, play all acts under load, stop it. Raises HitlessError if it cannot start.

    The folder is removed, unless `keep` is asked for (then the shop goes on) or something failed (then its logs stay).
    """
    _refuse_without_flag_client()
    folder = Path(tempfile.mkdtemp(prefix="hitless-demo-"))
    stage = Stage(file=copy_shop(folder / "shop"), say=say)
    played = None
    try:
        stage.tell(f"a shop of three services in {stage.file.parent}")
        stage.tell("$ hitless up")
        stage.hitless("up")
        stage.tell(f"{rows.seed(stage.state):,} accounts, as if many had been here before")
        played = _under_load(stage)
    finally:
        if played is None or not keep:
            with suppress(HitlessError):
                stage.hitless("down")
                stage.tell("$ hitless down")
            if played is not None and not played.problems:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                say(f"what it wrote stays in {folder}")
    return played


def _refuse_without_flag_client() -> None:
    """The shop is an ordinary user of flags: without a client it would sell all the same, and a bug never show."""
    try:
        import_module("openfeature.contrib.provider.flagd")
    except ImportError:
        text = "the demo's shop reads flags by OpenFeature's own client for flagd, which is not installed"
        raise HitlessError("demo-lacks-client", text, "pip install 'hitless[demo]'") from None


def _under_load(stage: Stage) -> Played:
    problems: list[str] = []
    stage.load.start()
    stage.tell(f"load: {RATE:g} requests/s from {USERS} users, a fifth of them POSTs;")
    stage.tell("      a download, a stream and a websocket are held throughout")
    try:
        for number, act in enumerate(ACTS, 1):
            stage.say(f"\n{number}. {act.title}")
            act.play(stage)
    except ActFailed as failure:
        problems.append(failure.text)
    finally:
        stage.say("")
        report = stage.load.stop()
    counts = stage.counts(report)
    if counts.failed:
        problems.append(f"{counts.failed} requests failed that had to succeed: {report.reasons}")
    if stage.compared is not None and stage.compared.differing:
        problems.append(f"{stage.compared.differing} of {stage.compared.rows} rows differ between the schema versions")
    if report.missing:
        problems.append(f"{len(report.missing)} acknowledged orders are not in the database")
    account = _keep(stage.account) if stage.account else None
    return Played(stage=stage, counts=counts, report=report, problems=tuple(problems), account=account)


def _keep(account: str) -> Path:
    """Write the report of the last run where whoever plays the demo stands, or where anybody may write."""
    here = Path.cwd() if os.access(Path.cwd(), os.W_OK) else Path(tempfile.mkdtemp(prefix="hitless-demo-"))
    file = here / ACCOUNT
    file.write_text(account)
    return file


def summary(played: Played) -> str:
    """Write the counts for a person."""
    counts, report = played.counts, played.report
    lines = [f"requests     {counts.total} at {RATE:g}/s; {counts.failed} failed that had to succeed"]
    if counts.met_broken:
        lines.append(
            f"             {counts.met_broken} met a version that is broken on purpose: {counts.failed_there} failed"
        )
    lines.append(
        f"orders       {len(report.acknowledged)} acknowledged, {len(report.missing or ())} missing in the database"
    )
    if (compared := played.stage.compared) is not None:
        lines.append(f"rows         {compared.rows} on two schema versions at once, {compared.differing} differ")
    lines.append(f"kill -9      {played.stage.killed} of our own processes")
    if report.download is not None and report.websocket is not None and report.stream is not None:
        lines.append(f"downloads    {report.download.completed} complete, {report.download.failed} cut")
        held = report.websocket
        ends = f"{held.failed} cut, {held.closed} closed in stages"
        lines.append(f"websocket    {held.echoed} of {held.sent} messages echoed, {ends}")
    lines.append(f"latency      p50 {report.latency_ms['p50']:.0f} ms, p99 {report.latency_ms['p99']:.0f} ms")
    if played.account is not None:
        lines.append(f"report       of the last change, from the journal alone: {played.account}")
    lines += [f"PROBLEM      {problem}" for problem in played.problems]
    lines += [f"             {each.method} {each.path} {each.reason}" for each in report.examples if played.problems]
    return "\n".join(lines)


def how_to_go_on(played: Played) -> str:
    """Say what a person can do with a shop that was kept."""
    file, command = played.stage.file, f"{Path(sys.executable).parent / 'hitless'} -f {played.stage.file}"
    return (
        f"the shop goes on: {played.stage.load.profile.url}/\n"
        f"  {command} status\n  {command} apply {file.parent / 'changes' / 'canary-staff.yaml'}\n  {command} down"
    )
