"""The last seconds are had at once, whatever part of a second it is."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from hitless.app.recent_ticks import recent_ticks
from hitless.signals.counting import LAG_MS
from hitless.signals.ports import Second
from hitless.signals.recorder import LOOK_S

CLOSES_S = 1 + LAG_MS / 1000 + LOOK_S  # since a second began


@dataclass
class Recorder:
    """A recorder that is asked at one moment."""

    at: float

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"waits for {seconds:g} s")

    async def follow(self, since: float) -> AsyncIterator[Second]:
        at = int(since)
        while at + CLOSES_S <= self.at:
            yield Second(at=at, arms={})
            at += 1
        raise AssertionError(f"waits for the second {at}, which is open")


@pytest.mark.parametrize("part", [0.0, 0.1, 0.11, 0.5, 0.9, 0.99])
async def test_nobody_waits_for_a_second_that_is_still_open(part: float) -> None:
    recorder = Recorder(1000 + part)
    seconds = await recent_ticks(recorder, recorder, 990.0)
    assert [each.at for each in seconds][:7] == [990, 991, 992, 993, 994, 995, 996]
    assert recorder.at - seconds[-1].at < CLOSES_S + 1.2  # and of the closed ones hardly one is left out
