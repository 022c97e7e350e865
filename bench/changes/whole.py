"""Whether a running shop is whole: what must hold after each run, whatever was killed during it."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from bench.changes.shop import Bench, until
from bench.changes.varied import Serving, Wanted

from hitless.app.demo import rows
from hitless.database.postgres import Target
from hitless.kit.errors import HitlessError
from hitless.runtime.postgres import EmbeddedPostgres

OURS = ("controller", "flags", "gateway", "postgres", "recorder")
BACK_S = 20.0  # for what was killed last

World = dict[str, Any]


def world(bench: Bench) -> World:
    """What a run changes and its way back restores: versions, shares, counts, schema versions, flags."""
    services = bench.stage.hitless("status")["services"]
    flags = bench.stage.hitless("flags", "list")["flags"]
    return {
        "services": {
            name: {each["version"]: (each["share"], len(each["instances"])) for each in service["versions"]}
            for name, service in services.items()
        },
        "schemas": asyncio.run(_schemas(bench.stage.state)),
        "flags": {each["flag"]: each["serves"] for each in flags},
    }


def serving(now: World) -> Serving:
    """The version of each service that most users meet."""
    return {name: max(found, key=lambda each: found[each][0]) for name, found in now["services"].items()}


def harm_after(bench: Bench, wanted: Wanted, state: str, before: World) -> str:
    """Return what does not hold after a run that ended in `state`, or nothing."""
    if state not in wanted.ends:
        return f"it ended {state or 'without a state'}"
    if bench.stage.runs[-1].exit != {"completed": 0, "rolled-back": 5}[state]:
        return f"{state}, and the command ended with {bench.stage.runs[-1].exit}"
    now = world(bench)
    if state == "rolled-back" and now != before:
        return f"taken back, and not as it was: {before} -> {now}"
    for service, version in wanted.target.items():
        share, _ = now["services"][service].get(version, (0.0, 0))
        if state == "completed" and share != 1.0:
            return f"completed, and {service} {version} has {share:.0%} of the users"
    if state == "completed" and "database" in wanted.body:
        compared = rows.compare(bench.stage.state)
        if compared.differing:
            return f"{compared.differing} of {compared.rows} rows differ"
    return harm_of_processes(bench)


def harm_of_processes(bench: Bench) -> str:
    """Every process that is wanted runs once under one shim, and there is nothing beside them; waits for the killed."""
    try:
        until(lambda: not _odd(bench), BACK_S)
    except TimeoutError:
        return _odd(bench)
    return ""


def _odd(bench: Bench) -> str:
    try:
        instances = bench.instances()
    except HitlessError as failure:
        return failure.text
    if missing := [name for name, pid in instances.items() if not pid]:
        return f"without a process: {', '.join(missing)}"
    if too_many := bench.duplicates():
        return f"processes too many: {', '.join(too_many)}"
    shims, expected = _shims(bench.stage.state), Counter([*instances, *OURS])
    return "" if shims == expected else f"shims: {dict(shims - expected)} too many, {dict(expected - shims)} missing"


def _shims(state: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_text().split("\0") if folder.name.isdigit() else []
        except OSError:
            continue
        if any(word.endswith("/runtime/shim/__main__.py") for word in words) and words[-2].startswith(str(state)):
            found[Path(words[-2]).name] += 1
    return found


async def _schemas(state: Path) -> list[str]:
    async with Target.open(EmbeddedPostgres(state).url(rows.DATABASE)) as target:
        found = await target.rows(
            "SELECT nspname AS name FROM pg_namespace WHERE nspname ~ '^hitless_[0-9]' ORDER BY 1"
        )
    return [str(each["name"]) for each in found]
