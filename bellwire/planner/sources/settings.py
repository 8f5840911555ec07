"""The topology of a lab: what its settings say, in the values that every planning method works on.

Owns the conversion. Refuses lab files, which the labs room reads, and the choice of links and the speed of
lanes, which are those of the live planner (usable.py), so that both plan the same network.
"""

import math
from collections.abc import Collection, Iterable
from typing import Final

from bellwire.core import settings
from bellwire.core.bell import COST_UNIT_PER_NEPER, Bell, Walsh, from_walsh
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.plans import LinkNews
from bellwire.core.settings import LinkSettings, MemorySettings, NetworkSettings, NodeSettings
from bellwire.core.units import NS_PER_S, s_from_ns
from bellwire.planner.lane_times import link_latency_s, link_state
from bellwire.planner.topology import Architecture, Link, Node, Topology, pair_of
from bellwire.planner.usable import UsableNetwork, usable_network

ARCHITECTURES: Final[dict[settings.Architecture, Architecture]] = {
    "double_click": "meet_in_the_middle",
    "single_click": "meet_in_the_middle",
    "sender_receiver": "sender_receiver",
    "midpoint_source": "midpoint_source",
    "textbook": "meet_in_the_middle",
}
"""How a plan calls what a lab's link is; of a textbook link it is the model of algorithms.md 1.1."""


def topology_of(
    network: NetworkSettings,
    request: RequestId | None = None,
    avoid: Collection[NodeId] = (),
    news: Iterable[LinkNews] = (),
) -> Topology:
    """The part of a lab's network that a request may use, as a topology. Stations are no nodes of it.

    Every link has lanes of its own: a node sets no limit to attempts, and a link carries what all its lanes
    give, 1/link_latency_s. Of parallel links the one that the live planner uses stands for all. A fresh pair
    is as old as the photons' flight and the herald's way. Losses are inside the success probability. End
    nodes swap for nobody. Gates and readouts of purification rounds count as perfect: a lab's settings know
    swaps only.

    request: links reserved for another one are left out. avoid: nodes that do not answer, left out with
    everything that needs them. news: what links advertise; one that says it is down is left out.
    """
    usable = usable_network(network, request, avoid, news)
    links = {
        pair_of(a, b): _link(link)
        for a, beside in usable.links.items()
        for b, link in beside.items()
        if a < b
    }
    return Topology(
        {name: _node(node) for name, node in usable.nodes.items()},
        links,
        delays_s=_delays_s(usable),
    )


def _node(node: NodeSettings) -> Node:
    memory = node.memory
    if memory is None:
        return Node(name=node.name, memories=0, attempts_hz=math.inf, generation_s=0.0, relays=False)
    return Node(
        name=node.name,
        memories=memory.slots,
        attempts_hz=math.inf,
        generation_probability=1.0,  # inside the success probability of each link
        generation_s=0.0,
        swap_probability=memory.bsm_success_probability,
        swap_s=s_from_ns(memory.bsm_duration_ns),
        swap_noise=_swap_noise(memory),
        purification_s=s_from_ns(memory.bsm_duration_ns),
        decay_hz=_decay_hz(memory),
        relays=node.may_relay,
    )


def _swap_noise(memory: MemorySettings) -> Bell:
    return from_walsh(Walsh(memory.bsm_signs, memory.bsm_cost))


def _decay_hz(memory: MemorySettings) -> tuple[float, float, float]:
    one, two, three = (rate * NS_PER_S / COST_UNIT_PER_NEPER for rate in memory.rates)
    return (one, two, three)


def _link(link: LinkSettings) -> Link:
    return Link(
        ends=pair_of(*link.nodes),
        length_km=link.length_km,
        success_probability=link.success_probability * (1.0 - link.test_share),
        capacity_hz=1.0 / link_latency_s(link),
        attempt_s=s_from_ns(link.period_ns),
        success_s=s_from_ns(link.click_delay_ns + max(link.herald_delay_ns)),
        state=link_state(link),
        architecture=ARCHITECTURES[link.architecture],
        channels=link.lanes,
        link=link.link,
        success_error=None if link.success_error is None else link.success_error * (1.0 - link.test_share),
        fidelity_error=link.fidelity_error,
    )


def _delays_s(usable: UsableNetwork) -> dict[tuple[NodeId, NodeId], float]:
    return {
        (a, b): usable.delay_s(a, b)
        for a in usable.nodes
        for b in usable.delays_ns.get(a, ())
        if a < b and b in usable.nodes
    }
