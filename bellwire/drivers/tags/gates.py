"""Attempts that repeat with a period, and the gates in each of them.

Owns the geometry in whole ps. Attempt k, any integer, begins at t0 + k * period. Gates are windows
[from, to) within the attempt, the same for all channels once the delay of a channel is added to its times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.tags.blocks_in_order import TIME_MAX_PS, check_delays


@dataclass(frozen=True, slots=True)
class Gates:
    """`windows_ps`: [from, to) of each gate after the beginning of the attempt, in order, apart from each
    other and within the period.
    """

    period_ps: int
    windows_ps: Sequence[tuple[int, int]]
    t0_ps: int = 0

    def __post_init__(self) -> None:
        if self.period_ps < 1:
            raise LocalMisuse(f"attempts every {self.period_ps} ps: 1 ps is the least")
        check_delays(self.period_ps)
        if abs(self.t0_ps) > TIME_MAX_PS:
            raise LocalMisuse(f"t0 of {self.t0_ps} ps is beyond {TIME_MAX_PS} ps")
        if not self.windows_ps:
            raise LocalMisuse("attempts without a gate")
        before = 0
        for start, stop in self.windows_ps:
            if start < before or stop <= start or stop > self.period_ps:
                raise LocalMisuse(
                    f"gate [{start}, {stop}) ps: gates are in order, apart, within [0, {self.period_ps}) ps"
                )
            before = stop
