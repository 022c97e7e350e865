"""Cutting the gateway's stream, and one second as a line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.signals.lines import LINE_LIMIT, Lines, announced_loss
from hitless.signals.ports import ArmCount, Second
from hitless.signals.wire import read_second, write_second

texts = st.text(st.characters(max_codepoint=255, exclude_characters="\n"), max_size=50)


@given(st.lists(texts, max_size=10), st.lists(st.integers(1, 40), min_size=1))
def test_a_stream_gives_the_same_lines_however_it_is_cut(given_lines: list[str], pieces: list[int]) -> None:
    stream = "".join(f"{line}\n" for line in given_lines).encode("latin-1")
    lines, found, number = Lines(), [], 0
    while stream:
        size = pieces[number % len(pieces)]
        found += lines.feed(stream[:size])
        stream, number = stream[size:], number + 1
    assert found == given_lines
    assert lines.whole


def test_a_line_that_does_not_end_is_given_up_and_nothing_after_it_is_believed() -> None:
    lines = Lines()
    assert lines.feed(b"abc\n" + b"x" * LINE_LIMIT) == ["abc"]
    assert not lines.broken
    assert lines.feed(b"x") == []
    assert lines.broken
    assert not lines.whole
    assert lines.feed(b"\nabc\n") == []


def test_half_a_line_waits() -> None:
    lines = Lines()
    assert lines.feed(b"hel") == []
    assert not lines.whole
    assert lines.feed(b"lo\nabc\n") == ["hello", "abc"]


@pytest.mark.parametrize(
    ("line", "lost"),
    [
        ("<134>1 2026-11-24T15:33:46.251210+00:00 - haproxy 17205 - - 16086 events dropped", 16086),
        ("<134>Nov 24 15:33:46 haproxy[17205]: 1 event dropped\n", 1),
        ("<134>1 - haproxy 17205 - - GET /events dropped", 0),
        ("<134>1 - haproxy 17205 - - GET /3 events dropped by", 0),
        ("17 events dropped", 17),
        ("<134>17 events dropped", 17),
        ("", 0),
    ],
)
def test_what_the_ring_says_it_has_lost_is_read(line: str, lost: int) -> None:
    assert announced_loss(line) == lost


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
