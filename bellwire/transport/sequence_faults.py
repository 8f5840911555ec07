"""What a request for a sequence of pairs must look like.

Owns the sentences about mistakes in it. Refuses batches, which are the planner's.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from bellwire.core.plans import EntanglementRequest
from bellwire.core.settings import NetworkSettings

PAIRS_MAX: Final = 1024
"""Pairs of one sequence."""


def sequence_fault(request: EntanglementRequest, network: NetworkSettings) -> str | None:
    """Why the sequence of a request cannot be taken; None: it can, or there is none."""
    pairs = request.entanglement_sequence
    if not pairs:
        if request.sequence_after:
            return "sequence_after goes with an entanglement_sequence"
        if request.hold_ns is not None and request.part_of is None:
            return "hold_ns goes with an entanglement_sequence: other pairs are handed over at once"
        return None
    if len(pairs) > PAIRS_MAX:
        return f"entanglement_sequence has {len(pairs)} pairs, at most {PAIRS_MAX} are possible"
    for name, given in (
        ("entanglement_type", request.entanglement_type != "bipartite"),
        ("consumption", request.consumption != "keep"),
        ("count", request.count is not None),
        ("duration_ns", request.duration_ns is not None),
        ("until_cancelled", request.until_cancelled),
        ("rate_threshold_hz", request.rate_threshold_hz is not None),
        ("route", request.route is not None),
        ("tree", request.tree is not None),
        ("rounds", request.rounds),
        ("bases", bool(request.bases)),
        ("use", request.use is not None),
    ):
        if given:
            return f"{name} is not for an entanglement_sequence, which names its pairs: leave it out"
    if request.hold_ns is not None and request.hold_ns < 1:
        return f"hold_ns = {request.hold_ns} must be at least 1"
    return _pairs_fault(request, network) or _order_fault(request)


def _pairs_fault(request: EntanglementRequest, network: NetworkSettings) -> str | None:
    pairs = request.entanglement_sequence
    names = [pair.pair_id for pair in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        return f'two pairs of the sequence are called "{twice}"'
    for pair in pairs:
        shown = f'pair "{pair.pair_id}" of the sequence'
        if not pair.pair_id or "/" in pair.pair_id:
            return f"{shown}: a name is not empty and has no slash"
        if pair.nodes[0] == pair.nodes[1]:
            return f"{shown}: {pair.nodes[0]} needs no entanglement with itself"
        for name in pair.nodes:
            if name not in network.nodes:
                return f"{shown}: unknown node {name}; the lab has {sorted(network.nodes)}"
            if network.nodes[name].role != "end":
                return f"{shown}: {name} is no end node"
    wanted = {name for pair in pairs for name in pair.nodes}
    coordinator, *others = request.target_nodes
    if len(set(request.target_nodes)) < len(request.target_nodes) or wanted - {coordinator} != set(others):
        return (
            f"target_nodes {list(request.target_nodes)}: name the coordinator, then all other nodes of the "
            f"sequence once: {sorted(wanted - {coordinator})}"
        )
    return None


def _order_fault(request: EntanglementRequest) -> str | None:
    after = request.sequence_after
    if after and request.sequence_order != "partial":
        return f"sequence_after goes with a partial order; sequence_order is {request.sequence_order}"
    names = {pair.pair_id for pair in request.entanglement_sequence}
    for pair_id in (name for both in after for name in both):
        if pair_id not in names:
            return f'sequence_after names "{pair_id}", no pair of the sequence'
    around = _circular(names, after)
    return None if around is None else f'sequence_after is circular: pair "{around}" comes before itself'


def _circular(names: Iterable[str], after: Sequence[tuple[str, str]]) -> str | None:
    """A pair that waits for itself, or None."""
    waiting = {name: {sooner for sooner, later in after if later == name} for name in names}
    while free := [name for name, sooner in waiting.items() if not sooner]:
        for name in free:
            del waiting[name]
        for sooner in waiting.values():
            sooner.difference_update(free)
    return min(waiting, default=None)
