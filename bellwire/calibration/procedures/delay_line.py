"""A delay line that is always approached from the same side, and its range.

Owns the approach: what a screw has for play does not show when every place is come to from below. Some lines
do so by themselves; then a second approach costs little.
"""

from __future__ import annotations

from bellwire.calibration.bench import Knob
from bellwire.calibration.work import Work

PLAY_PS = 1.0
"""More than the play of a delay line's screw: 0.2 ps for an ODL-650 (400 steps)."""


def range_of(knob: Knob) -> tuple[float, float]:
    """Least and most delay in ps that can be approached from below."""
    low = 0.0 if knob.low is None else knob.low
    high = 650.0 if knob.high is None else knob.high
    return low + PLAY_PS, high


async def approach(work: Work, knob: Knob, delay_ps: float) -> float:
    """Move there from below; returns the read-back in ps."""
    present = await work.read_number(knob)
    if not present <= delay_ps:  # also when it does not know where it stands
        await work.set(knob, delay_ps - PLAY_PS)
    await work.set(knob, delay_ps)
    return await work.read_number(knob)
