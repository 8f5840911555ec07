"""The network as the planner sees it: which link joins two nodes, and how fast it is.

Owns `UsableNetwork`, a read-only picture for one request. Refuses routes and trees, and any opinion about
load: a plan is made as if the request were alone, and nodes refuse what they cannot carry.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bellwire.core.ids import NodeId, RequestId
from bellwire.core.plans import LinkNews
from bellwire.core.settings import LinkSettings, NetworkSettings, NodeSettings
from bellwire.core.units import s_from_ns
from bellwire.planner.lane_times import link_latency_s
from bellwire.planner.points import as_planned
from bellwire.planner.purified_links import LANES_MIN, as_purified


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
    rounds: int = 0,
) -> UsableNetwork:
    """The part of a network that a request may use.

    Links that are reserved for another request are left out; of parallel links one reserved for this request
    wins, then the fastest. `avoid`: nodes that do not answer; links whose station is avoided are left out
    too. `news`: what links advertise; one that says it is down is left out. `floor`: fidelity that links with
    several operating points should keep. `rounds`: of link purification; links with less than two lanes
    cannot do any, and are left out.
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
        if rounds and link.lanes < LANES_MIN:
            continue
        heard = told.get(link.link)
        if heard is not None and heard.down:
            continue
        planned = as_planned(link, network.nodes, heard, floor)
        planned = as_purified(planned, network.nodes, network.delay_ns(a, b), rounds)
        known = links[a].get(b)
        if known is None or _rank(planned, request) > _rank(known, request):
            links[a][b] = links[b][a] = planned
    return UsableNetwork(nodes, links, network.delays_ns)


def _rank(link: LinkSettings, request: RequestId | None) -> tuple[bool, float]:
    return (request is not None and link.reserved_for == request, -link_latency_s(link))
