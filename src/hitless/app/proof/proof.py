"""Walks through every state of a plan and shows why what is live there together works; or refuses. Pure.

Taking back undoes the steps last first, so the states on the way back are those on the way there, if each inverse leads
back to the state before its step. Both are checked: each step forward, and each inverse against the state before.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from hitless.app.proof.state import State, after, touched
from hitless.app.proof.versions import fits
from hitless.database.steps import Contract
from hitless.plan.change import Change
from hitless.plan.plan import Refusal
from hitless.plan.step import Step
from hitless.plan.system import System
from hitless.runtime.steps import Launch

OFF = "off"

SchemaOf = Callable[[Launch], tuple[str, str] | None]  # database and schema version that a launch uses
Pair = tuple[str, str]  # two things that are live at once, in words: ("web 2.0", "orders 1.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One pair that is live at once, and why it works."""

    pair: Pair
    why: str
    first_at: int  # position after which it is live for the first time; -1: before the plan begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What was looked at, and what was found."""

    states: int
    shown: tuple[Shown, ...]
    refusals: tuple[Refusal, ...]


@dataclass(slots=True, kw_only=True)
class Prover:
    """Proves one plan."""

    system: System
    change: Change
    schema_of: SchemaOf = lambda _: None
    observed: frozenset[Pair] = frozenset()  # pairs that were live together before, without harm
    _shown: dict[Pair, Shown] = field(default_factory=dict)
    _refused: dict[Pair, Refusal] = field(default_factory=dict)
    _start: State = field(default_factory=State)

    def prove(self, start: State, steps: tuple[Step, ...]) -> Proof:
        """Go through all states."""
        self._start, state, states = start, start, 1
        self._look(state, -1, {*self._everything()})
        for position, step in enumerate(steps):
            behind, state = state, state if self._waits(state, step) else after(state, step)
            if not touched(step):
                continue
            states += 1
            self._look(state, position, {*touched(step)})
            inverse = step.inverse()
            if inverse is not None and not step.point_of_no_return:
                states += 1
                self._check_way_back(behind, after(state, inverse), step)
        return Proof(states=states, shown=tuple(self._shown.values()), refusals=tuple(self._refused.values()))

    def _waits(self, state: State, step: Step) -> bool:
        """Contract is refused, at the moment of use, while a session of an older schema version lives."""
        if not isinstance(step, Contract):
            return False
        used = (self.schema_of(launch) for name in self.system.services for launch in state.launches(name))
        return any(each is not None and each[0] == step.database and each[1] != step.version for each in used)

    def _everything(self) -> Iterator[str]:
        yield from (f"service {name}" for name in self.system.services)

    def _look(self, state: State, position: int, about: set[str]) -> None:
        for name in self._services_near(about):
            for pair, why in (*self._calls(state, name), *self._schemas(state, name), *self._declared(state, name)):
                self._judge(pair, why, position)
        for name in (item.removeprefix("flag ") for item in about if item.startswith("flag ")):
            for pair, why in self._flag(state, name):
                self._judge(pair, why, position)

    def _services_near(self, about: set[str]) -> Iterator[str]:
        for name, section in self.system.services.items():
            if f"service {name}" in about or f"database {section.database}" in about:
                yield name

    def _judge(self, pair: Pair, why: str | Refusal, position: int) -> None:
        if isinstance(why, Refusal):
            self._refused.setdefault(pair, why)
        elif pair not in self._shown:
            self._shown[pair] = Shown(pair=pair, why=why, first_at=position)

    def _calls(self, state: State, name: str) -> Iterator[tuple[Pair, str | Refusal]]:
        """Who calls whom: a service beside those that it calls, and beside those that call it."""
        edges = [(name, callee) for callee in self.system.services[name].calls]
        edges += [(caller, name) for caller in sorted(self.system.callers_of(name))]
        for caller, callee in edges:
            for old in sorted(state.met(caller)):
                for new in sorted(state.met(callee)):
                    pair = (f"{caller} {old}", f"{callee} {new}")
                    yield pair, self._why_call(caller, old, callee, new, pair)

    def _why_call(self, caller: str, of_caller: str, callee: str, of_callee: str, pair: Pair) -> str:
        if of_caller in self._start.met(caller) and of_callee in self._start.met(callee):
            return "they work together now"
        for one, version, other in ((caller, of_caller, callee), (callee, of_callee, caller)):
            wanted = self.change.services.get(one)
            if wanted is not None and wanted.to == version and other in wanted.works_with:
                return f"declared: {one} {version} works with {other} {wanted.works_with[other]}"
        if pair in self.observed:
            return "observed: they were live together in an earlier run"
        return "watched: the guards compare the users of both while their number grows"

    def _declared(self, state: State, name: str) -> Iterator[tuple[Pair, str | Refusal]]:
        for one, wanted in self.change.services.items():
            for other, condition in wanted.works_with.items():
                if name in (one, other) and wanted.to and wanted.to in state.met(one):
                    yield from self._unfit(state, one, wanted.to, other, condition)

    @staticmethod
    def _unfit(state: State, one: str, version: str, other: str, condition: str) -> Iterator[tuple[Pair, Refusal]]:
        there = sorted(state.met(other))
        unfit = [each for each in there if not fits(each, condition)]
        if unfit or not there:
            text = f"{one} {version} works with {other} {condition}, and {', '.join(unfit) or 'none'} is live beside it"
            yield (
                (f"{one} {version}", f"{other} {' '.join(unfit)}"),
                Refusal(code="unfit-pair", text=text, hint=f"ship {other} first, in a change of its own"),
            )

    def _schemas(self, state: State, name: str) -> Iterator[tuple[Pair, str | Refusal]]:
        for launch in state.launches(name):
            used = self.schema_of(launch)
            if used is None:
                continue
            database, schema = used
            pair = (f"{name} {launch.version}", f"{database} {schema}")
            there = state.schemas.get(database, frozenset())
            if schema in there:
                others = sorted(there - {schema})
                beside = f", kept in step with {', '.join(others)}" if others else ""
                yield pair, f"its own views of schema version {schema}{beside}"
            else:
                text = f"{name} {launch.version} reads schema version {schema} of {database}, which is not there then"
                hint = f"ship {name} to a version that reads {', '.join(sorted(there)) or 'it'} in this change"
                yield pair, Refusal(code="schema-gone", text=text, hint=hint)

    def _flag(self, state: State, flag: str) -> Iterator[tuple[Pair, str | Refusal]]:
        stage = state.flags.get(flag, OFF)
        for name, wanted in self.change.services.items():
            for version in sorted(state.met(name)):
                pair = (f"flag {flag} at {stage}", f"{name} {version}")
                if stage in (OFF, "as it was") or wanted.to is None:
                    yield pair, "the flag is as it was before"
                elif version == wanted.to:
                    yield pair, "everybody meets the code that the flag needs"
                else:
                    text = f"flag {flag} is raised to {stage} while users meet {name} {version}"
                    yield pair, Refusal(code="flag-before-code", text=text, hint="raise the flag in a later change")

    def _check_way_back(self, before: State, back: State, step: Step) -> None:
        for name in self._services_near({*touched(step)}):
            if before.met(name) != back.met(name):
                pair = (step.describe(), name)
                text = f"taking back {step.describe()!r} leaves {name} at {', '.join(sorted(back.met(name)))}"
                self._refused[pair] = Refusal(code="no-inverse", text=text, hint="this is a defect; please report it")


def to_json(proof: Proof) -> dict[str, object]:
    """Write a proof as plain data."""
    return {
        "states": proof.states,
        "pairs": [{"live": list(each.pair), "why": each.why, "first_at": each.first_at} for each in proof.shown],
    }


def pairs_of(plan: Mapping[str, object]) -> frozenset[Pair]:
    """Return the pairs that a carried-out plan has shown, from its plain data."""
    proof = plan.get("proof")
    pairs = proof.get("pairs", []) if isinstance(proof, Mapping) else []
    return frozenset((str(each["live"][0]), str(each["live"][1])) for each in pairs)
