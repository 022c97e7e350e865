"""Frames of websockets: whatever the pieces, the same frames."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.testing.load.http1 import Answer, BadAnswer
from hitless.testing.load.websocket import CLOSE, PROPER, TEXT, Frame, Frames, accepted, encode, upgrade


def written(frame):
    size = len(frame.payload)
    if size < 126:
        length = bytes([size])
    else:
        length = bytes([126]) + size.to_bytes(2, "big") if size < 65536 else bytes([127]) + size.to_bytes(8, "big")
    return bytes([0x80 | frame.opcode]) + length + frame.payload


frames = st.builds(Frame, st.sampled_from([1, 2, 8, 9, 10]), st.binary(max_size=300))


@given(st.lists(frames, max_size=4), st.integers(min_value=1, max_value=400))
def test_frames_do_not_depend_on_the_pieces_in_which_they_come(sent, size):
    data = b"".join(map(written, sent))
    reader = Frames()
    read = [frame for start in range(0, len(data), size) for frame in reader.feed(data[start : start + size])]
    assert read == sent


def test_a_long_frame_is_read():
    long = Frame(TEXT, b"x" * 70_000)
    assert Frames().feed(written(long)) == [long]


@given(st.binary(max_size=1000), st.binary(min_size=4, max_size=4))
def test_what_we_send_is_masked_and_can_be_unmasked(payload, mask):
    data = encode(TEXT, payload, mask)
    assert data[1] & 0x80
    body = data[-len(payload) :] if payload else b""
    assert bytes(byte ^ mask[i % 4] for i, byte in enumerate(body)) == payload


def test_a_frame_that_is_masked_or_too_long_is_refused():
    for data in (b"\x81\x81aaaab", b"\x81\x7f\x00\x00\x00\x01\x00\x00\x00\x00"):
        with pytest.raises(BadAnswer):
            Frames().feed(data)


def test_going_away_is_proper_and_a_close_without_a_code_is_not():
    assert Frame(CLOSE, (1001).to_bytes(2, "big")).code in PROPER
    assert Frame(CLOSE, b"").code == 1005
    assert Frame(CLOSE, b"").code not in PROPER


def test_the_handshake_of_the_standard_is_accepted():
    key = base64.b64decode("dGhlIHNhbXBsZSBub25jZQ==")  # RFC 6455, section 1.3
    assert "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==" in upgrade(key)
    answer = Answer()
    answer.feed(b"HTTP/1.1 101 S\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x00")
    assert accepted(key, answer)
    assert not accepted(b"another key 1234", answer)
    assert answer.rest == b"\x81\x00"
