"""The use cases of flags: what the API and the command line can ask for."""

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from hitless.app.plan_flags import FlagsNow
from hitless.flags import reference
from hitless.flags.bundle import DEFAULT
from hitless.flags.definitions import Edit, definition
from hitless.flags.edits import Wish
from hitless.flags.evaluation import Evaluation
from hitless.flags.flagset import FlagSet
from hitless.flags.languages import check_languages
from hitless.flags.plain import REQUIRES, plain
from hitless.flags.postgres import Scheduled, StoredSet
from hitless.flags.published import Published
from hitless.flags.stages import serves
from hitless.flags.stale import SETTLED_DAYS, stale
from hitless.kit.errors import HitlessError, InvalidInput

WAIT_LIMIT_S = 50.0  # below what a command line waits for an answer
LOOK_AGAIN_S = 0.05
LATEST_S = 10 * 365 * 86_400.0  # from now, for a scheduled edit

Json = dict[str, Any]


class FlagCases:
    """All sets of flags of one system."""

    def __init__(self, published: Published) -> None:
        self._published = published
        self._definitions = published.definitions
        self._unpublished = True  # at the start nobody knows

    async def tend(self) -> None:
        """Carry out edits whose time has come, and serve what the store holds. A dead flag server is waited for."""
        if await self._definitions.perform_due(self._published.groups):
            self._unpublished = True
        if self._unpublished:
            try:
                await self._publish()
            except HitlessError as error:
                if error.code != "flags-unreachable":
                    raise

    async def now(self, keys: Iterable[str]) -> FlagsNow:
        """Return what the planner needs to know of some flags of the default set."""
        stored = await self._definitions.one(DEFAULT)
        found = {key: text for key in keys if (text := definition(stored.document, key))}
        clients = tuple(await self._published.clients())
        groups = self._published.groups
        return FlagsNow(definitions=found, groups=groups, clients=clients, bucketing=stored.bucketing)

    async def sets(self) -> list[Json]:
        """List the sets."""
        return [
            {"set": each.name, "bucketing": each.bucketing, "flags": len(FlagSet.parse(each.document).keys)}
            for each in await self._definitions.sets()
        ]

    async def overview(self, name: str) -> Json:
        """List the flags of a set."""
        stored = await self._definitions.one(name)
        served = self._read(stored)
        flags = [self._row(key, flag, served) for key, flag in FlagSet.parse(stored.document).definitions.items()]
        return {"set": name, "bucketing": stored.bucketing, "flags": flags}

    async def show(self, name: str, flag: str) -> Json:
        """Return one flag with its definition, its last edits and those to come. Raises InvalidInput."""
        stored = await self._definitions.one(name)
        text = definition(stored.document, flag)
        if not text:
            raise InvalidInput("unknown-flag", f"there is no flag {flag!r}", "see: hitless flags list")
        edits = await self._definitions.history(flag, 5, name)
        waiting = await self._definitions.scheduled(flag, name)
        return {
            **self._row(flag, json.loads(text), self._read(stored)),
            "set": name,
            "definition": json.loads(text),
            "history": [_edit(each) for each in edits],
            "scheduled": [_scheduled(each) for each in waiting],
        }

    async def edit(self, name: str, flag: str, body: Mapping[str, Any]) -> Json:
        """Edit one flag now, or schedule it (`at`); returns once it is served, and with `wait_s` once clients have it.

        Raises InvalidInput, and Refused `flag-bucketing` for a share that connected clients would split differently.
        """
        who, why = str(body.get("who") or "api"), str(body.get("why") or "")
        told = ("who", "why", "at", "wait_s")
        wish = Wish.read({key: value for key, value in body.items() if key not in told})
        if body.get("at"):
            await self._check(name, flag, wish)
            due = _moment(str(body["at"]))
            number = await self._definitions.schedule(flag, wish, due, who=who, why=why, name=name)
            return {"set": name, "flag": flag, "scheduled": number, "due": due}
        await self._check(name, flag, wish)
        before = (await self._definitions.one(name)).document
        self._unpublished = True
        stored = await self._definitions.change(flag, wish, self._published.groups, who=who, why=why, name=name)
        version = await self._publish()
        changes = Edit(
            who=who, why=why, flag=flag, before=definition(before, flag), after=definition(stored.document, flag)
        )
        waiting = await self._acknowledged(_seconds(body.get("wait_s")))
        return {"set": name, "flag": flag, "version": version, "diff": changes.diff(), **waiting}

    async def cancel(self, number: int, who: str) -> Json:
        """Let a scheduled edit not happen."""
        await self._definitions.cancel(number, who)
        return {"cancelled": number}

    async def replace(self, name: str, body: Mapping[str, Any]) -> Json:
        """Import a whole set; returns once it is served. A text that is no set raises InvalidInput, nothing changes."""
        document, bucketing = body.get("document"), body.get("bucketing")
        if not isinstance(document, str):
            raise InvalidInput("missing-key", "the import needs the set as a text in `document`")
        who, why = str(body.get("who") or "api"), str(body.get("why") or "import")
        self._unpublished = True
        read = await self._definitions.replace(
            document, self._published.groups, who=who, why=why, name=name, bucketing=bucketing and str(bucketing)
        )
        version = await self._publish()
        waiting = await self._acknowledged(_seconds(body.get("wait_s")))
        return {"set": name, "flags": len(read.keys), "bad": dict(read.bad), "version": version, **waiting}

    async def export(self, name: str) -> Json:
        """Return a set, letter by letter as it was imported or last edited."""
        stored = await self._definitions.one(name)
        return {"set": name, "bucketing": stored.bucketing, "document": stored.document}

    async def history(self, name: str, flag: str, limit: int) -> list[Json]:
        """Return the last edits: who, when, why, and what changed."""
        await self._definitions.one(name)
        return [_edit(each) for each in await self._definitions.history(flag, limit, name)]

    async def clients(self) -> Json:
        """Return every connected client and whether it has what is served."""
        version, clients = await self._published.version(), await self._published.clients()
        return {
            "version": version,
            "clients": [
                {"name": each.name, "protocol": each.protocol, "agent": each.agent, "has_it": each.version == version}
                for each in clients
            ],
        }

    async def stale(self, name: str, days: float | None) -> list[Json]:
        """Return the flags that have had their time, with their owners."""
        stored = await self._definitions.one(name)
        edited_at = await self._definitions.edited_at(name)
        found = stale(stored.document, edited_at, time.time(), SETTLED_DAYS if days is None else days)
        return [asdict(each) for each in found]

    async def evaluate(self, name: str, flag: str, context: Mapping[str, Any], evaluator: str) -> Json:
        """Evaluate a flag as it is served; `evaluator`: ours, or reference."""
        return evaluate(self._read(await self._definitions.one(name)), flag, context, evaluator)

    async def _publish(self) -> str:
        version = await self._published.publish()
        self._unpublished = False
        return version

    async def _check(self, name: str, flag: str, wish: Wish) -> None:
        stored = await self._definitions.one(name)
        after = wish.apply(flag, definition(stored.document, flag), self._published.groups)
        if '"fractional"' in after:
            check_languages(await self._published.clients(), stored.bucketing, flag)

    async def _acknowledged(self, wait_s: float) -> Json:
        """Wait until every connected client has what is served; name those that have not."""
        until = time.monotonic() + wait_s
        while True:
            version, clients = await self._published.version(), await self._published.clients()
            missing = [each.name for each in clients if each.version != version]
            if not missing or time.monotonic() >= until:
                return {"clients": len(clients), "not_acknowledged": missing}
            await asyncio.sleep(LOOK_AGAIN_S)

    def _read(self, stored: StoredSet) -> FlagSet:
        return FlagSet.parse(plain(stored.document, self._published.groups, stored.bucketing), stored.bucketing)

    @staticmethod
    def _row(key: str, flag: Any, served: FlagSet) -> Json:
        metadata = flag.get("metadata") if isinstance(flag, dict) else None
        notes = metadata if isinstance(metadata, dict) else {}
        bad = served.bad.get(key, "")
        return {
            "flag": key,
            "serves": "PARSE_ERROR" if bad else serves(flag),
            "owner": str(notes.get("owner", "")),
            "expires": str(notes.get("expires", "")),
            "requires": str(notes.get(REQUIRES, "")),
            "bad": bad,
        }


def evaluate(flags: FlagSet, key: str, context: Mapping[str, Any], evaluator: str) -> Json:
    """Evaluate a flag by our evaluator, or by the reference. Raises InvalidInput for another one."""
    if evaluator not in ("ours", "reference"):
        raise InvalidInput("unknown-evaluator", f"there is no evaluator {evaluator!r}", "ours, or reference")
    found: Evaluation = flags.evaluate(key, context) if evaluator == "ours" else reference.evaluate(flags, key, context)
    return {
        "flag": key,
        "value": found.value,
        "variant": found.variant,
        "reason": found.reason,
        "error_code": found.error_code,
        "error": found.error,
        "metadata": dict(found.metadata),
    }


def _edit(edit: Edit) -> Json:
    return {
        "position": edit.position,
        "at": edit.at,
        "who": edit.who,
        "why": edit.why,
        "flag": edit.flag,
        "diff": edit.diff(),
    }


def _scheduled(each: Scheduled) -> Json:
    wish = Wish.read(each.wish).describe()
    return {
        "number": each.number,
        "due": each.due,
        "wish": wish,
        "who": each.who,
        "why": each.why,
        "state": each.state,
        "note": each.note,
    }


def _moment(text: str) -> float:
    """Read a time with its zone as seconds since the epoch. Raises InvalidInput."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput("no-time", f"{text!r} is no time", "like 2027-01-31T09:00+01:00") from None
    if moment.tzinfo is None:
        raise InvalidInput("no-time", f"{text!r} does not say in which zone", "add Z or +01:00")
    due = moment.timestamp()
    if not 0 <= due - time.time() <= LATEST_S:
        raise InvalidInput("no-time", f"{text} is not in the next ten years", "without --at it happens at once")
    return due


def _seconds(value: Any) -> float:
    if value is None:
        return 0.0
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= WAIT_LIMIT_S:
        raise InvalidInput("flag-edit", f"wait_s is {value!r}", f"0 to {WAIT_LIMIT_S:g} seconds")
    return float(value)
