"""Time tags as all taggers hand them over: one block of sorted arrays and what is not known in it.

Owns the form. An interval that overlaps a loss says nothing about coincidences: whoever counts discards it
whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TagBlock:
    """Tags of [`start_ps`, `stop_ps`), in the time of the tagger's `epoch`.

    `time_ps`: int64, not falling, shape (n,). `channel`: int16, shape (n,), the numbers on the instrument's
    front. `lost`: intervals [from, to) in ps within the block in which tags may be missing.
    """

    epoch: int
    start_ps: int
    stop_ps: int
    time_ps: NDArray[np.int64]
    channel: NDArray[np.int16]
    lost: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of one window of `window_s`, by channel; `valid` is False when the window overlaps an
    overflow.
    """

    window_s: float
    singles: dict[int, int]
    valid: bool
    taken_at_ns: int
