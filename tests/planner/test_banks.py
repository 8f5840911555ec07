"""Reservations where the links of a node share one bank of memory slots: a reserved lane is a slot of it."""

from itertools import combinations

import msgspec
import pytest

from bellwire.core.ids import NodeId
from bellwire.core.plans import WEIGHTS_MAX, LinkPlan, NodePlan, RequestPlan
from bellwire.core.settings import NetworkSettings
from bellwire.planner.in_order import plans_in_order
from bellwire.planner.reservations import Reservations, banks_at
from tests.planner.test_reservations import Market, asked, network

SLOTS = 8


def banked(
    net: NetworkSettings, node: NodeId, slots: int = SLOTS, *, turn_ns: int = 1_000_000
) -> NetworkSettings:
    """The same network, all links of a node with one bank there; turn_ns 0: they need not take turns."""
    links = dict(net.links)
    for name in net.nodes[node].links:
        link = links[name]
        side = link.nodes.index(node)
        ends, shared = list(link.slots), list(link.shared)
        ends[side], shared[side] = tuple(range(slots)), True
        links[name] = msgspec.structs.replace(
            link, slots=(ends[0], ends[1]), shared=(shared[0], shared[1]), turn_ns=turn_ns
        )
    memory = net.nodes[node].memory
    assert memory is not None
    nodes = dict(net.nodes)
    nodes[node] = msgspec.structs.replace(
        net.nodes[node], memory=msgspec.structs.replace(memory, slots=slots)
    )
    return msgspec.structs.replace(net, links=links, nodes=nodes)


STAR = network([("A", "x"), ("B", "x"), ("x", "C")])
HUB = banked(STAR, "x")
FREE_HUB = banked(STAR, "x", turn_ns=0)
"""Any free memory may attempt on any link, so those who share count on one for each side."""


def book_of(*plans: NodePlan, net: NetworkSettings = HUB) -> Reservations:
    lanes = {link: net.links[link].lanes for link in net.nodes["x"].links}
    return Reservations(lanes, None, {plan.request: plan for plan in plans}, banks_at(net, "x"))


def taking(request: str, **lanes: int) -> NodePlan:
    """A node's part of a plan with so many lanes of each link, 0: it shares."""
    return NodePlan(
        request=request,
        version=1,
        source="A",
        destination="C",
        role="inner",
        routes=(("A", "x", "C"),),
        links=tuple(
            LinkPlan(
                request=request,
                tree=0,
                link=link,
                partner=link.replace("x", ""),
                rate_hz=1.0,
                lanes=count,
                weight=2,
                fidelity_min=None,
            )
            for link, count in lanes.items()
        ),
        swaps=(),
        cutoff_ns=None,
        rounds=False,
        lease_ns=1,
    )


def test_links_of_one_bank_are_found_and_others_have_none() -> None:
    banks = banks_at(HUB, "x")
    assert {link: (bank.links, bank.slots) for link, bank in banks.items()} == dict.fromkeys(
        ("Ax", "Bx", "xC"), (("Ax", "Bx", "xC"), SLOTS)
    )
    assert banks_at(HUB, "A") == {}


def test_what_one_link_reserves_is_missing_to_all_links_of_the_bank() -> None:
    assert book_of().room("xC").lanes == SLOTS
    book = book_of(taking("r", Ax=3, xC=2))
    assert [book.room(link).lanes for link in ("Ax", "Bx", "xC")] == [3, 3, 3]
    assert book.room("Bx", besides="r").lanes == SLOTS


def test_while_anybody_shares_a_link_of_the_bank_one_slot_stays_unreserved() -> None:
    book = book_of(taking("r", Ax=3), taking("s", Bx=0))
    assert [book.room(link).lanes for link in ("Ax", "Bx", "xC")] == [4, 4, 4]
    assert book.room("Bx").weight == WEIGHTS_MAX - 2


def test_nobody_can_join_those_who_share_when_the_whole_bank_is_reserved() -> None:
    book = book_of(taking("r", Ax=4, xC=4))
    assert book.room("Bx").weight == 0
    lack = book.lack(taking("late", Bx=0))
    assert lack is not None
    assert lack.reason.startswith("link Bx has a weight of 0")


def test_a_plan_over_two_links_of_the_bank_needs_slots_for_both() -> None:
    book = book_of(taking("r", Ax=3))
    assert book.lack(taking("fits", Bx=3, xC=2)) is None
    lack = book.lack(taking("late", Bx=3, xC=3))
    assert lack is not None
    assert lack.reason == "the bank of links Bx, xC has 5 of 8 slots left, the plan needs 6"
    assert {room.link: room.lanes for room in lack.room} == {"Bx": 2, "xC": 2}


def test_a_newer_version_may_use_what_its_older_one_holds() -> None:
    assert book_of(taking("r", Ax=4, xC=4)).lack(taking("r", Ax=3, xC=5)) is None


@pytest.mark.parametrize("count", range(4))
def test_accounts_of_every_subset_add_up_over_the_bank(count: int) -> None:
    plans = [taking("p", Ax=1, xC=1), taking("q", Bx=2, xC=1), taking("r", Ax=0, xC=0)]
    for some in combinations(plans, count):
        book = book_of(*some)
        reserved = sum(part.lanes for plan in some for part in plan.links)
        shares = any(part.lanes == 0 for plan in some for part in plan.links)
        for link in ("Ax", "Bx", "xC"):
            assert book.room(link).lanes == SLOTS - reserved - shares


@pytest.mark.parametrize("count", range(4))
def test_without_turns_each_side_of_those_who_share_has_a_slot(count: int) -> None:
    plans = [taking("p", Ax=1, xC=1), taking("q", Bx=0, xC=0), taking("r", Ax=0, xC=0)]
    for some in combinations(plans, count):
        book = book_of(*some, net=FREE_HUB)
        for link in ("Ax", "Bx", "xC"):
            assert book.room(link).lanes == SLOTS - 2 * count


def test_a_request_whose_sides_have_no_slots_left_is_refused_and_told_which_links_are_full() -> None:
    crossing = [taking(f"r{number}", Ax=0, xC=0) for number in range(4)]
    lack = book_of(*crossing, net=FREE_HUB).lack(taking("late", Bx=0, xC=0))
    assert lack is not None
    assert {room.link: room.weight for room in lack.room} == {"Bx": 0, "xC": 0}
    # One slot is left: room for one side of a request, not for two.
    lack = book_of(*crossing[:3], taking("one", Bx=0), net=FREE_HUB).lack(taking("late", Bx=0, xC=0))
    assert lack is not None
    assert lack.reason == "the bank of links Bx, xC has 1 of 8 slots left, the plan needs 2"
    assert {room.link: room.weight for room in lack.room} == {"Bx": 0, "xC": 0}
    assert book_of(*crossing[:3], net=FREE_HUB).lack(taking("fits", Bx=0, xC=0)) is None
    assert book_of(*crossing).lack(taking("in turns", Bx=0, xC=0)) is None


@pytest.mark.parametrize("seed", range(6))
def test_competing_requests_never_get_more_slots_of_a_bank_than_there_are(seed: int) -> None:
    """Three requests over one repeater ask for more than its bank has, over a bad channel."""
    requests = [asked("one", "AC", 200.0), asked("two", "BC", 200.0), asked("three", "AB", 200.0)]
    market = Market(HUB, requests, seed)
    most = 0

    def watch(node: NodeId) -> None:
        nonlocal most
        market.check(node)
        if node == "x":
            plans = market.bench.messaging["x"].plans.values()
            sold = sum(part.lanes for plan in plans for part in plan.links)
            assert sold <= SLOTS, f"x sold {sold} of {SLOTS} slots"
            most = max(most, sold)

    market.bench.watch = watch
    market.settle(market.requests, 6)
    assert most >= SLOTS // 2


def test_requests_planned_one_after_the_other_stay_within_the_bank() -> None:
    found = plans_in_order(
        HUB, [asked("one", "AC", 200.0), asked("two", "BC", 200.0), asked("three", "AB", 200.0)]
    )
    plans = [plan for plan in found.values() if isinstance(plan, RequestPlan)]
    sold = sum(part.lanes for plan in plans for part in plan.nodes["x"].links)
    assert plans
    assert sold <= SLOTS
    assert any(isinstance(plan, str) for plan in found.values())
