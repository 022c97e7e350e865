"""The costs of a backfill, and when it gives way; no database here."""

from hypothesis import given
from hypothesis import strategies as st

from hitless.database.forecast import forecast
from hitless.database.migration import Migration
from hitless.database.throttling import PAUSE_MAX_S, Limits, Readings, batch_s, next_pause_s, reason, rest_s

GIGA = 1_000_000_000
SPLIT = "operations: [{add_column: {table: t, up: upper(name), column: {name: loud, type: text}}}]"
SHADOW = "operations: [{shadow_table: {table: t, columns: [{name: id, type: bigint, pk: true}]}}]"
GENERATED = "operations: [{add_column: {table: t, column: {name: g, type: int, generated: {expression: id * 2}}}}]"
NOTHING = "operations: [{rename_column: {table: t, from: a, to: b}}]"


def of(text: str, rows: int, heap_bytes: int) -> list[tuple[str, int, int, int]]:
    found = forecast((Migration(name="0001_x", text=text),), {"t": (rows, heap_bytes)})
    return [(each.method, round(each.seconds), each.wal_bytes // GIGA, each.disk_bytes // GIGA) for each in found]


def test_a_table_of_100_gb_on_paper() -> None:
    rows = 600_000_000
    assert of(SPLIT, rows, 100 * GIGA) == [("in place", 6000, 370, 32)]
    assert of(SHADOW, rows, 100 * GIGA) == [("shadow", 4000, 180, 130)]


def test_the_method_is_chosen_by_what_the_server_would_have_to_write() -> None:
    assert [each[0] for each in of(GENERATED, 1000, 171_000)] == ["shadow"]
    assert of(NOTHING, 1000, 171_000) == []


def test_a_backfill_gives_way_to_whoever_is_slower_than_usual() -> None:
    limits = Limits()
    assert reason(Readings(p99_s=0.05, usual_p99_s=0.03), limits) is None
    assert "p99" in str(reason(Readings(p99_s=0.07, usual_p99_s=0.03), limits))
    assert reason(Readings(p99_s=0.03, usual_p99_s=0.001), limits) is None  # below what anybody feels
    assert "replica" in str(reason(Readings(lag_s=6.0), limits))
    assert "open for 1000 s" in str(reason(Readings(oldest_s=1000.0), limits))
    assert reason(Readings(wal_bytes_s=1e9), limits) is None
    assert "WAL" in str(reason(Readings(wal_bytes_s=1e9), Limits(wal_bytes_s=1e8)))
    assert reason(Readings(), limits) is None  # nothing is known: nothing stands in the way


def test_a_batch_is_short_while_others_are_at_work_for_they_wait_for_its_wal_when_they_commit() -> None:
    assert batch_s(Readings(others=True)) == 0.002
    assert batch_s(Readings()) == 0.05


def test_half_of_the_time_is_left_to_others_while_they_are_at_work() -> None:
    assert rest_s(Readings(others=True), 0.01) == 0.01
    assert rest_s(Readings(others=True), 60.0) == PAUSE_MAX_S
    assert rest_s(Readings(), 0.01) == 0.0


@given(st.lists(st.booleans(), max_size=50))
def test_a_pause_is_never_longer_than_its_bound_and_ends(waits: list[bool]) -> None:
    pause_s = 0.0
    for each in waits:
        pause_s = next_pause_s(pause_s, waits=each)
        assert 0 <= pause_s <= PAUSE_MAX_S
