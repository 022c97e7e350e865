"""The loop that acts, against a journal in which others write at the worst moments."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import pytest

from hitless.engine.engine import Engine
from hitless.engine.executor import after_failure
from hitless.engine.journal import Ended, Entry, Fact, Finished, Held, Started, State, TurnedBack, Withheld, fold
from hitless.engine.ports import RunRow
from hitless.kit.errors import Exit, Refused
from hitless.plan.plan import Plan, Refusal
from hitless.plan.ports import Moment, StepFailed
from hitless.plan.step import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Turn a switch."""

    room: ClassVar[str] = "switches"
    kind: ClassVar[str] = "turn"
    name: str
    to: bool = True
    for_good: bool = False

    def describe(self) -> str:
        return f"turn {self.name} {self.to}"

    def inverse(self) -> Self | None:
        return None if self.for_good else replace(self, to=not self.to)

    @property
    def point_of_no_return(self) -> bool:
        return self.for_good


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Look, and change nothing."""

    room: ClassVar[str] = "switches"
    kind: ClassVar[str] = "look"
    name: str

    def describe(self) -> str:
        return f"look at {self.name}"

    def inverse(self) -> None:
        return None

    @property
    def point_of_no_return(self) -> bool:
        return False


@dataclass
class World:
    """A journal, switches, a clock; `before` is called before each fact is written, with the fact."""

    on: set[str] = field(default_factory=set)
    entries_: list[Entry] = field(default_factory=list)
    rows: dict[str, RunRow] = field(default_factory=dict)
    before: Callable[[Fact], Coroutine[Any, Any, None]] | None = None
    looks: list[float] = field(default_factory=list)
    resumed: list[float] = field(default_factory=list)  # beside each look: when the run was last let go on
    failing: dict[str, StepFailed] = field(default_factory=dict)
    slow: set[str] = field(default_factory=set)
    ends_slowly: int = 0
    time: float = 0.0

    async def create(self, plan: dict[str, Any]) -> str:
        self.rows["r1"] = RunRow(run="r1", change="c", state="running", created_at=0.0, plan=plan)
        return "r1"

    async def append(self, run: str, fact: Fact, state: State) -> Entry:
        if self.before is not None:
            await self.before(fact)
        self.time += 1.0
        entry = Entry(len(self.entries_) + 1, self.time, run, fact)
        self.entries_.append(entry)
        self.rows[run] = replace(self.rows[run], state=state)
        return entry

    async def entries(self, run: str, after: int = 0) -> Sequence[Entry]:
        await asyncio.sleep(0)
        return self.entries_[after:]

    async def find(self, run: str) -> RunRow | None:
        return self.rows.get(run)

    async def in_flight(self) -> Sequence[RunRow]:
        return [row for row in self.rows.values() if row.state in ("running", "held")]

    async def done(self, step: Step, moment: Moment) -> bool:
        return isinstance(step, Turn) and (step.name in self.on) == step.to

    async def do(self, step: Step, moment: Moment) -> None:
        if step.name in self.slow:
            try:
                await asyncio.Event().wait()
            finally:
                for _ in range(self.ends_slowly):
                    await asyncio.sleep(0)
        if step.name in self.failing:
            raise self.failing[step.name]
        match step:
            case Turn(name=name, to=True):
                self.on.add(name)
            case Turn(name=name):
                self.on.discard(name)
            case _:
                self.looks.append(moment.started_at)
                self.resumed.append(moment.resumed_at)

    async def harm(self, plan: Plan) -> StepFailed:
        await asyncio.Event().wait()
        raise AssertionError

    def reach(self, position: int, phase: str, *, backward: bool) -> None:
        pass

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        await asyncio.sleep(0)

    @property
    def facts(self) -> list[Fact]:
        return [entry.fact for entry in self.entries_]

    def engine(self) -> Engine:
        return Engine(
            journal=self,
            drivers={"switches": self},
            kinds={"turn": Turn, "look": Look},
            alarm=self,
            clock=self,
            crash=self,
            abandoned=lambda _: None,
        )


def plan(*steps: Step, gate: int | None = None, on_failure: Any = "take back") -> Plan:
    return Plan(change="c", why="", source="", claims=("s",), steps=steps, gate=gate, on_failure=on_failure)


A, B, FOR_GOOD = Turn(name="a"), Turn(name="b"), Turn(name="c", for_good=True)


async def told_before(world: World, engine: Engine, wanted: type[Fact], tell: Callable[[], Coroutine]) -> list[Any]:
    """Tell the run something in the moment between its decision to write `wanted` and the writing."""
    answers: list[Any] = []
    pending: list[asyncio.Task] = []

    async def before(fact: Fact) -> None:
        if isinstance(fact, wanted) and not pending:

            async def ask() -> None:
                try:
                    await tell()
                    answers.append("taken")
                except Refused as refusal:
                    answers.append(refusal.code)

            pending.append(asyncio.ensure_future(ask()))
            for _ in range(20):
                await asyncio.sleep(0)

    world.before = before
    await engine.begin(plan(A, B) if wanted is Ended else plan(A, FOR_GOOD))
    await engine.finished("r1")
    await asyncio.gather(*pending)
    await engine.finished("r1")
    return answers


async def test_an_abort_in_the_moment_a_run_completes_is_either_refused_or_carried_out() -> None:
    world = World()
    engine = world.engine()
    answers = await told_before(world, engine, Ended, lambda: engine.abort("r1", "changed my mind"))
    assert answers == ["wrong-state"]
    assert (fold(world.entries_).state, world.on) == ("completed", {"a", "b"})


async def test_a_hold_in_the_moment_a_run_completes_leaves_no_run_that_looks_held_for_ever() -> None:
    world = World()
    engine = world.engine()
    assert await told_before(world, engine, Ended, lambda: engine.hold("r1", "lunch")) == ["wrong-state"]
    assert world.rows["r1"].state == "completed"


async def test_an_abort_in_the_moment_the_point_of_no_return_begins_is_refused() -> None:
    world = World()
    engine = world.engine()
    world.before = None

    answers: list[str] = []
    pending: list[asyncio.Task] = []

    async def before(fact: Fact) -> None:
        if fact == Started(1) and not pending:

            async def ask() -> None:
                try:
                    await engine.abort("r1", "changed my mind")
                except Refused as refusal:
                    answers.append(refusal.code)

            pending.append(asyncio.ensure_future(ask()))
            for _ in range(20):
                await asyncio.sleep(0)

    world.before = before
    await engine.begin(plan(A, FOR_GOOD, gate=1), approved_by="ann")
    await engine.finished("r1")
    await asyncio.gather(*pending)
    assert answers == ["no-way-back"]
    assert world.on == {"a", "c"}


async def test_an_abort_ends_a_step_that_would_go_on_for_ever() -> None:
    world = World(slow={"b"})
    engine = world.engine()
    await engine.begin(plan(A, B))
    while Started(1) not in world.facts:
        await asyncio.sleep(0)
    await engine.abort("r1", "changed my mind")
    async with asyncio.timeout(5):
        assert await engine.finished("r1") == "rolled-back"
    assert world.on == set()


async def test_a_run_on_its_way_back_cannot_be_held() -> None:
    world = World(slow={"b"})
    engine = world.engine()
    await engine.begin(plan(A, B))
    while Started(1) not in world.facts:
        await asyncio.sleep(0)

    async def before(fact: Fact) -> None:
        if isinstance(fact, TurnedBack):
            world.slow = {"a"}

    world.before = before
    await engine.abort("r1", "changed my mind")
    with pytest.raises(Refused, match="on its way back"):
        await engine.hold("r1", "lunch")
    assert world.rows["r1"].state == "running"
    await engine.close()


async def test_a_step_that_changes_nothing_and_froze_the_run_begins_anew_when_it_goes_on() -> None:
    world = World(failing={"users": StepFailed("no-evidence", "nobody came")})
    engine = world.engine()
    await engine.begin(plan(A, Look(name="users"), on_failure="freeze"))
    assert await engine.settled("r1", 5)
    assert world.rows["r1"].state == "held"
    world.failing, resumed_at = {}, world.time
    await engine.resume("r1")
    assert await engine.finished("r1") == "completed"
    assert world.looks[0] > resumed_at


async def test_a_step_of_a_run_that_was_held_is_told_since_when_it_goes_on_and_when_it_began() -> None:
    world = World(slow={"users"})
    engine = world.engine()
    await engine.begin(plan(A, Look(name="users")))
    while Started(1) not in world.facts:
        await asyncio.sleep(0)
    began = world.time
    await engine.hold("r1", "lunch")
    assert await engine.settled("r1", 5)
    world.slow, world.time = set(), 5000.0
    await engine.resume("r1")
    assert await engine.finished("r1") == "completed"
    assert (world.looks, world.resumed) == ([began], [5001.0])


def test_behind_a_step_that_cannot_be_undone_nothing_leads_back_before_it() -> None:
    two = plan(A, Turn(name="c", for_good=True), Turn(name="d", for_good=True), gate=1)
    assert after_failure(two, 1, StepFailed("x", "y")) == (Withheld(1, "x", "y"),)
    assert after_failure(two, 2, StepFailed("x", "y")) == (Withheld(2, "x", "y"),)
    unapproved = plan(A, FOR_GOOD, B)
    assert after_failure(unapproved, 2, StepFailed("x", "y")) == (Held("x: y"),)
    assert after_failure(unapproved, 1, StepFailed("x", "y")) == (TurnedBack("x", "y"),)


async def test_a_run_with_one_of_two_contracts_done_cannot_be_rolled_back() -> None:
    world = World(failing={"d": StepFailed("contract-too-early", "3 sessions")})
    engine = world.engine()
    both = plan(A, Turn(name="c", for_good=True), Turn(name="d", for_good=True), gate=1)
    await engine.begin(both, approved_by="ann")
    assert await engine.finished("r1") == "completed"
    with pytest.raises(Refused, match="cannot be undone"):
        await engine.rollback("r1", "changed my mind")
    world.failing = {}
    await engine.approve("r1", "ann")
    assert await engine.finished("r1") == "completed"
    assert world.on == {"a", "c", "d"}


async def test_a_run_that_is_taken_back_after_it_completed_is_whole_again() -> None:
    world = World()
    engine = world.engine()
    await engine.begin(plan(A, B))
    await engine.finished("r1")
    await engine.rollback("r1", "changed my mind")
    assert await engine.finished("r1") == "rolled-back"
    assert world.on == set()
    assert [fact for fact in world.facts if isinstance(fact, Finished)] == [Finished(0), Finished(1)]


async def test_a_controller_that_is_told_to_stop_while_a_step_is_being_ended_stops() -> None:
    world = World(slow={"b"}, ends_slowly=50)
    engine = world.engine()
    await engine.begin(plan(A, B))
    while Started(1) not in world.facts:
        await asyncio.sleep(0)
    await engine.abort("r1", "changed my mind")
    for _ in range(10):
        await asyncio.sleep(0)
    await engine.close()
    assert isinstance(world.facts[-1], TurnedBack)
    assert world.on == {"a"}


async def test_a_plan_with_a_refusal_is_not_begun_and_writes_nothing() -> None:
    world = World()
    against = replace(plan(A), refusals=(Refusal(code="no-capacity", text="no room"), Refusal(code="drift", text="x")))
    with pytest.raises(Refused) as refusal:
        await world.engine().begin(against)
    assert (refusal.value.code, refusal.value.text, refusal.value.exit) == ("no-capacity", "no room", Exit.REFUSED)
    assert (world.rows, world.entries_) == ({}, [])


async def test_nothing_is_approved_where_nothing_waits_for_it() -> None:
    world = World()
    engine = world.engine()
    await engine.begin(plan(A))
    await engine.finished("r1")
    with pytest.raises(Refused) as refusal:
        await engine.approve("r1", "ann")
    assert (refusal.value.code, refusal.value.exit) == ("nothing-open", Exit.REFUSED)
