"""The 4-hop route of algorithms.md 1.7 as the nodes of a plan see it, and decisions there.

Owns tables and situations for the tests of scores, policies and executions. Ages are in milliseconds.
"""

from collections.abc import Iterable, Sequence

from bellwire.core.plans import RouteTable
from bellwire.node.slots import Slot
from bellwire.planner.intervals import RouteTimes
from bellwire.planner.segment_values import segment_values
from bellwire.swapping.candidates import Held, Segment, Situation
from tests.swapping.bench import end_of, swap_plan

MS = 1_000_000
BALANCED = ((0, 1, 2), (2, 3, 4), (0, 2, 4))
ROUTE = ("a", "r1", "r2", "r3", "b")


def table_of(
    position: int,
    link_s: Sequence[float] = (7.569886459e-3,) * 4,
    *,
    swap_s: float = 10e-6,
    hop_s: float = 50e-6,
    unit: float = 1.0,
) -> RouteTable:
    """The 4-hop route of 1.7, seen from one of its nodes. unit: all times are multiplied by it."""
    n = len(link_s) + 1
    scaled = tuple(unit * one for one in link_s)
    times = RouteTimes(scaled, (0.4,) * n, (unit * swap_s,) * n, lambda a, b: unit * abs(a - b) * hop_s)
    seen = segment_values(times, scaled)
    return RouteTable(
        position=position,
        swap_probability=0.4,
        latency_s=seen.latency_s,
        value_s=seen.value_s,
        worth_s=seen.worth_s,
        partner_s=seen.partner_s,
        tree=BALANCED,
        wait_s=unit * link_s[0],
    )


def situation(
    table: RouteTable,
    left: tuple[int, float],
    right: tuple[int, float],
    *,
    occupancy: float = 0.0,
    present: Iterable[Segment] = (),
    idle_ms: tuple[float, float] | None = None,
    unit: float = 1.0,
) -> tuple[Situation, Held, Held]:
    """A node with one pair on each side: (far position, age in ms)."""
    now_ns = round(10_000 * MS * unit)
    sides = []
    for number, (far, age_ms) in enumerate((left, right)):
        slot = Slot(number, "a-r" if number == 0 else "r-b", 0)
        held = Held(slot, end_of(slot.link, number + 1), now_ns)
        held.far, held.known = far, True
        held.oldest_ns = now_ns - round(age_ms * MS * unit)
        idle = age_ms if idle_ms is None else idle_ms[number]
        held.since_ns = now_ns - round(idle * MS * unit)
        sides.append(held)
    plan = swap_plan(route=ROUTE, table=table)
    one, other = sides
    return Situation(plan, (one,), (other,), occupancy, now_ns, dict.fromkeys(present, 0)), one, other


def uniform(position: int) -> RouteTable:
    """Four equal links of 1 s without delays: V = 1, 5, 15, 25."""
    return table_of(position, (1.0,) * 4, swap_s=0.0, hop_s=0.0)
