"""One line of the gateway's log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.traffic import record

FIELDS = {
    "end": "1795534808635",
    "backend": "orders.b",
    "user": "-7888184235188891589",
    "bucket": "7104",
    "status": "200",
    "retries": "0",
    "state": "--",
    "tw": "2",
    "tc": "3",
    "tr": "4",
    "ta": "12",
    "method": "GET",
    "tq": "1",
    "version": "1.1",
    "listener": "public",
    "trace": "84d40c371afc4e71b3202d286ab0e3a9",
}


def line(**changes: str) -> str:
    return "\t".join((FIELDS | changes).values())


def parsed(**changes: str) -> record.Record:
    found = record.parse(line(**changes))
    assert found is not None
    return found


def test_a_line_is_read_field_by_field():
    assert parsed() == record.Record(
        end_ms=1795534808635,
        service="orders",
        slot="b",
        user="-7888184235188891589",
        failed=False,
        latency_ms=2 + 3 + 4,
        saved=False,
        bucket="7104",
        did="GET",
    )


@pytest.mark.parametrize(
    ("status", "retries", "did"), [("201", "0", "POST"), ("302", "0", "POST"), ("404", "0", ""), ("503", "0", "")]
)
def test_what_a_request_did_is_its_method_if_its_client_saw_a_good_answer(status: str, retries: str, did: str):
    assert parsed(method="POST", status=status, retries=retries).did == did


def test_a_request_that_was_saved_by_a_retry_did_what_it_was_to_do():
    assert parsed(method="POST", status="201", retries="+1").did == "POST"


@pytest.mark.parametrize("status", ["-1", "0"])
def test_what_was_not_answered_did_nothing(status: str):
    assert parsed(method="POST", status=status, state="SH").did == ""


def test_a_line_has_the_fields_that_haproxy_is_told_to_write():
    assert tuple(FIELDS) == record.FIELDS
    assert record.LOG_FORMAT.count("\t") + 1 == len(FIELDS)


def test_nobody_is_a_request_without_a_user_or_without_a_bucket():
    assert {parsed(bucket="-").user, parsed(user="-").user} == {""}


def test_a_request_that_nobody_answered_took_its_whole_time():
    assert parsed(tr="-1", status="503", state="SC").latency_ms == 12


def test_a_retry_is_a_failure_that_the_client_was_saved_from_or_not():
    saved, felt = parsed(retries="+2"), parsed(retries="3", status="503")
    assert (saved.failed, saved.saved) == (True, True)
    assert (felt.failed, felt.saved) == (True, False)


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, False),
        ({"status": "404"}, False),
        ({"status": "500"}, True),
        ({"status": "503", "state": "SC"}, True),
        ({"retries": "1"}, True),
        ({"status": "200", "state": "SD"}, True),
        ({"status": "200", "state": "sD"}, True),
        ({"status": "200", "state": "CD"}, False),
        ({"status": "200", "state": "cD"}, False),
        ({"status": "-1", "state": "CH"}, False),
        ({"status": "-1", "state": "SH"}, True),
        ({"status": "400", "state": "PR"}, False),
        ({"status": "408", "state": "cR"}, False),
        ({"status": "101", "state": "SD"}, False),
        ({"status": "101", "state": "--"}, False),
    ],
)
def test_what_counts_as_a_failure_of_ours(changes, failed):
    assert parsed(**changes).failed is failed


@pytest.mark.parametrize("backend", ["public", "flags", "orders.c", "orders", ""])
def test_what_is_no_request_to_a_service_is_passed_over(backend):
    assert record.parse(line(backend=backend)) is None


def test_a_tab_from_a_client_shifts_nothing():
    assert parsed(trace="a\tb\tc") == parsed()


@given(st.text(max_size=400))
def test_nothing_makes_the_parser_fail(junk):
    record.parse(junk)


@given(st.sampled_from(list(FIELDS)), st.text(max_size=20))
def test_a_broken_field_makes_a_line_unreadable_or_harmless(name, text):
    found = record.parse(line(**{name: text}))
    assert found is None or isinstance(found.failed, bool)
