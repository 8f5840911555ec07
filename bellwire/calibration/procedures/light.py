"""Light and darkness at the detectors of a link: who can give it, and which instruments that takes.

Owns the words for it, alike for a source that is switched and for arms that are shut. Refuses levels.
"""

from __future__ import annotations

from collections.abc import Iterable

from bellwire.calibration.bench import Arm, LinkBench, PumpedCrystal
from bellwire.calibration.procedure import unique
from bellwire.calibration.work import Work


def cannot_darken(bench: LinkBench) -> str | None:
    """Why nothing can keep light from the detectors, or None."""
    if bench.source is not None and bench.source.pump.emission:
        return None
    if bench.arms and all(arm.shutter is not None for arm in bench.arms):
        return None
    return "neither a source nor a shutter in every arm can keep light from the detectors"


def instruments_of(bench: LinkBench) -> tuple[str, ...]:
    """What is moved to change between light and darkness."""
    if bench.source is not None:
        return unique(*(knob.instrument for knob in bench.source.pump.emission))
    return unique(*(arm.shutter.knob.instrument for arm in bench.arms if arm.shutter is not None))


async def darken(work: Work) -> None:
    """No light of this link reaches the detectors."""
    if work.bench.source is not None:
        await work.emit(work.bench.source.pump, False)
        return
    await open_only(work, ())


async def lighten(work: Work) -> None:
    """All light of this link may reach the detectors."""
    if work.bench.source is not None:
        await work.emit(work.bench.source.pump, True)
        return
    await open_only(work, work.bench.arms)


async def open_only(work: Work, arms: Iterable[Arm]) -> None:
    """Open the shutters of these arms and close all others."""
    opened = {arm.node for arm in arms}
    for arm in work.bench.arms:
        if arm.shutter is not None:
            await work.set(arm.shutter.knob, arm.shutter.open_value if arm.node in opened else 0)


def parts_of(crystal: PumpedCrystal) -> tuple[str, ...]:
    """The instruments of a source or a converter."""
    knobs = [crystal.pump.value, *crystal.pump.emission]
    if crystal.oven is not None:
        knobs += [crystal.oven.setpoint, crystal.oven.heating]
    return unique(*(knob.instrument for knob in knobs))
