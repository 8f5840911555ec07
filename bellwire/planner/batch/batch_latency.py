"""How long a network takes to make all pairs of a batch (algorithms.md section 5, batch latency).

Owns L(B) and E[first pair ready] by a batch planner on a fresh network. Refuses the cut of an
order into batches (consumption.py).
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from bellwire.core.ids import NodeId
from bellwire.planner.batch.consumption import Indices, Latency
from bellwire.planner.batch.methods import BatchChoice, plan_many
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.methods import DEFAULT_METHOD
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.topology import Pair, Topology, pair_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLatency:
    """Latencies of batches of `pairs` on a network that nobody else uses; each batch is worked out once.

    joined: a pass takes the max over its pairs of n_k/r_k, or their sum. batch_method: rates of the fair
    iterative planner, or of the programme "levels" that maximises the least of them.
    """

    topology: Topology
    pairs: Sequence[tuple[NodeId, NodeId]]
    method: str = DEFAULT_METHOD
    options: Options | None = None
    limits: Limits = field(default_factory=Limits)
    joined: Literal["max", "sum"] = "max"
    batch_method: Literal["iterative", "levels"] = "iterative"
    _known: dict[Indices, tuple[float, float]] = field(
        default_factory=dict[Indices, tuple[float, float]], repr=False, compare=False
    )

    def latency_s(self, batch: Indices) -> float:
        """L(B): seconds until all pairs of the batch exist; 0 for none.

        Raises:
            NoPlan: one of the pairs cannot be made; the text names it.
            ConfigError: an unknown node.
        """
        return self._times_s(batch)[0]

    def first_s(self, batch: Indices) -> float:
        """E[first pair ready]: 1/(sum of all rates of the first pass), as times are exponential."""
        return self._times_s(batch)[1]

    def _times_s(self, batch: Indices) -> tuple[float, float]:
        if batch not in self._known:
            self._known[batch] = self._worked_out_s(batch)
        return self._known[batch]

    def _worked_out_s(self, batch: Indices) -> tuple[float, float]:
        wanted = Counter(pair_of(*self.pairs[index]) for index in batch)
        total_s = 0.0
        first_s = 0.0
        while wanted:
            rates_hz = self._rates_hz(list(wanted))
            times_s = [wanted.pop(pair) / rate_hz for pair, rate_hz in rates_hz.items()]
            first_s = first_s or 1.0 / math.fsum(rates_hz.values())
            total_s += max(times_s) if self.joined == "max" else math.fsum(times_s)
        return total_s, first_s

    def _rates_hz(self, pairs: list[Pair]) -> dict[Pair, float]:
        """Rates of the pairs that get trees beside the others; the rest goes to another pass."""
        requests = [
            PairRequest(request=f"{index}", source=a, destination=b, limits=self.limits)
            for index, (a, b) in enumerate(pairs)
        ]
        choice = BatchChoice(
            objective="fair" if self.batch_method == "iterative" else "max_min",
            single_method=self.method,
            options=self.options or Options(),
            allow_unserved=True,
        )
        made = plan_many(Residual(self.topology), requests, self.batch_method, choice)
        if not made.shares:
            (a, b), reason = pairs[0], next(iter(made.unserved.values()))
            raise NoPlan(f"pair {a}-{b} cannot be made: {reason}")
        return {pair_of(share.source, share.destination): share.rate_hz for share in made.shares}


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
    return PlannedLatency(
        topology=topology,
        pairs=pairs,
        method=method,
        options=options,
        limits=limits or Limits(),
        joined=joined,
    ).latency_s
