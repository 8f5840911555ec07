"""Pairs that the ledger holds, as leaves of trees: no latency, their state now, and how long they will do.

Owns the choice of rows that a request may use and their remaining life. Refuses reservation, which comes
with the plan (capacity.py among plans of one planner, reservations.py at the nodes).
"""

import math
from collections.abc import Collection, Iterable
from typing import Final

from bellwire.core.bell import Eigenvalues, eigenvalues, from_walsh
from bellwire.core.ids import RequestId
from bellwire.core.plans import is_pre_distributed
from bellwire.core.units import s_from_ns
from bellwire.core.view import Entanglement
from bellwire.planner.requests import Limits
from bellwire.planner.structures import StoredLeaf
from bellwire.planner.topology import Topology

USELESS_FIDELITY: Final = 0.5
"""A pair of this fidelity serves nobody, whatever a request asks for."""

LIFE_STEPS: Final = 60
"""Halvings of the interval in which the end of a life is sought: to 1e-18 of the limit of age."""


def stored_leaves(
    rows: Iterable[Entanglement],
    topology: Topology,
    request: RequestId,
    limits: Limits,
    *,
    reserved: Collection[str] = (),
) -> tuple[StoredLeaf, ...]:
    """Rows of the ledger that a request may build on, the best fidelity first.

    Those are its own and pre-distributed ones, between nodes of the topology, not reserved by another plan,
    good enough now. A life ends at the limit of age, or when decay has brought the fidelity to what the
    request asks for (at least USELESS_FIDELITY), whichever comes first.

    reserved: names (`StoredLeaf.pair`) of pairs that plans hold.
    """
    floor = max(USELESS_FIDELITY, limits.fidelity or 0.0)
    found: list[StoredLeaf] = []
    for row in rows:
        left, right = row.end_nodes
        name = pair_name(row)
        if (row.request != request and not is_pre_distributed(row.request)) or name in reserved:
            continue
        if left not in topology.nodes or right not in topology.nodes:
            continue
        age_s = s_from_ns(row.age_ns)
        state = from_walsh(row.state)
        one, other = topology.nodes[left].decay_hz, topology.nodes[right].decay_hz
        rates_hz = (one[0] + other[0], one[1] + other[1], one[2] + other[2])
        life_s = life_of(eigenvalues(state), rates_hz, floor, limits.age_s - age_s)
        if life_s > 0.0:
            found.append(StoredLeaf(left, right, name, state, age_s, life_s))
    return tuple(sorted(found, key=lambda leaf: (-leaf.state[0], leaf.age_s, str(leaf.pair))))


def pair_name(row: Entanglement) -> str:
    """The name of a stored pair: its two ends."""
    return "~".join(str(end) for end in row.ends)


def life_of(values: Eigenvalues, rates_hz: Eigenvalues, floor: float, most_s: float) -> float:
    """Seconds until a decaying pair has the fidelity `floor`, `most_s` at most, 0 when it is below already.

    values: lambda_1..3 now; rates_hz: their decay, both memories together.
    """

    def fidelity(at_s: float) -> float:
        left = (value * math.exp(-rate * at_s) for value, rate in zip(values, rates_hz, strict=True))
        return (1.0 + math.fsum(left)) / 4.0

    if most_s <= 0.0 or fidelity(0.0) <= floor:
        return 0.0
    lasting = math.fsum(value for value, rate in zip(values, rates_hz, strict=True) if rate == 0.0)
    if (1.0 + lasting) / 4.0 > floor and min(values) >= 0.0:
        return most_s  # what does not decay is enough
    low_s, high_s = 0.0, min(most_s, 1.0)
    while high_s < most_s and fidelity(high_s) > floor:
        low_s, high_s = high_s, min(most_s, 2.0 * high_s)
    if fidelity(high_s) > floor:
        return high_s
    for _ in range(LIFE_STEPS):
        middle_s = (low_s + high_s) / 2.0
        if fidelity(middle_s) > floor:
            low_s = middle_s
        else:
            high_s = middle_s
    return low_s
