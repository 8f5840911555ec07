"""The greatest rate that any order of swaps can reach on one route: a linear programme (algorithms.md 8.5).

Owns the programme of one route and its duals. Refuses networks (batch/), memory, and waiting: the bound holds
for unlimited memory and patience.

Maximise z subject to, for every segment (i,j): what its link and its swaps make, p_r of those tried at r, is
at least what is consumed by longer swaps (and by delivery, for the whole route). There is no factor 2/3: that
stands for waiting, and a policy may do without.
"""

from collections.abc import Sequence
from math import isfinite
from typing import Any, NamedTuple, cast

import highspy
import numpy as np

from bellwire.core.errors import LocalMisuse


class RouteBound(NamedTuple):
    """rate_hz: the bound. link_duals: by how much it grows with the rate of each link, 0 or more."""

    rate_hz: float
    link_duals: tuple[float, ...]


def route_bound(link_rates_hz: Sequence[float], swap_probability: Sequence[float]) -> RouteBound:
    """The bound of a route of n links.

    link_rates_hz: pairs per second of each link, n of them. swap_probability: by position, n + 1 (ends are
    not read).

    Raises:
        LocalMisuse: numbers that do not belong to one route, or a rate that is not finite and above 0.
    """
    hops = len(link_rates_hz)
    if len(swap_probability) != hops + 1:
        raise LocalMisuse(f"{hops} links need {hops + 1} swap probabilities, not {len(swap_probability)}")
    for rate_hz in link_rates_hz:
        if not (isfinite(rate_hz) and rate_hz > 0.0):
            raise LocalMisuse(f"a link rate of {rate_hz}/s: it must be finite and above 0")
    unit_hz = max(link_rates_hz)
    segments = [(i, j) for i in range(hops) for j in range(i + 1, hops + 1)]
    row = {segment: index for index, segment in enumerate(segments)}
    swaps = [(i, r, j) for i, j in segments for r in range(i + 1, j)]
    # Columns: a rate of tried swaps each, and z. A row: consumed - made <= link rate.
    starts, indices, entries = [0], [], []
    for i, r, j in swaps:
        indices += [row[i, r], row[r, j], row[i, j]]
        entries += [1.0, 1.0, -swap_probability[r]]
        starts.append(len(indices))
    indices.append(row[0, hops])
    entries.append(1.0)
    starts.append(len(indices))
    model = highspy.HighsLp()
    columns = len(swaps) + 1
    model.num_col_, model.num_row_ = columns, len(segments)
    model.col_cost_ = np.array([0.0] * len(swaps) + [-1.0])
    model.col_lower_ = np.zeros(columns)
    model.col_upper_ = np.full(columns, highspy.kHighsInf)
    model.row_lower_ = np.full(len(segments), -highspy.kHighsInf)
    model.row_upper_ = np.array([link_rates_hz[i] / unit_hz if j == i + 1 else 0.0 for i, j in segments])
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.array(starts, dtype=np.int32)
    model.a_matrix_.index_ = np.array(indices, dtype=np.int32)
    model.a_matrix_.value_ = np.array(entries)
    solver = cast(Any, highspy).Highs()
    solver.silent()
    solver.passModel(model)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise LocalMisuse(f"the bound of a route has no optimum: rates {list(link_rates_hz)}")
    duals = solver.getSolution().row_dual
    return RouteBound(
        -solver.getObjectiveValue() * unit_hz,
        tuple(max(0.0, -float(duals[row[i, i + 1]])) for i in range(hops)),
    )
