"""Shares and durations as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.kit.units import Share, format_duration, parse_duration_s


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("10s", 10), ("1m30s", 90), ("2h", 7200), ("1d", 86400)])
def test_a_duration_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "s", "-1s", "1 s", "10s x", "1y", "\n1s"])
def test_a_length_of_time_without_a_clear_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration_s(text)


@given(st.integers(0, 10_000))
def test_a_share_reads_back_as_it_was_written(buckets: int) -> None:
    assert Share.parse(str(Share(buckets))) == Share(buckets)


@pytest.mark.parametrize("text", ["101%", "5", "-1%", "0.001%", "% 5", "five%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="%"):
        Share.parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "250ms"), (10, "10s"), (90, "1m30s"), (3600, "1h"), (90061, "1d1h")]
)
def test_a_duration_is_written_as_a_person_would(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
