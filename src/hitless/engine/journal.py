"""The facts of a run, and what they add up to. Pure.

The journal is the single truth about a run: whoever reads it again, after a kill or from another process, knows all
there is to know.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from hitless.kit.errors import HitlessError

State = Literal["running", "held", "completed", "rolled-back", "rollback-incomplete"]


@dataclass(frozen=True, slots=True)
class Started:
    """A step is about to be done; from here on its effect may be in force."""

    position: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A step is done and its effect in force."""

    position: int


@dataclass(frozen=True, slots=True)
class TurnedBack:
    """From here on the run goes backward."""

    code: str
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Undoing:
    """A step is about to be taken back."""

    position: int


@dataclass(frozen=True, slots=True)
class Undone:
    """A step is taken back."""

    position: int


@dataclass(frozen=True, slots=True)
class Held:
    """The run waits where it is until somebody lets it go on."""

    why: str
    again: bool = False  # the step it stands at failed and changed nothing: it begins anew when the run goes on


@dataclass(frozen=True, slots=True)
class Resumed:
    """The run goes on."""


@dataclass(frozen=True, slots=True)
class Approved:
    """Somebody agreed to what cannot be undone: the steps behind the gate may be done."""

    who: str


@dataclass(frozen=True, slots=True)
class Withheld:
    """A step behind the gate could not be done and changed nothing; the run stands at the gate again."""

    position: int  # of the gate
    code: str
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Noted:
    """Something worth knowing that moves nothing: a verdict, a count, a retry."""

    position: int
    remark: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """The run came to rest."""

    state: State
    code: str = ""
    text: str = ""


Fact = Started | Finished | TurnedBack | Undoing | Undone | Held | Resumed | Approved | Withheld | Noted | Ended
FACTS: dict[str, type[Fact]] = {
    "started": Started,
    "finished": Finished,
    "turned-back": TurnedBack,
    "undoing": Undoing,
    "undone": Undone,
    "held": Held,
    "resumed": Resumed,
    "approved": Approved,
    "withheld": Withheld,
    "noted": Noted,
    "ended": Ended,
}
FACT_NAMES: dict[type[Fact], str] = {kind: name for name, kind in FACTS.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal. Its position is also the event id of the live stream."""

    position: int
    at: float  # seconds since the epoch, the store's clock
    run: str
    fact: Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What the facts of one run add up to."""

    reached: int = 0  # steps whose effect may be in force
    in_doubt: bool = False  # the last of them was started and not finished
    undoing: bool = False  # the last of them is being taken back
    turned_back: TurnedBack | None = None
    held: str | None = None
    approved: bool = False  # the steps behind the gate may be done
    withheld: Withheld | None = None  # why they were not, when somebody last approved them
    ended: State | None = None
    started_at: dict[int, float] = field(default_factory=dict)  # position -> when it was first started
    resumed_at: float = 0.0  # when somebody last let it go on

    @property
    def state(self) -> State:
        """Say in one word where the run is."""
        return self.ended or ("held" if self.held is not None and not self.turned_back else "running")

    def step_state(self, position: int) -> str:
        """Say in one word where one step is."""
        last = position == self.reached - 1
        if position >= self.reached:
            return "undone" if self.turned_back and position in self.started_at else "pending"
        if last and self.undoing:
            return "undoing"
        return "running" if last and self.in_doubt else "done"


NOTHING = Run()


class JournalBroken(HitlessError):
    """The facts contradict one another; nobody may act on them."""


def fold(entries: Iterable[Entry], run: Run = NOTHING) -> Run:
    """Add the facts of one run up, to what is known of it. Raises JournalBroken if they contradict one another."""
    for entry in entries:
        run = _apply(run, entry)
    return run


def state_after(run: Run, fact: Fact) -> State:
    """Say where the run is once a fact is written; the store keeps it beside the journal."""
    return _apply(run, Entry(0, 0.0, "", fact)).state


def _apply(run: Run, entry: Entry) -> Run:
    match entry.fact:
        case Started() | Finished() | Undoing() | Undone() as fact:
            return _apply_to_step(run, entry, fact)
        case TurnedBack():
            return replace(run, turned_back=run.turned_back or entry.fact, ended=None)
        case Held(why, again):
            return _begun_anew(replace(run, held=why)) if again else replace(run, held=why)
        case Resumed():
            ended = None if run.ended == "rollback-incomplete" else run.ended
            return replace(run, held=None, ended=ended, resumed_at=entry.at)
        case Approved():
            return replace(run, approved=True, withheld=None, ended=None if run.ended == "completed" else run.ended)
        case Withheld(position):
            return replace(run, approved=False, withheld=entry.fact, reached=position, in_doubt=False)
        case Noted():
            return run
        case Ended(state):
            return replace(run, ended=state, held=None)


def _begun_anew(run: Run) -> Run:
    """The last step, which changed nothing, as if it had not been started."""
    last = run.reached - 1
    began = {position: at for position, at in run.started_at.items() if position != last}
    return replace(run, reached=last, in_doubt=False, started_at=began)


def _apply_to_step(run: Run, entry: Entry, fact: Started | Finished | Undoing | Undone) -> Run:
    last = fact.position == run.reached - 1
    match fact:
        case Started(position):
            _expect(run, entry, last or position == run.reached)
            began = {position: entry.at, **run.started_at}
            return replace(run, reached=position + 1, in_doubt=True, started_at=began)
        case Finished():
            _expect(run, entry, last)
            return replace(run, in_doubt=False)
        case Undoing():
            _expect(run, entry, last)
            return replace(run, undoing=True)
        case Undone(position):
            _expect(run, entry, last)
            return replace(run, reached=position, in_doubt=False, undoing=False)


def _expect(run: Run, entry: Entry, fits: bool) -> None:  # noqa: FBT001  an assertion
    if not fits:
        raise JournalBroken(
            "journal-broken",
            f"run {entry.run}: {entry.fact} at {entry.position} does not follow {run.reached} steps",
            "this is a defect; do not go on by hand",
        )
