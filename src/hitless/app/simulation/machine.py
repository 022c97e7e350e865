"""The processes of the simulated machine, and the shims above them: they outlive every controller."""

from dataclasses import dataclass

from hitless.app.simulation.character import Character, Characters, backoff_s
from hitless.plan.instances import InstanceId
from hitless.runtime.ports import Condition, Ended, ProcessState
from hitless.runtime.steps import Launch

FIRST_PORT = 20_000
NEVER = float("inf")


@dataclass(slots=True)
class Life:
    """One instance that is wanted, or was: its record on disk, and its process if there is one."""

    launch: Launch
    port: int
    character: Character
    wanted: bool = True
    pid: int | None = None
    ready_at: float = NEVER
    dies_at: float = NEVER  # by itself, or by a fault
    back_at: float = NEVER  # the shim starts it again
    gone_at: float = NEVER  # it was asked to stop and ends then
    restarts: int = 0
    last_exit: Ended | None = None
    retire_at: float | None = None
    shimmed: bool = False  # somebody looks after it
    died: bool = False  # not asked to, since it was last ready

    def serves(self, now: float) -> bool:
        """Whether it answers requests."""
        return self.pid is not None and now >= self.ready_at

    @property
    def next_at(self) -> float:
        """When something happens to it by itself."""
        return min(self.dies_at, self.back_at, self.gone_at)

    @property
    def condition(self) -> Condition:
        """What its shim says."""
        if not self.wanted:
            return "stopping" if self.pid is not None else "stopped"
        if not self.shimmed:
            return "lost"
        return "running" if self.pid is not None else "backoff"


class Machine:
    """All lives, by instance. Time goes on only when somebody looks."""

    def __init__(self, characters: Characters) -> None:
        self.lives: dict[InstanceId, Life] = {}
        self.characters = characters
        self._pids = 1000
        self._next_at = NEVER

    def advance(self, now: float) -> None:
        """Let happen what happens by itself until `now`."""
        if now < self._next_at:
            return
        for life in self.lives.values():
            while life.next_at <= now:
                self._happen(life)
        self.schedule()

    def schedule(self) -> None:
        """Remember when the next thing happens by itself."""
        self._next_at = min((life.next_at for life in self.lives.values()), default=NEVER)

    def record(self, instance: InstanceId, launch: Launch) -> Life:
        """Write down that an instance is wanted; the first half of a start."""
        before = self.lives.get(instance)
        same = before is not None and before.launch == launch
        port = before.port if before is not None and same else self._free_port()
        life = Life(launch=launch, port=port, character=self.characters.of(launch.service, launch.version))
        self.lives[instance] = life
        return life

    def give_shim(self, life: Life, now: float) -> None:
        """Start the process of a wanted instance that has none; the second half of a start."""
        if life.wanted and not life.shimmed:
            life.shimmed = True
            self._start(life, now)
            self.schedule()

    def ask_to_stop(self, life: Life, at: float) -> None:
        """Have a process end at that time, and not come back."""
        life.wanted, life.dies_at, life.back_at = False, NEVER, NEVER
        life.gone_at = min(life.gone_at, at) if life.pid is not None else NEVER
        self.schedule()

    def kill(self, life: Life, now: float) -> None:
        """End a process as kill -9 would; its shim starts it again."""
        if life.pid is not None and life.wanted:
            life.dies_at = now
            self.schedule()
            self.advance(now)

    def forget(self, instance: InstanceId) -> None:
        """Drop the record of an instance that has no process any more."""
        self.lives.pop(instance, None)
        self.schedule()

    def state(self, life: Life) -> ProcessState:
        """Return it as the port tells it."""
        return ProcessState(
            launch=life.launch,
            port=life.port,
            pid=life.pid,
            state=life.condition,
            restarts=life.restarts,
            last_exit=life.last_exit,
            retire_at=life.retire_at,
        )

    def _start(self, life: Life, now: float) -> None:
        self._pids += 1
        life.pid, life.back_at, life.gone_at = self._pids, NEVER, NEVER
        life.ready_at = now + life.character.ready_after_s
        life.dies_at = NEVER if life.character.lives_s is None else now + life.character.lives_s

    def _happen(self, life: Life) -> None:
        if life.gone_at <= life.next_at:
            life.pid, life.gone_at, life.shimmed, life.died = None, NEVER, False, False
        elif life.dies_at <= life.next_at:
            at = life.dies_at
            life.pid, life.dies_at, life.died = None, NEVER, True
            life.restarts += 1
            life.last_exit = Ended(code=None, signal=9, at=at)
            life.back_at = at + backoff_s(life.restarts)
        else:
            self._start(life, life.back_at)

    def _free_port(self) -> int:
        taken = {life.port for life in self.lives.values()}
        return next(port for port in range(FIRST_PORT, FIRST_PORT + 10_000) if port not in taken)
