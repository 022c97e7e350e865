"""The driver on processes in memory."""

from dataclasses import dataclass, field

import pytest

from hitless.app.simulation.clock import VirtualClock, run_virtually
from hitless.kit.errors import HitlessError
from hitless.plan.instances import InstanceId
from hitless.plan.ports import Moment, StepFailed
from hitless.runtime.driver import RuntimeDriver
from hitless.runtime.ports import Condition, ProcessState
from hitless.runtime.steps import Launch, Start

ONE, TWO = InstanceId("orders", "a", 1), InstanceId("orders", "a", 2)
LAUNCH = Launch(service="orders", version="1.0", run=("orders",), cwd="/")
START = Start(slot="a", numbers=(1, 2), launch=LAUNCH)


def running(state: Condition) -> ProcessState:
    return ProcessState(launch=LAUNCH, port=4000, pid=7, state=state, restarts=0)


@dataclass
class Processes:
    """Instances that answer for as long as they have a process; `refuses` cannot be started."""

    known: dict[InstanceId, ProcessState] = field(default_factory=dict)
    refuses: set[InstanceId] = field(default_factory=set)

    async def start(self, instance: InstanceId, launch: Launch) -> None:
        if instance in self.refuses:
            raise HitlessError("already-runs", f"{instance} runs another version")
        await VirtualClock().sleep(1.0)
        self.known[instance] = running("running")

    async def state(self, instance: InstanceId) -> ProcessState | None:
        return self.known.get(instance)

    async def ready(self, instance: InstanceId) -> bool:
        return instance in self.known


async def note(_: dict[str, object]) -> None:
    pass


MOMENT = Moment(run="r1", position=0, started_at=0.0, note=note)


@pytest.mark.parametrize(("state", "serves"), [("running", True), ("stopping", False), ("stopped", False)])
def test_an_instance_that_was_asked_to_end_does_not_count_though_it_still_answers(
    state: Condition, serves: bool
) -> None:
    processes = Processes({ONE: running(state), TWO: running("running")})
    assert run_virtually(RuntimeDriver(processes, VirtualClock()).done(START, MOMENT)) is serves


def test_a_start_that_fails_leaves_no_other_start_going_on_behind_its_back() -> None:
    processes = Processes(refuses={ONE})

    async def main() -> list[InstanceId]:
        with pytest.raises(StepFailed):
            await RuntimeDriver(processes, VirtualClock()).do(START, MOMENT)
        at_the_return = list(processes.known)
        await VirtualClock().sleep(10.0)
        assert list(processes.known) == at_the_return
        return at_the_return

    assert run_virtually(main()) == [TWO]
