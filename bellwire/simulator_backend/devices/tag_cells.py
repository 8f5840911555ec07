"""Tags of the World in the time of one tagger, asked for in cells and kept for a while.

Owns the memory: blocks of an emulated tagger look back at the same tags many times, and drawing them costs.
Refuses the future: the end of what is asked for has passed.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from bellwire.simulator_backend.devices.surroundings import Wiring

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Times = NDArray[np.int64]

CELL_NS = 10_000_000
TAGS_KEPT_MAX = 4_000_000
PULSE_V = 2.0
PULSE_PS = 10_000
NOISE_V = 0.02


def sees_pulses(level_v: float) -> bool:
    """Whether a trigger level cuts the pulses of our detectors: 0 to 2 V into 50 ohm, 10 ns long."""
    return NOISE_V <= level_v < PULSE_V


class TagCells:
    """Tags by the words of a tagger's channels; times are int64 ps since `origin_ns`."""

    def __init__(self, wiring: Wiring, origin_ns: int) -> None:
        self._wiring = wiring
        self._origin_ns = origin_ns
        self._cells: OrderedDict[tuple[str, int], Times] = OrderedDict()
        self._kept = 0

    def times(self, word: str, start_ps: int, stop_ps: int) -> Times:
        """Tags of [start, stop), in order."""
        start_ns, stop_ns = start_ps // 1000 + self._origin_ns, -(-stop_ps // 1000) + self._origin_ns
        cells = range(start_ns // CELL_NS, -(-stop_ns // CELL_NS))
        parts = [self._cell(word, cell, stop_ns) for cell in cells]
        times = np.concatenate(parts) if parts else np.empty(0, np.int64)
        return times[np.searchsorted(times, start_ps) : np.searchsorted(times, stop_ps)]

    def _cell(self, word: str, cell: int, over_ns: int) -> Times:
        """Tags of one cell as far as it is over; whole cells are kept, the last ones used longest."""
        kept = self._cells.get((word, cell))
        if kept is not None:
            self._cells.move_to_end((word, cell))
            return kept
        start_ns, stop_ns = cell * CELL_NS, min((cell + 1) * CELL_NS, over_ns)
        times, _ = self._wiring.tags([word], start_ns, stop_ns)
        times = times + (start_ns - self._origin_ns) * 1000
        if stop_ns == (cell + 1) * CELL_NS:
            self._cells[word, cell] = times
            self._kept += len(times)
            while self._kept > TAGS_KEPT_MAX and len(self._cells) > 1:
                self._kept -= len(self._cells.popitem(last=False)[1])
        return times
