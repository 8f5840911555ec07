"""Execution batches of a request for a sequence of pairs, on the network of a lab.

Owns the way from the request to the batch methods (batch/consumption.py): the latency of a batch is the
planner's, its size is limited by the memories that must hold it. Refuses execution (transport/sequences.py).
The methods, which load arrays, are imported when they are first asked for.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection
from typing import Final

from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.core.plans import EntanglementRequest, ExecutionBatch
from bellwire.core.settings import NetworkSettings
from bellwire.core.units import s_from_ns
from bellwire.planner.capacity import NoPlan

Pairs = tuple[tuple[NodeId, NodeId], ...]

PAIRS_MAX: Final = 64
"""Pairs that are looked at together; the dynamic programme takes a plan for every run of them. The rest of a
longer sequence is divided when these are done."""


def divide(
    network: NetworkSettings,
    request: EntanglementRequest,
    hold_s: float,
    done: Collection[str],
    at_most: int | None = None,
) -> tuple[ExecutionBatch, ...] | str:
    """Batches of what is left of a sequence, in the order of execution, or why there are none.

    A total order is cut by the dynamic programme, others greedily. hold_s: the decoherence limit. done: pairs
    that were consumed. at_most: pairs of a batch, None: as many as memories hold.
    """
    from bellwire.planner.batch.batch_latency import PlannedLatency
    from bellwire.planner.batch.consumption import (
        Consumption,
        Indices,
        in_partial_order,
        in_total_order,
        shared_nodes,
    )
    from bellwire.planner.requests import Limits, Options
    from bellwire.planner.sources.settings import topology_of

    left = [pair for pair in request.entanglement_sequence if pair.pair_id not in done][:PAIRS_MAX]
    pairs: Pairs = tuple(pair.nodes for pair in left)
    fits = _memory_rule(network, pairs, at_most)
    planned = PlannedLatency(
        topology=topology_of(network),
        pairs=pairs,
        options=Options(rounds=0),  # nodes execute no rounds of these trees
        limits=Limits(age_s=hold_s, fidelity=request.fidelity_threshold),
    )

    def latency_s(batch: Indices) -> float:
        return planned.latency_s(batch) if fits(batch) else math.inf

    try:
        consumption = Consumption(pairs=pairs, latency_s=latency_s, age_s=hold_s)
        if request.sequence_order == "total":
            cut = in_total_order(consumption)
        else:
            order = shared_nodes(pairs)
            if request.sequence_order == "partial":
                order.remove_edges_from(list(order.edges))
                place = {pair.pair_id: index for index, pair in enumerate(left)}
                order.add_edges_from(
                    (place[sooner], place[later])
                    for sooner, later in request.sequence_after
                    if sooner in place and later in place
                )
            cut = in_partial_order(consumption, order)
    except NoPlan as reason:
        return str(reason)
    except ConfigError as wrong:
        return wrong.problem
    return tuple(
        ExecutionBatch(
            pair_ids=tuple(left[index].pair_id for index in batch), latency_s=consumption.latency_s(batch)
        )
        for batch in cut
    )


def hold_limit_ns(network: NetworkSettings, nodes: Collection[NodeId]) -> int:
    """The decoherence limit of pairs between any of these nodes: the compulsory maximum age, or the time in
    which the worst eigenvalue of a pair falls to 1/e, whichever is shorter."""
    rates = [memory.rates for name in nodes if (memory := network.nodes[name].memory) is not None]
    fastest = sorted((max(each) for each in rates), reverse=True)[:2]
    decay = sum(fastest) / 2**56  # neper per ns, of a pair between the two worst nodes
    return network.timers.age_max_ns if decay == 0 else min(network.timers.age_max_ns, int(1.0 / decay))


def hold_s(network: NetworkSettings, request: EntanglementRequest) -> float:
    """The decoherence limit of a request: its own, or that of the memories of its nodes."""
    limit_ns = hold_limit_ns(network, request.target_nodes)
    return s_from_ns(limit_ns if request.hold_ns is None else min(limit_ns, request.hold_ns))


def _memory_rule(
    network: NetworkSettings, pairs: Pairs, at_most: int | None
) -> Callable[[tuple[int, ...]], bool]:
    """Whether the qubits of a batch can be there at the same time."""
    slots = {
        name: 0 if (memory := network.nodes[name].memory) is None else memory.slots
        for pair in pairs
        for name in pair
    }

    def fits(batch: tuple[int, ...]) -> bool:
        if at_most is not None and len(batch) > at_most:
            return False
        taken = Counter(name for index in batch for name in pairs[index])
        return all(count <= slots[name] for name, count in taken.items())

    return fits
