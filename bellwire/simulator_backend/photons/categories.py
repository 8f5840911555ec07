"""Drawing one of many outcomes, fast and exact.

Owns a guide: the unit interval in equal cells, most of which belong to one outcome alone. Only numbers in the
others are searched. Refuses what the outcomes mean.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bellwire.core.errors import LocalMisuse

CELLS: Final = 4096
OUTCOMES_MAX: Final = 1 << 15


class Categories:
    """Outcomes 0, 1, ... in proportion to `chances`, which need not sum to one. total: their sum."""

    def __init__(self, chances: NDArray[np.float64]) -> None:
        """Where all are zero, or there are none, nothing can be drawn.

        Raises:
            LocalMisuse: too many outcomes, or a negative chance.
        """
        if len(chances) > OUTCOMES_MAX or chances.min(initial=0.0) < 0.0:
            raise LocalMisuse(
                f"{len(chances)} outcomes, the least of chance {chances.min(initial=0.0)}: at most "
                f"{OUTCOMES_MAX}, none below 0"
            )
        self.total = float(chances.sum())
        if self.total <= 0.0:
            return
        cumulative = np.cumsum(chances)
        self._edges = cumulative[:-1] / cumulative[-1]
        corners = np.searchsorted(self._edges, np.arange(CELLS + 1) / CELLS, side="right")
        self._guide = np.where(corners[:-1] == corners[1:], corners[:-1], -1).astype(np.int16)

    def draw(self, count: int, generator: Generator) -> NDArray[np.int16]:
        """`count` outcomes.

        Raises:
            LocalMisuse: none is possible.
        """
        if self.total <= 0.0:
            raise LocalMisuse("a draw of outcomes that are all impossible")
        numbers = generator.random(count)
        outcomes = self._guide[(numbers * CELLS).astype(np.int32)]
        shared = np.flatnonzero(outcomes < 0)
        outcomes[shared] = np.searchsorted(self._edges, numbers[shared], side="right")
        return outcomes
