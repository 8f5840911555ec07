"""The network as the planner sees it: which link joins two nodes, and how fast it is.

Owns `UsableNetwork`, a read-only picture for one request. Refuses routes and trees, and any opinion about
load: a plan is made as if the request were alone, and nodes refuse what they cannot carry.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bellwire.core.bell import Bell, from_walsh
from bellwire.core.bell import Walsh as WalshState
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.plans import LinkNews
from bellwire.core.settings import LinkSettings, NetworkSettings, NodeSettings
from bellwire.core.units import s_from_ns
from bellwire.planner.points import as_planned


@dataclass(frozen=True, slots=True)
class UsableNetwork:
    """Nodes and the best usable link of every joined pair of nodes, as a plan counts with it (points.py)."""

    nodes: dict[NodeId, NodeSettings]
    links: dict[NodeId, dict[NodeId, LinkSettings]]  # links[a][b] is links[b][a]
    delays_ns: dict[NodeId, dict[NodeId, int]]

    def link(self, a: NodeId, b: NodeId) -> LinkSettings | None:
        """The link that a plan uses between two nodes, or None when none joins them."""
        return self.links.get(a, {}).get(b)

    def delay_s(self, a: NodeId, b: NodeId) -> float:
        """One-way classical delay. Both nodes must be connected."""
        return s_from_ns(self.delays_ns[a][b])


def usable_network(
    network: NetworkSettings,
    request: RequestId | None = None,
    avoid: Collection[NodeId] = (),
    news: Iterable[LinkNews] = (),
    floor: float | None = None,
) -> UsableNetwork:
    """The part of a network that a request may use.

    Links that are reserved for another request are left out; of parallel links one reserved for this request
    wins, then the fastest. `avoid`: nodes that do not answer; links whose station is avoided are left out
    too. `news`: what links advertise. `floor`: fidelity that links with several operating points should keep.
    """
    told = {each.link: each for each in news}
    nodes = {
        name: node for name, node in network.nodes.items() if name not in avoid and node.role != "station"
    }
    links: dict[NodeId, dict[NodeId, LinkSettings]] = {name: {} for name in nodes}
    for link in network.links.values():
        a, b = link.nodes
        if a not in nodes or b not in nodes or link.station in avoid:
            continue
        if link.reserved_for is not None and link.reserved_for != request:
            continue
        planned = as_planned(link, network.nodes, told.get(link.link), floor)
        known = links[a].get(b)
        if known is None or _rank(planned, request) > _rank(known, request):
            links[a][b] = links[b][a] = planned
    return UsableNetwork(nodes, links, network.delays_ns)


def _rank(link: LinkSettings, request: RequestId | None) -> tuple[bool, float]:
    return (request is not None and link.reserved_for == request, -link_latency_s(link))


def lane_latency_s(link: LinkSettings) -> float:
    """Mean time from a free lane to a pair known at both ends.

    (1/q - 1) failed attempts, then flight to the click and the herald's way to the farther end. Pairs that
    are measured as tests are not delivered: their share of the time is lost.
    """
    failed_s = (1.0 / link.success_probability - 1.0) * s_from_ns(link.period_ns)
    pair_s = failed_s + s_from_ns(link.click_delay_ns + max(link.herald_delay_ns))
    return pair_s / (1.0 - link.test_share)


def link_latency_s(link: LinkSettings) -> float:
    """T_link: mean seconds per pair while all lanes are free to attempt."""
    return lane_latency_s(link) / link.lanes


def link_state(link: LinkSettings) -> Bell:
    """Mean state of a fresh pair relative to its herald's frame; herald codes come equally often."""
    states = [from_walsh(WalshState(herald.signs, herald.cost)) for herald in link.heralds]
    n = len(states)
    a, b, c, d = (sum(state[index] for state in states) / n for index in range(4))
    return (a, b, c, d)
