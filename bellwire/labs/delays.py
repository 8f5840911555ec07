"""Classical delays between any two machines of a lab.

Owns shortest paths over the fibres of the lab. Refuses jitter and loss, which belong to a scenario.
"""

from heapq import heappop, heappush

from bellwire.core.ids import NodeId
from bellwire.core.units import NS_PER_US, fibre_delay_ns
from bellwire.labs.models import LabFile


def delay_table(lab: LabFile) -> dict[NodeId, dict[NodeId, int]]:
    """One-way delays in ns from every node or station to every other; 0 to itself.

    Messages follow the fibres (both arms of a link, 5 us a kilometre) or the delay that the file states for
    the link; `extra_ms` is added once to every message.
    """
    names = [*lab.nodes, *lab.stations]
    if lab.classical.delay == "zero":
        extra_ns = round(lab.classical.extra_ms * 1e6)
        return {one: {other: 0 if one == other else extra_ns for other in names} for one in names}
    roads = _roads(lab)
    found = {name: _from(name, roads, round(lab.classical.extra_ms * 1e6)) for name in names}
    longest_ns = max(max(row.values()) for row in found.values())
    return {one: {other: found[one].get(other, longest_ns) for other in names} for one in names}


def _roads(lab: LabFile) -> dict[NodeId, dict[NodeId, int]]:
    roads: dict[NodeId, dict[NodeId, int]] = {name: {} for name in (*lab.nodes, *lab.stations)}

    def lay(one: NodeId, other: NodeId, delay_ns: int) -> None:
        # Parallel links: a message takes the faster one.
        delay_ns = min(delay_ns, roads[one].get(other, delay_ns))
        roads[one][other] = roads[other][one] = delay_ns

    for name, link in lab.links.items():
        a, b = link.nodes
        arms = link.fibre_km or (link.length_km or 0.0, 0.0)
        stated = lab.classical.delay_us.get(name)
        if stated is None:
            first_ns, whole_ns = fibre_delay_ns(arms[0]), fibre_delay_ns(arms[0]) + fibre_delay_ns(arms[1])
        else:
            whole_ns = round(stated * NS_PER_US)
            first_ns = round(whole_ns * arms[0] / sum(arms)) if sum(arms) > 0 else whole_ns // 2
        if link.station is None:
            lay(a, b, whole_ns)
        else:
            lay(a, link.station, first_ns)
            lay(link.station, b, whole_ns - first_ns)
    return roads


def _from(start: NodeId, roads: dict[NodeId, dict[NodeId, int]], extra_ns: int) -> dict[NodeId, int]:
    found: dict[NodeId, int] = {}
    queue = [(0, start)]
    while queue:
        so_far_ns, here = heappop(queue)
        if here in found:
            continue
        found[here] = so_far_ns
        for there, step_ns in roads[here].items():
            if there not in found:
                heappush(queue, (so_far_ns + step_ns, there))
    return {name: delay_ns if name == start else delay_ns + extra_ns for name, delay_ns in found.items()}
