"""A small chain with every role: a - r - b, and a heralding station on the link a - r."""

from bellwire.core.bell import PERFECT, Cost
from bellwire.core.ids import LinkId, NodeId
from bellwire.core.settings import (
    HeraldEstimate,
    LinkSettings,
    MemorySettings,
    NetworkSettings,
    NodeSettings,
    Role,
)

MS = 1_000_000
PERIOD_NS = 100_000
RATES: Cost = (7, 11, 13)
BSM: Cost = (1_000, 2_000, 3_000)


def chain(*, lanes: int = 2, station: bool = True, delay_ns: int = 50_000) -> NetworkSettings:
    """Side 0 is on the left; the inner node's slots are numbered from the right link to the left one."""
    lane_slots = tuple(range(lanes))
    upper = tuple(range(lanes, 2 * lanes))
    memory = MemorySettings(
        slots=2 * lanes,
        rates=RATES,
        bsm_signs=0,
        bsm_cost=BSM,
        bsm_success_probability=1.0,
        operation_limit_ns=MS,
    )

    def link(name: LinkId, nodes: tuple[NodeId, NodeId], served: NodeId | None) -> LinkSettings:
        return LinkSettings(
            link=name,
            nodes=nodes,
            station=served,
            period_ns=PERIOD_NS,
            lanes=lanes,
            slots=(lane_slots, upper if name == "a-r" else lane_slots),
            success_probability=0.05,
            heralds=(HeraldEstimate(code=1, frame=2, signs=PERFECT.signs, cost=PERFECT.cost),),
            click_delay_ns=PERIOD_NS // 2,
            herald_delay_ns=(PERIOD_NS // 4, PERIOD_NS // 4),
            length_km=10.0,
        )

    links = {
        "a-r": link("a-r", ("a", "r"), "m" if station else None),
        "r-b": link("r-b", ("r", "b"), None),
    }
    roles: dict[NodeId, tuple[Role, tuple[LinkId, ...]]] = {
        "a": ("end", ("a-r",)),
        "r": ("repeater", ("a-r", "r-b")),
        "b": ("end", ("r-b",)),
    }
    if station:
        roles["m"] = ("station", ("a-r",))
    nodes = {
        name: NodeSettings(name=name, role=role, memory=None if role == "station" else memory, links=incident)
        for name, (role, incident) in roles.items()
    }
    delays = {one: {two: 0 if one == two else delay_ns for two in nodes} for one in nodes}
    return NetworkSettings(nodes=nodes, links=links, delays_ns=delays)
