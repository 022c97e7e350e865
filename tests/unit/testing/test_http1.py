"""Reading answers: whatever the pieces, the same answer."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.testing.load.http1 import BODY_LIMIT, HEAD_LIMIT, Answer, BadAnswer, Digest, encode, wrong
from hitless.testing.load.profile import Profile, Request

bodies = st.lists(st.binary(min_size=1, max_size=60), max_size=6)
PLAIN = b"HTTP/1.1 200 OK\r\nX-Version: 1.0\r\nContent-Length: %d\r\n\r\n%s"
CHUNKED = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n"


def pieces(data, cuts):
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(bodies, st.lists(st.integers(min_value=0), max_size=8))
def test_an_answer_does_not_depend_on_the_pieces_in_which_it_comes(parts, cuts):
    body = b"".join(parts)
    chunks = b"".join(b"%x;name=value\r\n%s\r\n" % (len(part), part) for part in parts)
    for data, status in ((PLAIN % (len(body), body), 200), (CHUNKED % chunks, 201)):
        answer = Answer()
        ends = [answer.feed(piece) for piece in pieces(data, cuts)]
        assert ends == [False] * (len(ends) - 1) + [True]
        assert (answer.status, answer.body, answer.keeps_alive, answer.rest) == (status, body, True, b"")


def test_an_answer_without_a_length_ends_with_the_connection_and_a_cut_one_does_not():
    answer = Answer()
    assert not answer.feed(b"HTTP/1.0 200 OK\r\n\r\nall")
    assert answer.end()
    assert not answer.keeps_alive
    for cut in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        CHUNKED[:-5] % b"4\r\nhalf\r\n",
        b"HTTP/1.1 2",
        b"",
    ):
        answer = Answer()
        answer.feed(cut)
        assert not answer.end()


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"x" * (HEAD_LIMIT + 1),
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (BODY_LIMIT + 1) + b"x" * (BODY_LIMIT + 1),
    ],
)
def test_what_is_no_answer_or_too_long_is_refused(data):
    with pytest.raises(BadAnswer):
        Answer().feed(data)


def test_a_sink_takes_the_body_and_nothing_is_kept():
    taken = []
    answer = Answer(taken.append)
    answer.feed(PLAIN % (4, b"body"))
    assert (b"".join(taken), answer.body, answer.received) == (b"body", b"", 4)


def post(id_="r-1"):
    return Request(due_s=0, method="POST", route="/o", path="/o", user="user-1", fresh=True, id=id_)


def test_a_post_carries_its_id_in_body_and_key():
    profile = Profile(url="http://h:1", post=("/o",), idempotency_key=True)
    head, _, body = encode(profile, post()).decode().partition("\r\n\r\n")
    assert body == '{"id": "r-1", "item": "item of user-1"}'
    assert set(head.split("\r\n")) >= {"Host: h:1", "Connection: close", "Idempotency-Key: r-1", "X-User-Id: user-1"}
    assert f"Content-Length: {len(body)}" in head


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nr-1", None),
        (b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nr-2", "wrong-body"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\nr-1", "status-503"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n{r-1", "wrong-body"),
    ],
)
def test_an_answer_that_does_not_say_what_it_must_is_wrong(data, why):
    answer = Answer()
    answer.feed(data)
    assert wrong(post(), answer) == why


def test_a_digest_tells_a_body_that_was_changed():
    digest = Digest()
    digest.update(b"hello")
    assert digest.matches(None)
    assert digest.matches("sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:")
    assert not digest.matches("sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCA=:")
