"""Requests of one file, one after the other: do they fit together?

Owns the tests of planner/in_order.py; that nodes in a network decide alike is shown in
tests/simulation/test_reserved_rates.py.
"""

from bellwire.core.plans import RequestPlan
from bellwire.planner.in_order import plans_in_order
from tests.planner.test_reservations import LANES, TWO_WAYS, asked, network, reserved


def test_each_request_gets_what_those_before_it_have_left() -> None:
    net = network([*TWO_WAYS, ("x", "C"), ("z", "C")])
    requests = [asked("one", "AB", 520.0), asked("two", "AC", 520.0), asked("three", "AB", 520.0)]
    plans = plans_in_order(net, requests)
    one, two, three = (plans[name] for name in ("one", "two", "three"))
    assert isinstance(one, RequestPlan)
    assert one.nodes["A"].route == ("A", "x", "B")
    assert isinstance(two, RequestPlan)
    assert two.nodes["A"].route == ("A", "y", "z", "C")
    sold = [reserved(plan).get("Ax", 0) for plan in (one, two)]
    assert sum(sold) <= LANES
    assert isinstance(three, str)
    assert three.startswith("no room for rate 520/s beside other plans: link A")


def test_the_order_decides_and_requests_that_share_always_fit_until_lanes_are_gone() -> None:
    net = network([("A", "x"), ("x", "B")])
    shares, all_of_it = asked("shares", "AB"), asked("all", "AB", 850.0)
    first = plans_in_order(net, [all_of_it, shares])
    assert isinstance(first["all"], RequestPlan)
    assert isinstance(first["shares"], str)
    second = plans_in_order(net, [shares, all_of_it])
    assert isinstance(second["shares"], RequestPlan)
    assert isinstance(second["all"], str)
