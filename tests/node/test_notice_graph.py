"""The graph of notices between parts: every cycle is listed with the reason why it ends.

An edge is (giver, notice, taker). Without the edges that close the listed loops the graph has no cycle, so
every step ends; a new notice that closes another loop fails here and must be argued for.
"""

import ast
import sys
from pathlib import Path

import msgspec
import networkx as nx
import pytest

from bellwire.baselines.centre import with_centre
from bellwire.core import notices as words
from bellwire.core.machine import Part
from bellwire.core.plans import store_request
from bellwire.core.settings import StoreSettings, SuperLinkSettings, SwitchSettings, TopologySettings
from bellwire.node.machines import make_machine
from tests.node.networks import chain

Edge = tuple[str, str, str]

LOOPS: dict[Edge, str] = {
    ("Swapping", "ViewWanted", "Update"): "a view is answered once; ends told with it are bounded a step",
    ("Delivery", "ViewWanted", "Update"): "a view is answered once; ends told with it are bounded a step",
    ("Broadcast", "EndDied", "Swapping"): "the fact that answers a death ends the end",
    ("Broadcast", "EndChanged", "Swapping"): "a change costs at most one swap or release of that end",
    ("Broadcast", "EndDied", "Delivery"): "the fact that answers a death ends the end",
    ("Broadcast", "EndChanged", "Delivery"): "an offer is made once an end",
    ("Swapping", "SlotFreed", "LinkService"): "arming a slot is an order to the device and tells nobody",
    ("Delivery", "SlotFreed", "LinkService"): "arming a slot is an order to the device and tells nobody",
    ("Fusion", "ViewWanted", "Update"): "a view is answered once; ends told with it are bounded a step",
    ("Broadcast", "EndChanged", "Fusion"): "a change costs at most one look at what is held",
    ("Fusion", "SlotFreed", "LinkService"): "arming a slot is an order to the device and tells nobody",
    ("QubitUses", "SlotFreed", "LinkService"): "arming a slot is an order to the device and tells nobody",
    ("Fusion", "UpdatePair", "Swapping"): "a delivery is answered with messages only",
    ("Baselines", "SlotFreed", "LinkService"): "arming a slot is an order to the device and tells nobody",
    ("CentralLedger", "ViewWanted", "CentralLedger"): "it asks for its replica's view, which others answer",
    ("CentralLedger", "ViewReady", "CentralLedger"): "an answer has another purpose than its own views",
    (
        "CentralLedger",
        "ViewWanted",
        "Update",
    ): "a view is answered once; ends told with it are bounded a step",
    ("Swapping", "ViewWanted", "CentralLedger"): "a question is asked once; its answer comes by message",
    ("Delivery", "ViewWanted", "CentralLedger"): "only choices of swaps are asked of the centre",
    ("Purification", "ViewWanted", "CentralLedger"): "only choices of swaps are asked of the centre",
    ("Fusion", "ViewWanted", "CentralLedger"): "only choices of swaps are asked of the centre",
    ("LinkService", "LinkWithdrawn", "SwitchKeeper"): "what is withdrawn is forgotten, and nobody told",
    ("PlanDispatch", "ViewWanted", "Update"): "a view is answered once, and with a message",
    ("PlanDispatch", "ViewWanted", "CentralLedger"): "only choices of swaps are asked of the centre",
    ("Baselines", "UpdatePair", "Swapping"): "a delivery is answered with messages only",
    ("Baselines", "UpdatePair", "Baselines"): "an end that a release of another part ends is forgotten",
    ("Swapping", "UpdatePair", "Swapping"): "a delivery is answered with messages only",
    ("LinkService", "SlotFreed", "LinkService"): "arming a slot is an order to the device and tells nobody",
    ("LinkService", "LinkRequested", "LinkService"): "a CREATE is wanted once, when its turn comes",
    ("LinkService", "LinkWithdrawn", "LinkService"): "a CREATE is withdrawn once, when it ends",
    ("LinkService", "UpdatePair", "Broadcast"): "an end of the link layer is born once and released once",
    ("LinkService", "MemoryReady", "LinkService"): "told by an event, answered with orders only",
    ("Purification", "ViewWanted", "Update"): "a view is answered once; ends told with it are bounded a step",
    ("Broadcast", "EndDied", "Purification"): "the fact that answers a death ends the end",
    ("Broadcast", "EndChanged", "Purification"): "the ledger is asked once a moment",
    ("Purification", "EndUnlocked", "Purification"): "a round locks what it looks at, and needs an answer",
    ("Purification", "EndUnlocked", "Swapping"): "an end is unlocked once a round, and rounds take messages",
    ("Purification", "SlotFreed", "LinkService"): "arming a slot is an order to the device and tells nobody",
    ("PlanDispatch", "PlanActive", "RequestProcessing"): "the answer to one PlanRequested",
    ("LinkService", "LinkStateTold", "NodeAnnouncing"): "it is announced at a deadline, by message",
    ("BrokenRoutes", "RouteBroken", "RequestProcessing"): "another plan takes a message to the destination",
    ("AdvertisedLinks", "LinkStateHeard", "RequestProcessing"): "an alarm is set, and nothing else done",
    (
        "PlanDispatch",
        "PlanFailed",
        "RequestProcessing",
    ): "the next attempt waits for a timer, or needs an answer",
    ("Delivery", "EntanglementReported", "RequestProcessing"): "a delivered pair is reported once",
    ("Sequences", "SequenceTold", "RequestProcessing"): "told once a batch, and once at the end",
    ("Sequences", "RequestGenerated", "RequestProcessing"): "a pair of a round is asked for once",
    ("Sequences", "RequestWithdrawn", "RequestProcessing"): "a pair of a round is withdrawn once",
    ("Sequences", "SlotFreed", "LinkService"): "arming a slot is an order to the device and tells nobody",
    **{
        (giver, "OwnSlotFreed", taker): "a state is prepared by an order to the device, which tells nobody"
        for giver in ("QubitUses", "StoredStates")
        for taker in ("QubitUses", "StoredStates")
    },
    (
        "NodeAnnouncing",
        "LinkStateTold",
        "NodeAnnouncing",
    ): "what a ping found is announced by a timer",
    ("ExecutionMonitoring", "CorrectiveAction", "RequestProcessing"): "told at a deadline, and then not soon",
}

STORED = "a pair leaves the store once, claims and looks are bounded a step, and pairs in store are few"
for _giver, _notice in (
    *((giver, "UpdatePair") for giver in ("Baselines", "Delivery", "Fusion", "LinkService", "Purification")),
    *((giver, "UpdatePair") for giver in ("Swapping", "PreDistribution")),
    *((giver, "EndChanged") for giver in ("Broadcast", "Update", "PreDistribution")),
    *((giver, "LinkPairReady") for giver in ("LinkService", "PreDistribution")),
    *((giver, "ViewReady") for giver in ("Update", "CentralLedger")),
):
    LOOPS[_giver, _notice, "PreDistribution"] = STORED
for _notice in ("PlanActive", "PlanFailed", "PlanInstalled", "PlanRemoved"):
    LOOPS["PlanDispatch", _notice, "PreDistribution"] = "asking for a plan takes messages or a timer"

UNTAKEN: dict[str, dict[str, str]] = {"a": {}, "r": {}, "m": {}}
"""Node of each role -> notices that fall on the floor there, with the reason. None does."""


def parts_of(node: str) -> tuple[Part, ...]:
    link = SuperLinkSettings(
        request=store_request("a", "b"), route=("a", "r", "b"), tree="((a r) (r b))", target=1, threshold=1
    )
    stores = StoreSettings(continuous=True, super_links=(link,))
    network = msgspec.structs.replace(with_centre(chain()), stores=stores, topology=TopologySettings())
    nodes = {
        name: one
        if one.memory is None
        else msgspec.structs.replace(one, memory=msgspec.structs.replace(one.memory, own_slots=1))
        for name, one in network.nodes.items()
    }
    switches = {
        owner: SwitchSettings(
            switch=owner,
            owner=owner,
            settings={"on": ((1, 2),)},
            equipment=None,
            settle_ns=1,
            check_ns=1,
            dark_max_hz=0.0,
        )
        for owner in ("a", "r")
    }
    network = msgspec.structs.replace(network, nodes=nodes, switches=switches)
    return make_machine(network, node, lambda request, version, news: "no plan").parts


def edges_of(node: str) -> set[Edge]:
    parts = parts_of(node)
    return {
        (type(giver).__name__, kind.__name__, type(taker).__name__)
        for giver in parts
        for kind in giver.gives()
        for taker in parts
        if kind in taker.on_notices()
    }


def graph_of(edges: set[Edge]) -> nx.DiGraph:
    return nx.DiGraph([(giver, taker) for giver, _, taker in edges])


@pytest.mark.parametrize("node", ["a", "r", "m"], ids=["end", "repeater", "station"])
def test_notices_go_round_only_in_the_listed_loops(node: str) -> None:
    graph = graph_of(edges_of(node) - LOOPS.keys())
    assert nx.is_directed_acyclic_graph(graph), list(nx.simple_cycles(graph))


def test_every_listed_loop_exists_in_the_end_node() -> None:
    edges = edges_of("a")
    graph = graph_of(edges)
    loops = {node for part in nx.strongly_connected_components(graph) for node in part if len(part) > 1}
    loops |= {part for part in graph if graph.has_edge(part, part)}
    for giver, notice, taker in LOOPS:
        assert (giver, notice, taker) in edges
        assert giver in loops, notice
        assert nx.has_path(graph, taker, giver), f"{giver} -> {taker} closes no loop"


@pytest.mark.parametrize("node", ["a", "r", "m"], ids=["end", "repeater", "station"])
def test_every_notice_that_is_given_has_a_taker(node: str) -> None:
    parts = parts_of(node)
    given = {kind.__name__ for part in parts for kind in part.gives()}
    taken = {kind.__name__ for part in parts for kind in part.on_notices()}
    assert given - taken == UNTAKEN[node].keys()


def test_every_notice_that_is_taken_is_given_by_somebody_in_the_end_node() -> None:
    parts = parts_of("a")
    given = {kind.__name__ for part in parts for kind in part.gives()}
    taken = {kind.__name__ for part in parts for kind in part.on_notices()}
    assert taken <= given


def told_in(room: str) -> set[str]:
    """Names of the notices that the source of a room builds."""
    notices = {
        name for name, kind in vars(words).items() if getattr(kind, "__module__", "") == words.__name__
    }
    package = sys.modules[f"bellwire.{room}"].__file__
    assert package is not None
    return {
        node.func.id
        for file in Path(package).parent.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in notices
    }


@pytest.mark.parametrize(
    "room", ["gem", "link_layer", "swapping", "baselines", "planner", "transport", "applications"]
)
def test_the_parts_of_a_room_declare_exactly_the_notices_that_its_source_tells(room: str) -> None:
    declared = {
        kind.__name__
        for part in parts_of("a")
        if type(part).__module__.startswith(f"bellwire.{room}.")
        for kind in part.gives()
    }
    assert declared == told_in(room)
