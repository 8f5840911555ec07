"""The clock between two records, from nothing to the jitter: plan, search and refinement in their order.

Owns the order and what follows from the records themselves: rates of tags, length, middle. Refuses to choose
an oscillator, a range or a share of pairs: whoever asks knows his taggers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bellwire.drivers.clocks.clock_kinds import MODELS, ClockKind
from bellwire.drivers.clocks.offset_search import CoarseOffset, search_offset
from bellwire.drivers.clocks.refine import RefinedOffset, refine
from bellwire.drivers.clocks.search_plan import plan_search

PS_PER_S: Final = 10**12
PAIR_SHARE: Final = 0.01
"""Pairs in so large a share of the fewer tags are found where nobody says how many there are."""


@dataclass(frozen=True, slots=True)
class Record:
    """Tags of one epoch: `time_ps` int64, not falling, two at least, shape (n,)."""

    epoch: int
    time_ps: NDArray[np.int64]

    @property
    def length_ps(self) -> int:
        """From the first tag to the last, both within."""
        return int(self.time_ps[-1]) - int(self.time_ps[0]) + 1

    @property
    def rate_hz(self) -> float:
        """Tags per second."""
        return len(self.time_ps) / self.length_ps * PS_PER_S


def clock_between(
    reference: Record,
    stream: Record,
    *,
    oscillator: ClockKind,
    within_ps: int,
    rate_within_e15: int,
    expected_ps: int = 0,
    pairs_hz: float | None = None,
) -> tuple[CoarseOffset, RefinedOffset]:
    """Where the stream's clock stands against the reference's, both of one kind of oscillator.

    Looked for within `within_ps` of `expected_ps`; `pairs_hz`: the least rate of pairs to be found, None: by
    PAIR_SHARE. Raises NoTiming, and LocalMisuse for a range that no clock has.
    """
    plan = plan_search(
        reference.rate_hz,
        stream.rate_hz,
        PAIR_SHARE * min(reference.rate_hz, stream.rate_hz) if pairs_hz is None else pairs_hz,
        record_ps=stream.length_ps,
        uncertainty_ps=within_ps,
        rate_uncertainty_e15=rate_within_e15,
    )
    coarse = search_offset(reference.time_ps, stream.time_ps, plan, expected_ps=expected_ps)
    noise = MODELS[oscillator].noise
    refined = refine(
        reference.time_ps,
        stream.time_ps,
        coarse,
        epoch=stream.epoch,
        reference_epoch=reference.epoch,
        noise=noise + noise,
        valid_ps=stream.length_ps,
    )
    return coarse, refined
