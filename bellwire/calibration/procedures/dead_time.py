"""How long each detector is blind after a click, how often a click sets off another (procedure 7, step 3).

From the delays between clicks of one detector: none up to the dead time, all alike behind it. How far to
look follows from the smallest delays, so that nanowires and avalanche diodes are treated alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bellwire.calibration.bench import Detector, LinkBench
from bellwire.calibration.estimates.detectors import Afterpulsing, DeadTime, afterpulsing, dead_time
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.listening import PS_PER_S
from bellwire.calibration.procedure import Finding, Unfit, unique
from bellwire.calibration.procedures import alignment_light, pictures
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.work import Work
from bellwire.drivers.tags.pairs import count_pairs, pair_indices
from bellwire.drivers.time_tags import TagBlock

Times = NDArray[np.int64]

AFTERPULSING_MAX = 0.05
STRAY = 8
"""So many clicks may come earlier than the dead time allows (glitches of electronics)."""
REACH_DEAD_TIMES = 4
REACH_PS = (100_000, 200_000_000)
ENOUGH = 600
"""Pairs of clicks within the reach, from which on the edge is known to a few per cent."""
LEVEL = 16
"""Pairs of clicks per bin behind the notch: the edge is told the better, the narrower bins are."""
BINS = (24, 300)
NEAR_DEAD_TIMES = (1.3, 30.0)
FAR_DEAD_TIMES = (60.0, 300.0)
"""Afterpulses are looked for in the near range of delays, and their background in the far one."""


@dataclass(slots=True)
class _Heard:
    """The clicks of one detector in the windows so far."""

    windows: list[Times] = field(default_factory=list)
    duration_s: float = 0.0
    per_ps: float = 0.0
    """Pairs of clicks in each ps of delay, where nothing hides them."""

    @property
    def clicks(self) -> int:
        return sum(times.size for times in self.windows)

    def reach_ps(self) -> int:
        """A few dead times, guessed from the smallest delays."""
        gaps = np.sort(np.concatenate([np.diff(times) for times in self.windows]))
        least = int(gaps[min(STRAY, gaps.size - 1)])
        return int(np.clip(REACH_DEAD_TIMES * least, *REACH_PS))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadTimes:
    """`window_s`: of tags at a time; `windows_max`: so many at most, until every detector has enough."""

    window_s: float = 2.0
    windows_max: int = 30
    name: str = "dead_time"
    meaning: str = "dead time and afterpulsing of every detector, from the delays between its clicks"
    needs: tuple[str, ...] = ()
    valid_for_s: float = 30 * 24 * 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        return None if any(one.detectors for one in bench.receivers) else "no detectors are named"

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        return unique(*alignment_light.steady_instruments(bench), *(one.tagger for one in bench.receivers))

    async def run(self, work: Work) -> Finding:
        heard = {(one.name, label): _Heard() for one in work.bench.receivers for label in one.labels}
        async with work.listen(work.bench.receivers) as listening:
            for index in range(self.windows_max):
                await alignment_light.steady(work, turn=index % 2)
                blocks = await listening.window(self.window_s)
                for receiver in work.bench.receivers:
                    for one in receiver.detectors:
                        _take(heard[receiver.name, one.label], blocks[receiver.tagger], one)
                least = min(_enough(one) for one in heard.values())
                work.tell("collecting clicks", min(least, (index + 1) / self.windows_max))
                if least >= 1.0:
                    break
        found = await asyncio.to_thread(_all_found, heard)
        return self._finding(work, found)

    def _finding(self, work: Work, found: dict[tuple[str, str], tuple[DeadTime, Afterpulsing]]) -> Finding:
        quantities: dict[str, Quantity] = {}
        checks: list[Check] = []
        for (receiver, label), (dead, after) in found.items():
            name = f"{receiver}.{label}"
            quantities[f"dead_ns.{name}"] = dead.dead_time
            quantities[f"afterpulsing.{name}"] = after.probability
            checks.append(Check(f"filling.{name}", dead.notch_filling.value, None, 0.1))
            checks.append(Check(f"afterpulsing.{name}", after.probability.value, None, AFTERPULSING_MAX))
            stored = work.quantity(self.name, f"dead_ns.{name}")
            if stored is not None:
                checks.append(Check(f"change.{name}", dead.dead_time.value / stored.value, 0.9, 1.1))
        first = dict(list(found.items())[:4])
        return Finding(
            quantities=quantities,
            checks=tuple(checks),
            draw=pictures.curves(
                {f"{receiver} {label}": dead.curve for (receiver, label), (dead, _) in first.items()},
                title=f"Delays between clicks of one detector, {work.bench.link}",
            ),
        )


def _take(heard: _Heard, block: TagBlock, detector: Detector) -> None:
    times, span_ps = block.time_ps[block.channel == detector.channel], block.stop_ps - block.start_ps
    heard.windows.append(times)
    heard.duration_s += span_ps / PS_PER_S
    heard.per_ps += times.size**2 / span_ps


def _enough(heard: _Heard) -> float:
    """1 and more: the delays of this detector fill the fewest bins that are fitted."""
    if heard.clicks <= 2 * STRAY:
        return 0.0
    return heard.per_ps * heard.reach_ps() / ENOUGH


def _all_found(
    heard: Mapping[tuple[str, str], _Heard],
) -> dict[tuple[str, str], tuple[DeadTime, Afterpulsing]]:
    found = {}
    for (receiver, label), one in heard.items():
        try:
            found[receiver, label] = _found(one)
        except NoEstimate as problem:
            rate_hz = one.clicks / max(one.duration_s, 1e-9)
            raise Unfit(f"detector {label} of {receiver}, {rate_hz:.0f} clicks/s: {problem}") from problem
    return found


def _found(heard: _Heard) -> tuple[DeadTime, Afterpulsing]:
    if heard.clicks <= 2 * STRAY:
        raise NoEstimate(
            f"{heard.clicks} clicks in {heard.duration_s:g} s: give it light, or look at its bias"
        )
    reach_ps = heard.reach_ps()
    bins = int(np.clip(heard.per_ps * reach_ps / LEVEL, *BINS))
    edges = np.linspace(0, reach_ps, bins + 1)
    counts = np.zeros(bins, np.int64)
    for times in heard.windows:
        first, second = pair_indices(times, times, 1, reach_ps)
        counts += np.histogram(times[second] - times[first], edges)[0]
    with np.errstate(over="ignore"):  # an empty notch leaves its filling free to go anywhere on the way
        dead = dead_time(edges / 1000.0, counts)
    near, far = (
        (round(1000.0 * dead.dead_time.value * low), round(1000.0 * dead.dead_time.value * high))
        for low, high in (NEAR_DEAD_TIMES, FAR_DEAD_TIMES)
    )
    pairs = [sum(count_pairs(times, times, *span) for times in heard.windows) for span in (near, far)]
    lengths = [float(high - low + 1) for low, high in (near, far)]
    return dead, afterpulsing(pairs[0], lengths[0], pairs[1], lengths[1], heard.clicks)
