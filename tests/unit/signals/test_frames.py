"""Cutting the gateway's stream, and one second as a line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.signals.frames import MESSAGE_LIMIT, Frames, announced_loss
from hitless.signals.ports import ArmCount, Second
from hitless.signals.wire import read_second, write_second


@given(st.lists(st.binary(max_size=50), max_size=10), st.lists(st.integers(1, 40), min_size=1))
def test_a_stream_gives_the_same_messages_however_it_is_cut(messages: list[bytes], pieces: list[int]) -> None:
    stream = b"".join(b"%d %s" % (len(message), message) for message in messages)
    frames, found, number = Frames(), [], 0
    while stream:
        size = pieces[number % len(pieces)]
        found += frames.feed(stream[:size])
        stream, number = stream[size:], number + 1
    assert found == messages
    assert frames.whole


@pytest.mark.parametrize("garbage", [b"<14>no length here", b"12a x", b" x", b"99999999 x", b"-1 x", b"1.0 xx"])
def test_a_stream_that_cannot_be_cut_any_further_is_given_up_after_its_last_message(garbage: bytes) -> None:
    frames = Frames()
    assert frames.feed(b"3 abc" + garbage) == [b"abc"]
    assert frames.broken
    assert frames.feed(b"3 abc") == []


def test_a_message_over_the_limit_is_refused_before_it_is_there() -> None:
    frames = Frames()
    assert frames.feed(b"%d " % (MESSAGE_LIMIT + 1)) == []
    assert frames.broken


def test_half_a_message_waits() -> None:
    frames = Frames()
    assert frames.feed(b"5 hel") == []
    assert not frames.whole
    assert frames.feed(b"lo3 abc") == [b"hello", b"abc"]


@pytest.mark.parametrize(
    ("message", "lost"),
    [
        (b"<134>1 2026-11-24T15:33:46.251210+00:00 - haproxy 17205 - - 16086 events dropped", 16086),
        (b"<134>Nov 24 15:33:46 haproxy[17205]: 1 event dropped\n", 1),
        (b"<134>1 - haproxy 17205 - - GET /events dropped", 0),
        (b"<134>1 - haproxy 17205 - - GET /3 events dropped by", 0),
        (b"17 events dropped", 17),
        (b"<134>17 events dropped", 17),
        (b"", 0),
    ],
)
def test_what_the_ring_says_it_has_lost_is_read(message: bytes, lost: int) -> None:
    assert announced_loss(message) == lost


counts = st.integers(0, 10**6)
arms = st.builds(
    ArmCount,
    requests=counts,
    failed=counts,
    users=counts,
    bad_users=counts,
    latency=st.dictionaries(st.integers(0, 117), counts),
)
seconds = st.builds(
    Second,
    at=counts,
    lost=counts,
    arms=st.dictionaries(st.tuples(st.sampled_from(["orders", "web-shop"]), st.sampled_from(["a", "b"])), arms),
)


@given(seconds)
def test_a_second_is_read_back_as_it_was_written(second: Second) -> None:
    line = write_second(second)
    assert line.count(b"\n") == 1
    assert read_second(line) == second


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{",
        b'{"at":1,"lost":0,"arms":[["orders","c",1,1,1,1,{}]]}',
        b'{"at":1,"lost":0,"arms":[1]}',
    ],
)
def test_a_line_that_is_no_second_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        read_second(line)
