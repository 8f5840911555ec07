"""The machines of each role: end node, repeater, heralding station.

Owns the composition of roles. A repeater runs no transport or application part, a station only physical and
link parts (stack paper IV-G).
"""

from collections.abc import Callable, Collection
from functools import partial

from bellwire.applications.notification import StatusNotification
from bellwire.applications.qubit_uses import QubitUses
from bellwire.applications.requests import RequestGenerator
from bellwire.baselines.centre import CentralLedger
from bellwire.baselines.protocols import Baselines
from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.machine import Part
from bellwire.core.own_slots import OwnSlots
from bellwire.core.plans import Circumstances, EntanglementRequest, ExecutionBatch, RequestPlan
from bellwire.core.settings import NetworkSettings
from bellwire.core.units import ns_from_s
from bellwire.gem.protocols import Gem
from bellwire.gem.replica import FactSource
from bellwire.link_layer.advertising import LinkAdvertising
from bellwire.link_layer.service import LinkService
from bellwire.link_layer.station import HeraldingStation
from bellwire.link_layer.stored_states import StoredStates
from bellwire.link_layer.switch_keeper import SwitchKeeper
from bellwire.node.routing import NodeMachine
from bellwire.node.slots import SlotTable
from bellwire.planner.advertised import AdvertisedLinks
from bellwire.planner.announcing import NodeAnnouncing
from bellwire.planner.broken_routes import BrokenRoutes
from bellwire.planner.network_map import NetworkMap
from bellwire.planner.offers import best_offer
from bellwire.planner.protocols import Messaging, PlanDispatch
from bellwire.planner.regions import RegionNews
from bellwire.planner.sequence_batches import divide, hold_s
from bellwire.swapping.fusion import Fusion
from bellwire.swapping.protocols import Swapping
from bellwire.swapping.purification import Purification
from bellwire.transport.delivery import Delivery
from bellwire.transport.monitoring import ExecutionMonitoring
from bellwire.transport.predistribution import PreDistribution
from bellwire.transport.predistribution_news import StoreNewsHeard
from bellwire.transport.requests import RequestProcessing
from bellwire.transport.sequences import Sequences

Compute = Callable[[EntanglementRequest, int, Circumstances], RequestPlan | str]
"""What a destination calls to make a plan: request, version, circumstances -> plan, or why there is none."""


NOTICES_PER_SLOT = 4
"""An event that touches every slot (lost memory, withdrawn plan) may speak this often about each."""


class QuantumNode(NodeMachine):
    """An end node or repeater: a NodeMachine whose ledger, slots and deliveries hosts and tests may read."""

    def __init__(
        self, network: NetworkSettings, node: NodeId, compute: Compute, source: FactSource | None = None
    ) -> None:
        """`source`: a host's logs of every author's facts; None when facts come as messages."""
        role = network.nodes[node].role
        self.network = network
        self.slots = SlotTable(network, node)
        self.gem = Gem(network, node, source, digests=source is None)
        self.replica = self.gem.replica
        self.links = LinkService(network, node, self.slots)
        self.swapping = Swapping(network, node, self.slots)
        self.purification = Purification(network, node, self.slots)
        self.baselines = Baselines(network, node, self.slots)
        self.central = CentralLedger(network, node, self.slots)
        self.fusion = Fusion(network, node, self.slots)
        self.delivery: Delivery | None = None
        self.monitoring: ExecutionMonitoring | None = None
        self.dispatch: PlanDispatch | None = None
        self.requests: RequestProcessing | None = None
        self.sequences: Sequences | None = None
        self.advertised: AdvertisedLinks | None = None
        self.predistribution: PreDistribution | None = None
        topology = _topology_parts(network, node)
        self.network_map: NetworkMap | None = topology[0] if topology else None
        memory = network.nodes[node].memory
        if memory is None:
            raise LocalMisuse(f"{node} has no memory")
        own_slots = OwnSlots(memory)
        keeper = SwitchKeeper(network, node)
        self.switches = keeper.switches
        messaging = Messaging(network, node, self.slots, keeper.down)
        parts: list[Part] = [
            *self.gem.parts,
            self.links,
            LinkAdvertising(network, node, self.links.ends),
            self.swapping,
            self.purification,
            self.baselines,
            *([self.central] if network.centre is not None else []),
            self.fusion,
            messaging,
            *topology,
            *([keeper] if keeper.switches else []),
        ]
        seldom = (self.purification, self.baselines, self.fusion)
        together: list[tuple[Part, ...]] = [self.gem.parts]  # two parts over one replica
        heard = StoreNewsHeard(network)
        if network.stores is not None:
            self.predistribution = PreDistribution(network, network.stores, node, self.slots)
            parts.append(self.predistribution)
            if role == "end":
                parts.append(heard)
            elif any(node in (link.route[0], link.route[-1]) for link in network.stores.super_links):
                dispatch = PlanDispatch(network, node, compute, messaging)  # for the store alone
                together.append((messaging, dispatch))
                parts.append(dispatch)
        if role == "end":
            self.delivery = Delivery(network, node, self.slots)
            self.monitoring = ExecutionMonitoring(network, node)
            terms = self.monitoring.terms
            self.sequences = Sequences(
                network, node, self.slots, partial(_divided, network), partial(_held_ns, network)
            )
            self.requests = RequestProcessing(network, node, self._served_count, terms)
            self.advertised = AdvertisedLinks(network, node)
            offer = partial(best_offer, network)
            regions = [RegionNews(network, node, self.advertised)] if network.ledgers == "routes" else []
            links = regions[0] if regions else self.advertised
            dispatch = PlanDispatch(network, node, compute, messaging, links, heard.news, offer)
            self.dispatch = dispatch
            together.append((messaging, dispatch))  # a node's own part of a plan is installed by a call
            broken = BrokenRoutes(network, dispatch, links)
            parts += [
                self.advertised,
                *regions,
                dispatch,
                self.delivery,
                self.monitoring,  # first: a restored request is planned by the terms that it remembers
                self.requests,  # before what it is told of lost peers, which it then knows
                broken,
                self.sequences,
                QubitUses(network, node, self.slots, own_slots),
                RequestGenerator(network, node),
                StatusNotification(network, node),
            ]
        if memory.own_slots:
            parts.append(StoredStates(network, node, own_slots))  # behind applications, which come first
        super().__init__(node, parts, self.gem.flush, together, seldom)
        self._step.notices_max += NOTICES_PER_SLOT * len(self.slots.slots())

    def _served_count(self, request: RequestId) -> int:
        """What counts of a request: pairs that were delivered, of a sequence those that were consumed."""
        assert self.delivery is not None
        assert self.sequences is not None
        return self.delivery.delivered_count(request) + self.sequences.consumed_count(request)


def _divided(
    network: NetworkSettings, request: EntanglementRequest, done: Collection[str], at_most: int | None
) -> tuple[ExecutionBatch, ...] | str:
    return divide(network, request, hold_s(network, request), done, at_most)


def _held_ns(network: NetworkSettings, request: EntanglementRequest) -> int:
    return ns_from_s(hold_s(network, request))


def _topology_parts(network: NetworkSettings, node: NodeId) -> tuple[()] | tuple[NetworkMap, NodeAnnouncing]:
    """A node's map and its own announcements, where the network has them."""
    if network.topology is None:
        return ()
    known = NetworkMap(network, node)
    return known, NodeAnnouncing(network, network.topology, node, known.digest)


class StationMachine(NodeMachine):
    """A heralding station: physical and link parts only, and its own announcement with a map."""

    def __init__(self, network: NetworkSettings, node: NodeId) -> None:
        topology = _topology_parts(network, node)
        self.network_map: NetworkMap | None = topology[0] if topology else None
        super().__init__(node, [HeraldingStation(network, node), *topology])


def make_machine(
    network: NetworkSettings, node: NodeId, compute: Compute, source: FactSource | None = None
) -> NodeMachine:
    """The machine of a node of any role."""
    if network.nodes[node].role == "station":
        return StationMachine(network, node)
    return QuantumNode(network, node, compute, source)
