"""Which commands bring HAProxy to where it should be, and what its counts mean."""

from hitless.kit.units import Share
from hitless.plan.instances import InstanceId
from hitless.traffic.counters import read_counters, read_info
from hitless.traffic.memory import Memory
from hitless.traffic.orders import orders_for, orders_for_all
from hitless.traffic.ports import Place
from hitless.traffic.steps import Routing
from hitless.traffic.words import row

A1 = InstanceId("orders", "a", 1)
ROUTING = Routing(service="orders", baseline="a", share=Share(5), version_a="1")


def state_line(server: str, admin: int, port: int, backend: str = "orders.a") -> str:
    return f"3 {backend} 1 {server} 127.0.0.1 2 {admin} 1 1 6 1 0 0 14 0 0 0 - {port} - 0 0 - - 0"


def test_an_instance_is_ready_only_after_it_has_its_address():
    orders = orders_for(A1, Place(port=4000, state="ready"))
    watched = [order for order in orders if "/i1" in order]
    assert watched == [
        "set server orders.a/i1 addr 127.0.0.1 port 4000",
        "set server orders.a/i1 state ready",
        "set server orders.a/i1 health up",
    ]


def test_the_one_that_stands_in_leaves_before_the_watched_one():
    for place in (None, Place(port=4000, state="drain")):
        assert "/r1" in orders_for(A1, place)[0]


def test_nothing_is_ordered_where_haproxy_is_already_there():
    memory = Memory(routings={"orders": ROUTING}, places={A1: Place(port=4000, state="ready")})
    table = f"0x55 orders {row(ROUTING, 6)}\n0x56 web -"
    servers = "\n".join(("1", "# be_id", state_line("i1", 4, 4000), state_line("i2", 5, 1), state_line("r1", 4, 4000)))
    assert orders_for_all(memory, 7, table, servers) == ()


def test_what_differs_is_ordered():
    memory = Memory(routings={"orders": ROUTING}, places={A1: Place(port=4000, state="ready")})
    servers = "\n".join((state_line("i1", 12, 4000), state_line("i2", 4, 1)))
    orders = orders_for_all(memory, 7, "0x55 orders -", servers)
    assert orders[0] == f"set map gateway/routing.map orders {row(ROUTING, 7)}"
    assert "set server orders.a/i1 state ready" in orders
    assert "set server orders.a/i2 state maint" in orders


def test_what_waits_counts_as_in_flight_and_both_lines_of_an_instance_are_one():
    head = "# pxname,svname,qcur,scur,stot,hrsp_5xx,req_tot,"
    rows = ("orders.a,i1,1,2,9,0,,", "orders.a,r1,0,3,9,0,,", "orders.a,i2,0,0,9,0,,", "orders.a,BACKEND,0,5,9,4,20,")
    counters = read_counters(["\n".join((head, *rows)), f"{head}\npublic,FRONTEND,,1,2,3,,"])
    assert counters.in_flight == {A1: 6}
    assert counters.requests == {"orders": (20, 4)}


def test_info_is_read_by_name():
    assert read_info("Name: HAProxy\nDroppedLogs: 3\nnode:\n") == {"Name": "HAProxy", "DroppedLogs": "3"}
