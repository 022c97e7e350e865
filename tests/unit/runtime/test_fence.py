"""A controller that was replaced runs nothing any more."""

from pathlib import Path

import pytest

from hitless.kit.fence import Fence, Fenced
from hitless.plan.instances import InstanceId
from hitless.runtime.processes import LocalProcesses


async def test_a_controller_that_was_replaced_runs_no_check(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    processes = LocalProcesses(tmp_path, Fence(tmp_path, 1))
    Fence(tmp_path, 2).raise_epoch()
    with pytest.raises(Fenced):
        await processes.check(InstanceId("orders", "b", 1), ("touch", str(ran)), str(tmp_path), 5.0)
    assert not ran.exists()
