"""Clicks of the detectors of one receiver, and how many of them come together.

Owns labels such as "left_h" of a Bell-state analyser (its port, then its polarisation), the correction of
electrical delays, and where accidentals are looked for: at other pulses, or away from the peak where the
light has none. Refuses clocks: all tags are of one tagger.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bellwire.calibration.bench import LinkBench, Receiver
from bellwire.calibration.listening import PS_PER_S, Listening
from bellwire.calibration.procedure import Unfit
from bellwire.calibration.work import Work
from bellwire.drivers.tag_counting import losses
from bellwire.drivers.tags.pairs import count_pairs
from bellwire.drivers.time_tags import Counts

Times = NDArray[np.int64]
Pattern = tuple[str, str]

OFF_PEAK_PULSES = 20
"""Accidentals are looked for at so many other pulses, or so many windows, half of them on either side."""
OFF_PEAK_AWAY_PS = 1_000_000
COUNT_S = 1.0
LOST_SHARE_MAX = 1e-3
WINDOW_TRIES = 4


def port_of(label: str) -> str:
    """ "left" of "left_h"."""
    return label.rpartition("_")[0]


def polarisation_of(label: str) -> str:
    """ "h" of "left_h"."""
    return label.rpartition("_")[2]


def ports_of(receiver: Receiver) -> tuple[str, ...]:
    """The ports of an analyser, in the order of the lab file."""
    return tuple(dict.fromkeys(port_of(label) for label in receiver.labels))


def no_analyser(bench: LinkBench) -> str | None:
    """Why the detectors are none of an analyser of two ports and two polarisations, or None."""
    receiver = bench.receivers[0]
    ports = ports_of(receiver)
    wanted = {f"{port}_{letter}" for port in ports for letter in "hv"}
    if len(ports) != 2 or "" in ports or wanted != set(receiver.labels):
        return (
            f"the detectors of {receiver.name} are {', '.join(receiver.labels)}, not h and v of two ports "
            "(such as left_h, left_v, right_h, right_v)"
        )
    return None


def detectors_of_bsm(receiver: Receiver) -> dict[str, str]:
    """Labels of the lab to those of `estimates.bsm`: the first port is c."""
    letters = dict(zip(ports_of(receiver), "cd", strict=True))
    return {label: letters[port_of(label)] + polarisation_of(label).upper() for label in receiver.labels}


@dataclass(frozen=True, slots=True)
class Clicks:
    """Clicks of one window, by label, int64 ps, electrical delays corrected. `duration_s`: without losses."""

    duration_s: float
    times: Mapping[str, Times]

    def singles(self, labels: Iterable[str]) -> int:
        """Clicks of these detectors."""
        return sum(self.times[label].size for label in labels)

    def together(self, half_ps: int, shift_ps: int = 0) -> dict[Pattern, int]:
        """Pairs of clicks of two detectors, the second within `half_ps` of `shift_ps` after the first."""
        return {
            (one, other): count_pairs(
                self.times[one], self.times[other], shift_ps - half_ps, shift_ps + half_ps
            )
            for one, other in combinations(self.times, 2)
        }

    def beside(self, half_ps: int, period_ps: int | None) -> dict[Pattern, int]:
        """The same of all `OFF_PEAK_PULSES` pulses, or windows, where none belong together."""
        step = period_ps if period_ps is not None else 2 * half_ps + 1
        start = step if period_ps is not None else OFF_PEAK_AWAY_PS
        total = dict.fromkeys(combinations(self.times, 2), 0)
        for index in range(OFF_PEAK_PULSES // 2):
            for sign in (-1, 1):
                for pattern, count in self.together(half_ps, sign * (start + index * step)).items():
                    total[pattern] += count
        return total


async def counted(work: Work, receiver: Receiver, duration_s: float) -> Counts:
    """Singles of `duration_s` in whole windows of a second or less, so that a stop is heard in time."""
    windows = max(1, math.ceil(duration_s / COUNT_S - 1e-9))
    singles = dict.fromkeys(receiver.channels, 0)
    covered_s, last_ns = 0.0, 0
    for _ in range(windows):
        one = await work.count(receiver, duration_s / windows)
        for channel in singles:
            singles[channel] += one.singles.get(channel, 0)
        covered_s += one.window_s
        last_ns = one.taken_at_ns
    return Counts(covered_s, singles, True, last_ns)


async def heard_clicks(
    work: Work,
    listening: Listening,
    receiver: Receiver,
    duration_s: float,
    *,
    corrected_by: str = "arm_delay",
) -> Clicks:
    """The clicks of the next `duration_s`. `corrected_by`: whose corrections are used, where in force.

    Raises Unfit when too much was lost in each of a few windows.
    """
    delays = {label: _correction_ps(work, corrected_by, receiver, label) for label in receiver.labels}
    for _ in range(WINDOW_TRIES):
        block = (await listening.window(duration_s))[receiver.tagger]
        lost = losses(block)
        span_ps = block.stop_ps - block.start_ps
        share = float((lost[:, 1] - lost[:, 0]).sum()) / span_ps
        if share <= LOST_SHARE_MAX:
            times = {
                one.label: block.time_ps[block.channel == one.channel] + delays[one.label]
                for one in receiver.detectors
            }
            return Clicks(span_ps / PS_PER_S * (1.0 - share), times)
    raise Unfit(
        f"{receiver.tagger} lost more than {LOST_SHARE_MAX:g} of the time in each of {WINDOW_TRIES} windows "
        f"of {duration_s:g} s: too much light"
    )


async def counted_together(
    clicks: Clicks, half_ps: int, period_ps: int | None
) -> tuple[dict[Pattern, int], dict[Pattern, int]]:
    """Coincidences, and accidentals of all places beside; in a thread, while leases are renewed."""
    return await asyncio.to_thread(lambda: (clicks.together(half_ps), clicks.beside(half_ps, period_ps)))


def crossing(counts: Mapping[Pattern, int]) -> int:
    """Of the patterns with one click in each port."""
    return sum(count for (one, other), count in counts.items() if port_of(one) != port_of(other))


def _correction_ps(work: Work, procedure: str, receiver: Receiver, label: str) -> int:
    found = work.quantity(procedure, f"correction_ps.{receiver.name}.{label}")
    return 0 if found is None else round(found.value)
