"""Batches of pairs that a distributed circuit consumes in order (algorithms.md section 5).

Owns the cut of a consumption order into batches that do not decohere before they are used: total orders by
dynamic programme, partial orders greedily, and in layers. Refuses the making of pairs: the latency of a batch
is a function that is handed in; batch_latency.py has that of a real network.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import networkx as nx

from bellwire.core.errors import ConfigError
from bellwire.planner.capacity import NoPlan
from bellwire.planner.topology import Pair

Indices = tuple[int, ...]
"""Demands of a batch, by position in the consumption order, ascending."""

Latency = Callable[[Indices], float]
"""L(B): seconds until all pairs of a batch exist. Taken as never less for more pairs; where it is less after
all, a cut may miss the best, but every batch still fits."""

TRIED: Final = 1
"""Of the candidates for dropping, each is tried; 5 would try one in five, for speed (section 5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumption:
    """What the batches must obey.

    first_s: E[first pair of the batch ready], for the age-based rule; None: the strict rule L(B) <= age_s.
    execution_s: time that each pair's gate takes, counted in the total.

    Raises:
        ConfigError: an age limit that is not above 0, or an execution time that is not finite and 0 or more.
    """

    pairs: Sequence[Pair]
    latency_s: Latency
    age_s: float
    first_s: Latency | None = None
    execution_s: float = 0.0

    def __post_init__(self) -> None:
        if not self.age_s > 0.0:
            raise ConfigError(f"age limit {self.age_s:g} s must be above 0")
        if not (math.isfinite(self.execution_s) and self.execution_s >= 0.0):
            raise ConfigError(f"execution time {self.execution_s:g} s must be finite and 0 or more")

    def age_of_s(self, batch: Indices) -> float:
        """What the rule compares with the limit: L(B), or the age of the first pair when the last is used."""
        if self.first_s is None:
            return self.latency_s(batch)
        return self.latency_s(batch) - self.first_s(batch) + self.used_s(batch)

    def fits(self, batch: Indices) -> bool:
        """No pair of the batch is older than age_s when it is used."""
        return self.age_of_s(batch) <= self.age_s

    def used_s(self, batch: Indices) -> float:
        """Execution time of a batch."""
        return self.execution_s * len(batch)

    def cost_s(self, batch: Indices) -> float:
        """Generation and execution of a batch."""
        return self.latency_s(batch) + self.used_s(batch)

    def total_s(self, batches: Iterable[Indices]) -> float:
        """Generation and execution, one batch after the other."""
        return math.fsum(self.cost_s(batch) for batch in batches)

    def check(self) -> None:
        """Every pair alone can be made in time. Raises NoPlan naming the first that cannot."""
        for index, (a, b) in enumerate(self.pairs):
            try:
                age_s = self.age_of_s((index,))
            except NoPlan as reason:
                raise NoPlan(f"pair {index + 1} of the order, {a}-{b}: {reason}") from None
            if not age_s <= self.age_s:
                what = "made in" if self.first_s is None else "used at an age of"
                raise NoPlan(
                    f"pair {index + 1} of the order, {a}-{b}: {what} {age_s:.4g} s, "
                    f"which the limit of {self.age_s:g} s does not allow"
                )


def in_total_order(consumption: Consumption) -> tuple[Indices, ...]:
    """Batches of least total time when the pairs are consumed strictly in order: D[i] = min D[j] + L(j+1..i).

    Whether a batch fits is monotone in it, so j runs downwards and stops at the first batch that does not.

    Raises:
        NoPlan: a pair cannot be made in time even alone.
    """
    consumption.check()
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(consumption.pairs) + 1):
        options: list[tuple[float, int]] = []
        for start in range(end - 1, -1, -1):
            batch = tuple(range(start, end))
            if not consumption.fits(batch):
                break
            options.append((best[start][0] + consumption.cost_s(batch), start))
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
    consumption: Consumption, order: "nx.DiGraph[int] | None" = None, every: int = TRIED
) -> tuple[Indices, ...]:
    """Greedy batches: from all that remains drop pairs with what depends on them until the rest fits.

    Dropped is the pair that leaves the least L(rest)/|rest|.
    order: i -> j when pair i is consumed before pair j, by position; None: by shared nodes. every: only each
    `every`-th candidate is tried.

    Raises:
        NoPlan: a pair cannot be made in time even alone, or the order is circular.
        ConfigError: the order names pairs that do not exist.
    """
    consumption.check()
    order = _checked(consumption, order)
    return tuple(_greedy(consumption, _with_what_depends(order), tuple(sorted(order)), every))


def in_layers(
    consumption: Consumption, order: "nx.DiGraph[int] | None" = None, every: int = TRIED
) -> tuple[Indices, ...]:
    """Greedy batches within each topological generation, merged across layers (section 5, layered).

    First one batch of each layer is merged with one of the next, the two that save most: batches of a layer
    do not depend on each other, so the merged one may come last in its own layer and first in the next. Then
    consecutive batches are merged. Merged is what fits and takes no longer than the parts.

    Raises:
        NoPlan: a pair cannot be made in time even alone, or the order is circular.
        ConfigError: the order names pairs that do not exist.
    """
    consumption.check()
    order = _checked(consumption, order)
    layers = [
        _greedy(consumption, {index: frozenset({index}) for index in layer}, tuple(sorted(layer)), every)
        for layer in nx.topological_generations(order)
    ]
    return tuple(_consecutive(consumption, _across(consumption, layers)))


def _checked(consumption: Consumption, order: "nx.DiGraph[int] | None") -> "nx.DiGraph[int]":
    if order is None:
        return shared_nodes(consumption.pairs)
    unknown = sorted(index for index in order if not 0 <= index < len(consumption.pairs))
    if unknown:
        raise ConfigError(
            f"the consumption order names pair {unknown[0]}; there are {len(consumption.pairs)}, from 0"
        )
    if not nx.is_directed_acyclic_graph(order):
        around = " before ".join(str(edge[0]) for edge in nx.find_cycle(order))
        raise NoPlan(f"the consumption order is circular: pair {around} before itself")
    whole: nx.DiGraph[int] = nx.DiGraph()
    whole.add_nodes_from(range(len(consumption.pairs)))
    whole.add_edges_from(order.edges)
    return whole


def _with_what_depends(order: "nx.DiGraph[int]") -> dict[int, frozenset[int]]:
    """Every pair with all that must come after it."""
    return {index: frozenset(nx.descendants(order, index)) | {index} for index in order}


def _greedy(
    consumption: Consumption, after: dict[int, frozenset[int]], remaining: Indices, every: int
) -> list[Indices]:
    batches: list[Indices] = []
    while remaining:
        batch = _largest(consumption, after, remaining, every)
        batches.append(batch)
        remaining = tuple(index for index in remaining if index not in batch)
    return batches


def _largest(
    consumption: Consumption, after: dict[int, frozenset[int]], remaining: Indices, every: int
) -> Indices:
    """What of the remaining pairs goes into the next batch: closed downwards, and it fits."""
    batch = remaining
    while not consumption.fits(batch):
        rests = _rests(batch, after, every) or _rests(batch, after, 1)
        if not rests:  # each pair carries all others: one that waits for nobody goes alone
            free = [index for index in batch if not any(index in after[each] - {each} for each in batch)]
            return (min(free, key=lambda index: (consumption.latency_s((index,)), index)),)
        batch = min(rests, key=lambda rest: (consumption.latency_s(rest) / len(rest), rest))
    return batch


def _rests(batch: Indices, after: dict[int, frozenset[int]], every: int) -> list[Indices]:
    """What is left of a batch when one of the candidates is dropped with all that depends on it."""
    rests = (tuple(each for each in batch if each not in after[index]) for index in batch[::every])
    return [rest for rest in rests if rest]


def _across(consumption: Consumption, layers: list[list[Indices]]) -> list[Indices]:
    """Batches in order, one of each layer merged with one of the next where that saves most."""
    batches: list[Indices] = []
    here: list[Indices] = []
    for layer in layers:
        there = list(layer)
        options = [
            (consumption.cost_s(one) + consumption.cost_s(other) - consumption.cost_s(joined), one, other)
            for one in here
            for other in there
            if consumption.fits(joined := _joined(one, other))
        ]
        gain_s, one, other = max(options, key=lambda each: each[0], default=(-1.0, (), ()))
        if gain_s >= 0.0:
            here.remove(one)
            there.remove(other)
            here.append(_joined(one, other))
        batches.extend(here)
        here = there
    return batches + here


def _consecutive(consumption: Consumption, batches: list[Indices]) -> list[Indices]:
    merged: list[Indices] = []
    for batch in batches:
        joined = _joined(merged[-1], batch) if merged else batch
        if merged and consumption.fits(joined) and _pays(consumption, joined, merged[-1], batch):
            merged[-1] = joined
        else:
            merged.append(batch)
    return merged


def _pays(consumption: Consumption, joined: Indices, one: Indices, other: Indices) -> bool:
    return consumption.latency_s(joined) <= consumption.latency_s(one) + consumption.latency_s(other)


def _joined(one: Indices, other: Indices) -> Indices:
    return tuple(sorted((*one, *other)))
