"""Who asked for pairs, and when: observed demand, from the durable records of requests.

Owns the way from records to counts of each pair of nodes in equal windows. Refuses forecasts (planner).
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bellwire.core.events import Record
from bellwire.core.ids import NodeId
from bellwire.transport.request_records import from_record

Counts = dict[tuple[NodeId, NodeId], NDArray[np.float64]]
"""Requests of each pair of nodes, in sorted order, window by window."""


class Asked(NamedTuple):
    """One request for pairs."""

    at_ns: int
    source: NodeId
    destination: NodeId


def asked_in(records: Iterable[Record]) -> list[Asked]:
    """Requests for pairs among the records of one node or of several, the oldest first, each once."""
    found: dict[str, Asked] = {}
    for record in records:
        if record.kind != "request":
            continue
        known = from_record(record)
        nodes = known.request.target_nodes
        if known.request.entanglement_type == "bipartite":
            found[record.key] = Asked(known.submitted_ns, nodes[0], nodes[-1])
    return sorted(found.values())


def counts_of(asked: Iterable[Asked], window_ns: int, until_ns: int) -> Counts:
    """Requests of each pair in whole windows that end at `until_ns`; the first begins at or before the first
    request. Later requests are left out."""
    before = [one for one in asked if one.at_ns < until_ns]
    if not before:
        return {}
    windows = -(-(until_ns - min(one.at_ns for one in before)) // window_ns)
    found: Counts = {}
    for one in before:
        ends = (min(one.source, one.destination), max(one.source, one.destination))
        counts = found.setdefault(ends, np.zeros(windows))
        counts[windows - 1 - (until_ns - 1 - one.at_ns) // window_ns] += 1.0
    return found
