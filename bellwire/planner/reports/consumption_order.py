"""Batches of an order of consumption, as text and as a document.

Owns `ConsumptionOrder`, the batches with their times, and its reports. Refuses the cut
(batch/consumption.py).
"""

import math
from dataclasses import dataclass

from bellwire.planner.batch.consumption import Consumption, Indices
from bellwire.planner.reports.plain_values import Document
from bellwire.planner.reports.quantities import time_text
from bellwire.planner.reports.text import table
from bellwire.planner.topology import Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumptionOrder:
    """Pairs, their batches, and how long each batch takes to make and to use."""

    order: str
    age_s: float  # limit
    pairs: tuple[Pair, ...]
    batches: tuple[Indices, ...]
    latencies_s: tuple[float, ...]  # of the batches
    used_s: tuple[float, ...]  # execution time of the batches

    @property
    def total_s(self) -> float:
        """Generation and execution of all batches, one after the other."""
        return math.fsum((*self.latencies_s, *self.used_s))


def order_of(order: str, consumption: Consumption, batches: tuple[Indices, ...]) -> ConsumptionOrder:
    """The batches of a consumption with their times."""
    return ConsumptionOrder(
        order=order,
        age_s=consumption.age_s,
        pairs=tuple(consumption.pairs),
        batches=batches,
        latencies_s=tuple(consumption.latency_s(batch) for batch in batches),
        used_s=tuple(consumption.used_s(batch) for batch in batches),
    )


def order_document(order: ConsumptionOrder) -> Document:
    """Positions count from 1, as in the file."""
    return {
        "kind": "order",
        "order": order.order,
        "max_age_s": order.age_s if math.isfinite(order.age_s) else None,
        "total_s": order.total_s,
        "batches": [
            {
                "positions": [index + 1 for index in batch],
                "pairs": [list(order.pairs[index]) for index in batch],
                "latency_s": latency_s,
                "execution_s": used_s,
            }
            for batch, latency_s, used_s in zip(order.batches, order.latencies_s, order.used_s, strict=True)
        ],
    }


def order_text(order: ConsumptionOrder) -> str:
    """A row for each batch."""
    rows = [
        [
            str(number),
            time_text(latency_s),
            time_text(used_s),
            ", ".join(f"{order.pairs[index][0]} - {order.pairs[index][1]}" for index in batch),
        ]
        for number, (batch, latency_s, used_s) in enumerate(
            zip(order.batches, order.latencies_s, order.used_s, strict=True), start=1
        )
    ]
    lines = [
        f"{len(order.pairs)} pairs in {len(order.batches)} batches ({order.order} order), "
        f"{time_text(order.total_s)} in all; no batch takes longer than {time_text(order.age_s)}",
        "",
        *table(("batch", "made in", "used in", "pairs"), rows),
    ]
    return "".join(f"{line}\n" for line in lines)
