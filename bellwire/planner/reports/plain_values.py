"""Plain values for JSON: what it has no number for is null.

Owns the types of documents and these small conversions. Refuses plans.
"""

import json
import math
from collections.abc import Iterable

from bellwire.core.ids import PairId
from bellwire.planner.multipartite.values import Qubit

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Document = dict[str, Json]


def as_json(document: Document, indent: int | None = None) -> str:
    """The text of a document. Strictly JSON: no NaN, no Infinity."""
    return json.dumps(document, allow_nan=False, ensure_ascii=False, indent=indent)


def pair_name(pair: PairId | str) -> str:
    """A stored pair as people write it: link/run.attempt.lane, as ends do."""
    if isinstance(pair, str):
        return pair
    return f"{pair.link}/{pair.run}.{pair.attempt}.{pair.lane}"


def names_of(qubits: Iterable[Qubit]) -> list[Json]:
    return [str(qubit) for qubit in qubits]


def mean(weighted: Iterable[tuple[float, float]]) -> float | None:
    """Mean by rate; None when there is no rate to weigh by."""
    pairs = [(weight, value) for weight, value in weighted if math.isfinite(weight)]
    total = math.fsum(weight for weight, _ in pairs)
    return math.fsum(weight * value for weight, value in pairs) / total if total > 0.0 else None


def finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
