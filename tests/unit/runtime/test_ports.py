"""Which port a process gets."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hitless.runtime.rules import HIGHEST_PORT, LOWEST_PORT, port_candidates

ports = st.integers(LOWEST_PORT, HIGHEST_PORT)


@settings(max_examples=25)  # each is all ports of a machine
@given(st.integers(0, 2**32), st.sets(ports, max_size=20))
def test_every_free_port_is_offered_once_and_those_of_outgoing_connections_last(seed, taken):
    offered = list(port_candidates((32768, 60999), taken, seed))
    assert sorted(offered) == [port for port in range(LOWEST_PORT, HIGHEST_PORT + 1) if port not in taken]
    outgoing = [32768 <= port <= 60999 for port in offered]
    assert outgoing == sorted(outgoing)


def test_systems_that_begin_at_different_seeds_do_not_meet_in_one_corner():
    first = [next(port_candidates((32768, 60999), (), seed * 7919)) for seed in range(200)]
    assert len(set(first)) > 190


def test_there_is_a_port_where_all_of_them_are_for_outgoing_connections():
    assert next(port_candidates((1024, 65535), (), 5)) == LOWEST_PORT + 5
