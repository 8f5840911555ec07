"""Batches of pairs that a distributed circuit consumes in order (algorithms.md section 5).

Owns the cut of a consumption order into batches that do not decohere before they are used: total orders by
dynamic programme, partial orders greedily, and in layers. Refuses the making of pairs: the latency of a batch
is a function that is handed in, by default that of the fair iterative planner on a fresh network.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import networkx as nx

from bellwire.core.ids import NodeId
from bellwire.planner.batch.iterative import plan_batch
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.methods import DEFAULT_METHOD
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.topology import Pair, Topology, pair_of

Indices = tuple[int, ...]
"""Demands of a batch, by position in the consumption order, ascending."""

Latency = Callable[[Indices], float]
"""L(B): seconds until all pairs of a batch exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumption:
    """What the batches must obey.

    first_s: E[first pair of the batch ready], for the age-based rule; None: the strict rule L(B) <= age_s.
    execution_s: time that each pair's gate takes, counted in the total.
    """

    pairs: Sequence[Pair]
    latency_s: Latency
    age_s: float
    first_s: Latency | None = None
    execution_s: float = 0.0

    def fits(self, batch: Indices) -> bool:
        """No pair of the batch is older than age_s when it is used."""
        if self.first_s is None:
            return self.latency_s(batch) <= self.age_s
        return self.latency_s(batch) - self.first_s(batch) + self.used_s(batch) <= self.age_s

    def used_s(self, batch: Indices) -> float:
        """Execution time of a batch."""
        return self.execution_s * len(batch)

    def total_s(self, batches: Iterable[Indices]) -> float:
        """Generation and execution, one batch after the other."""
        return sum(self.latency_s(batch) + self.used_s(batch) for batch in batches)

    def check(self) -> None:
        """Every pair alone can be made in time. Raises NoPlan naming the first that cannot."""
        for index, (a, b) in enumerate(self.pairs):
            if not self.fits((index,)):
                raise NoPlan(
                    f"pair {index + 1} of the order, {a}-{b}: made in {self.latency_s((index,)):.4g} s, "
                    f"which the limit of {self.age_s:g} s does not allow"
                )


def in_total_order(consumption: Consumption) -> tuple[Indices, ...]:
    """Batches of least total time when the pairs are consumed strictly in order: D[i] = min D[j] + L(j+1..i).

    Feasibility is monotone in the batch, so j runs downwards and stops at the first batch that does not fit.
    """
    consumption.check()
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(consumption.pairs) + 1):
        options: list[tuple[float, int]] = []
        for start in range(end - 1, -1, -1):
            batch = tuple(range(start, end))
            if not consumption.fits(batch):
                break
            cost_s = consumption.latency_s(batch) + consumption.used_s(batch)
            options.append((best[start][0] + cost_s, start))
        best.append(min(options))
    batches: list[Indices] = []
    end = len(consumption.pairs)
    while end:
        start = best[end][1]
        batches.append(tuple(range(start, end)))
        end = start
    return tuple(reversed(batches))


def shared_nodes(pairs: Sequence[Pair]) -> "nx.DiGraph[int]":
    """The partial order in which an earlier pair precedes a later one that shares a node with it."""
    order: nx.DiGraph[int] = nx.DiGraph()
    order.add_nodes_from(range(len(pairs)))
    for later in range(len(pairs)):
        order.add_edges_from(
            (sooner, later) for sooner in range(later) if set(pairs[sooner]) & set(pairs[later])
        )
    return order


def in_partial_order(
    consumption: Consumption,
    order: "nx.DiGraph[int] | None" = None,
    among: Indices | None = None,
    every: int = 1,
) -> tuple[Indices, ...]:
    """Greedy batches: from all that remains drop pairs with what depends on them until the rest fits.

    Dropped is the pair that leaves the least L(rest)/|rest|. every: only each `every`-th candidate is tried.

    Raises:
        NoPlan: a pair cannot be made in time even alone, or the order is circular.
    """
    consumption.check()
    order = shared_nodes(consumption.pairs) if order is None else order
    if not nx.is_directed_acyclic_graph(order):
        raise NoPlan("the consumption order is circular")
    after = {index: frozenset(nx.descendants(order, index)) | {index} for index in order}
    remaining = tuple(order) if among is None else among
    remaining = tuple(sorted(remaining))
    batches: list[Indices] = []
    while remaining:
        batch = remaining
        while not consumption.fits(batch):
            rests = [
                rest
                for index in batch[:: every if len(batch) > every else 1]
                if (rest := tuple(each for each in batch if each not in after[index]))
            ]
            if not rests:  # progress guard: one pair that waits for nobody
                free = [
                    index for index in batch if not any(index in after[other] - {other} for other in batch)
                ]
                batch = (min(free, key=lambda index: consumption.latency_s((index,))),)
                break
            batch = min(rests, key=lambda rest: (consumption.latency_s(rest) / len(rest), rest))
        batches.append(batch)
        remaining = tuple(index for index in remaining if index not in batch)
    return tuple(batches)


def in_layers(consumption: Consumption, order: "nx.DiGraph[int] | None" = None) -> tuple[Indices, ...]:
    """Greedy batches within each topological generation, then consecutive batches merged while they fit."""
    order = shared_nodes(consumption.pairs) if order is None else order
    if not nx.is_directed_acyclic_graph(order):
        raise NoPlan("the consumption order is circular")
    layers = [tuple(sorted(layer)) for layer in nx.topological_generations(order)]
    batches = [batch for layer in layers for batch in in_partial_order(consumption, order, layer)]
    merged: list[Indices] = []
    for batch in batches:
        joined = tuple(sorted((*merged[-1], *batch))) if merged else batch
        if merged and consumption.fits(joined):
            merged[-1] = joined
        else:
            merged.append(batch)
    return tuple(merged)


def planned_latency(
    topology: Topology,
    pairs: Sequence[tuple[NodeId, NodeId]],
    *,
    method: str = DEFAULT_METHOD,
    options: Options | None = None,
    limits: Limits | None = None,
    joined: Literal["max", "sum"] = "max",
) -> Latency:
    """L(B) by the fair iterative planner on a fresh network: max (or sum) over pairs of n_k/r_k.

    Pairs that get no tree beside the others go to another pass on a fresh network, whose latency is added.
    """
    known: dict[Indices, float] = {(): 0.0}

    def latency_s(batch: Indices) -> float:
        if batch not in known:
            known[batch] = work_out(batch)
        return known[batch]

    def work_out(batch: Indices) -> float:
        wanted = Counter(pair_of(*pairs[index]) for index in batch)
        total_s = 0.0
        while wanted:
            requests = [
                PairRequest(request=f"{a}-{b}", source=a, destination=b, limits=limits or Limits())
                for a, b in wanted
            ]
            made = plan_batch(Residual(topology), requests, "fair", method, options, allow_unserved=True)
            if not made.shares:
                raise NoPlan(next(iter(made.unserved.values())))
            times_s = [
                wanted.pop(pair_of(share.source, share.destination)) / share.rate_hz for share in made.shares
            ]
            total_s += max(times_s) if joined == "max" else sum(times_s)
        return total_s

    return latency_s
