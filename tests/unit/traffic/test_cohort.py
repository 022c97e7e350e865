"""The place of a user among the buckets."""

import zlib
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hitless.traffic.cohort import bucket


def test_the_buckets_of_known_users_are_those_of_haproxy():
    assert [bucket(user, "") for user in ("bob", "u1", "u3")] == [7104, 4422, 6106]  # measured: plain crc32


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_a_bucket_is_the_crc_of_user_and_salt(user, salt):
    assert bucket(user, salt) == zlib.crc32(user.encode() + salt.encode()) % 10_000


def test_users_are_spread_and_another_salt_spreads_them_otherwise():
    users = [f"user-{number}" for number in range(20_000)]
    for salt in ("a", "b"):
        thousands = Counter(bucket(user, salt) // 1000 for user in users)
        assert all(1700 < count < 2300 for count in thousands.values())
    both = sum(bucket(user, "a") < 1000 and bucket(user, "b") < 1000 for user in users)
    assert 100 < both < 320  # about 1 % of them, not 10 %
