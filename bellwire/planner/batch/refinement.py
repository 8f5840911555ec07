"""The last digits of a vertex: what a solver prints in eight digits, made exact again.

Owns the correction. Refuses to look for another optimum: which columns are zero and which rows are tight is
the solver's word.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TIGHT: Final = 1e-7
"""A row or bound is tight when what is left of it is this part of its own terms: CBC prints 8 digits."""


EMPTY: Final = 1e-11
"""Columns below this are zero: CBC shifts bounds by 1e-12 against cycling, and may leave it at that. The
columns are in units in which the largest are near 1."""


class Row(NamedTuple):
    """One row of a programme: its columns, their coefficients, and the bound on its one side, or both."""

    columns: tuple[int, ...]
    coefficients: tuple[float, ...]
    bound: float


def refined(values: Floats, uppers: Floats, rows: Sequence[Row]) -> Floats:
    """The vertex next to a rounded one: tight rows and bounds hold exactly, zeros stay zero.

    values: of the columns, 0 or more, rounded. uppers: their upper bounds, inf for none. The answer is the
    nearest point in which all tight rows are equations; near a vertex there is but one.
    """
    values = np.where(values < EMPTY, 0.0, values)
    bound = np.abs(values - uppers) <= TIGHT * values
    exact = np.where(bound, uppers, values)
    free = np.flatnonzero((values > 0.0) & ~bound)
    place = {int(column): index for index, column in enumerate(free)}
    tight: list[Floats] = []
    missing: list[float] = []
    for row in rows:
        coefficients, columns = np.array(row.coefficients), np.array(row.columns, dtype=np.intp)
        terms = coefficients * exact[columns]
        left = row.bound - float(terms.sum())
        if abs(left) > TIGHT * float(np.abs(terms).sum()):
            continue
        equation = np.zeros(len(free))
        for column, coefficient in zip(row.columns, row.coefficients, strict=True):
            if column in place:
                equation[place[column]] = coefficient
        if equation.any():
            tight.append(equation)
            missing.append(left)
    if tight:
        exact[free] += np.linalg.lstsq(np.array(tight), np.array(missing), rcond=None)[0]
    return np.maximum(exact, 0.0)
