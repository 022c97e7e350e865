"""Where the system file and the running system differ. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hitless.app.facts import Facts
from hitless.plan.system import Service, System
from hitless.runtime.steps import Launch

CARRIED_OUT = frozenset({"version", "run", "cwd", "env", "ready", "ready_timeout", "grace", "instances", "database"})

READ_AGAIN = frozenset({"migrations", "version"})  # of a database: read whenever they are needed


def structural(before: System, now: System) -> Iterator[str]:
    """Yield what only a new start of the gateway can bring into force: `services.orders.route: /orders -> /o`."""
    yield from _compare("", _structure(before), _structure(now))


def running(
    system: System, facts: Facts, launch_of: Callable[[str, Service, str, str | None], Launch]
) -> Iterator[str]:
    """Yield what a change without `to` can bring into force."""
    for name, section in system.services.items():
        now = facts.services.get(name)
        if now is None or now.baseline is None:
            continue
        count, launch = len(now.baseline.numbers), now.baseline.launch
        if count != section.instances:
            yield f"services.{name}.instances: {count} run, the file says {section.instances}"
        wanted = launch_of(name, section, launch.version, launch.schema)
        names = [key for key in ("run", "cwd", "ready", "env") if getattr(wanted, key) != getattr(launch, key)]
        if names:
            yield f"services.{name}: {', '.join(names)} of the file are not what {launch.version} runs with"


def _structure(system: System) -> dict[str, Any]:
    plain = system.model_dump(mode="json")
    for section in plain["services"].values():
        for key in CARRIED_OUT:
            section.pop(key)
    for section in plain["databases"].values():
        for key in READ_AGAIN:
            section.pop(key)
    return plain


def _compare(path: str, before: Any, now: Any) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            yield from _compare(f"{path}.{key}" if path else key, before.get(key), now.get(key))
    elif before != now:
        yield f"{path}: {_short(before)} -> {_short(now)}"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "..."
    return "nothing" if value is None else str(value)
