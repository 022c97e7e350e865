"""One line of the gateway's log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.traffic import record

FIELDS = {
    "end": "1795534808635",
    "backend": "orders.b",
    "version": "1.1",
    "bucket": "7104",
    "user": "-7888184235188891589",
    "status": "200",
    "retries": "0",
    "tq": "1",
    "tw": "2",
    "tc": "3",
    "tr": "4",
    "ta": "12",
    "state": "--",
    "listener": "public",
    "method": "GET",
    "trace": "84d40c371afc4e71b3202d286ab0e3a9",
}


def line(**changes: str) -> bytes:
    return "\t".join((FIELDS | changes).values()).encode()


def parsed(**changes: str) -> record.Record:
    found = record.parse(line(**changes))
    assert found is not None
    return found


def test_a_line_is_read_field_by_field():
    assert parsed() == record.Record(
        end_ms=1795534808635,
        service="orders",
        slot="b",
        version="1.1",
        bucket=7104,
        user="-7888184235188891589",
        method="GET",
        status=200,
        retries=0,
        tq=1,
        tw=2,
        tc=3,
        tr=4,
        ta=12,
        termination="--",
        listener="public",
        trace_id="84d40c371afc4e71b3202d286ab0e3a9",
    )


def test_the_format_has_a_field_for_each_that_is_read():
    assert len(FIELDS) == record.FIELDS


def test_a_request_without_a_user_has_no_bucket():
    nobody = parsed(bucket="-", user="-", trace="-")
    assert (nobody.bucket, nobody.user, nobody.trace_id) == (None, "", "")


def test_a_tls_listener_and_a_change_of_place_are_understood():
    seen = parsed(listener="public~", retries="+2")
    assert (seen.listener, seen.retries) == ("public", 2)


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


@pytest.mark.parametrize(
    "changes", [{"backend": "public"}, {"backend": "flags"}, {"backend": "orders.c"}, {"listener": "control"}]
)
def test_what_is_no_request_to_a_service_is_passed_over(changes):
    assert record.parse(line(**changes)) is None


def test_a_tab_from_a_client_shifts_nothing():
    assert parsed(trace="a\tb\tc").trace_id == "a\tb\tc"


@given(st.binary(max_size=400))
def test_nothing_makes_the_parser_fail(junk):
    record.parse(junk)


@given(st.sampled_from(list(FIELDS)), st.text(max_size=20))
def test_a_broken_field_makes_a_line_unreadable_or_harmless(name, text):
    found = record.parse(line(**{name: text}))
    assert found is None or isinstance(found.failed, bool)
