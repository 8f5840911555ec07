"""Drawing the photons of memories: at most one each per attempt, alone or two that meet.

Owns the times inside the packets and what they mean for interference: two photons interfere as far as their
detection times could have been swapped (algorithms.md 11.3). Refuses the fates of photons (two_photons.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bellwire.simulator_backend.photons.categories import Categories
from bellwire.simulator_backend.photons.samplers import (
    Arrivals,
    Floats,
    Rate,
    first_pulse,
    lucky_pulses,
    pulse_times,
)


@dataclass(frozen=True, slots=True)
class PacketPair:
    """Two exponential packets at a splitter. lifetimes_ps. offset_ps: the first arrives later by this.
    dephasing_per_ps: loss of contrast with the distance of two detections. peak: of space and colour."""

    lifetimes_ps: tuple[float, float]
    offset_ps: float
    dephasing_per_ps: float
    peak: float

    def contrast(self, first_ps: Floats, second_ps: Floats) -> Floats:
        """Interference of photons seen at these times after the beginning of their own packets.

        2 sqrt(xy)/(x + y), x and y the densities of these times and of the swapped ones.
        """
        a, b = self.lifetimes_ps
        swapped_first = second_ps - self.offset_ps  # the first photon at the second's time
        swapped_second = first_ps + self.offset_ps
        possible = (swapped_first >= 0.0) & (swapped_second >= 0.0)
        # ln of y/x for densities exp(-t/a)/a and exp(-t/b)/b.
        log_ratio = (first_ps - swapped_first) / a + (second_ps - swapped_second) / b
        apart_ps = np.abs(first_ps + self.offset_ps - second_ps)
        contrast = self.peak * np.exp(-self.dephasing_per_ps * apart_ps) / np.cosh(log_ratio / 2.0)
        return np.asarray(np.where(possible, contrast, 0.0), dtype=np.float64)


class EmitterSampler:
    """One memory. fates: chance of a click at each end, shape (n,)."""

    def __init__(
        self,
        ends: tuple[str, ...],
        emitted: float,
        fates: Floats,
        delays_ps: tuple[float, ...],
        lifetime_ps: float,
        period_ps: int,
        offset_ps: float,
    ) -> None:
        self._ends = ends
        self._emitted = emitted
        self._fates = fates
        self._goals = Categories(fates)
        self._delays_ps = delays_ps
        self._lifetime_ps = lifetime_ps
        self._period_ps = period_ps
        self._offset_ps = offset_ps

    def draw(self, start_ps: int, stop_ps: int, generator: Generator, arrivals: Arrivals) -> None:
        count, first_ps = first_pulse(start_ps, stop_ps, self._period_ps, self._offset_ps)
        attempts = lucky_pulses(count, self._emitted * self._goals.total, generator)
        if not len(attempts):
            return
        times = pulse_times(attempts, self._period_ps, first_ps)
        times += generator.exponential(self._lifetime_ps, len(attempts))
        goals = self._goals.draw(len(attempts), generator)
        _put(self._ends, self._delays_ps, goals, times, arrivals)

    def rates(self) -> dict[str, Rate]:
        return {
            end: Rate(self._emitted * float(self._fates[k]), float(self._period_ps), 0.0)
            for k, end in enumerate(self._ends)
        }


class MeetingEmitterSampler:
    """Two memories whose photons meet. coherent, incoherent: fates of both at full and at no interference,
    shape (n + 1, n + 1)."""

    def __init__(
        self,
        ends: tuple[str, ...],
        emitted: tuple[float, float],
        coherent: Floats,
        incoherent: Floats,
        delays_ps: tuple[tuple[float, ...], tuple[float, ...]],
        packets: PacketPair,
        period_ps: int,
        offset_ps: float,
    ) -> None:
        self._ends = ends
        self._emitted = emitted
        self._lone = (incoherent.sum(axis=1), incoherent.sum(axis=0))
        self._lone_goals = tuple(Categories(chances) for chances in self._lone)
        self._coherent = Categories(coherent.ravel())
        self._incoherent = Categories(incoherent.ravel())
        self._delays_ps = delays_ps
        self._packets = packets
        self._period_ps = period_ps
        self._offset_ps = offset_ps

    def draw(self, start_ps: int, stop_ps: int, generator: Generator, arrivals: Arrivals) -> None:
        count, first_ps = first_pulse(start_ps, stop_ps, self._period_ps, self._offset_ps)
        n = len(self._ends)
        attempts = [lucky_pulses(count, emitted, generator) for emitted in self._emitted]
        inside = [
            generator.exponential(lifetime_ps, len(pulses))
            for lifetime_ps, pulses in zip(self._packets.lifetimes_ps, attempts, strict=True)
        ]
        both, in_first, in_second = np.intersect1d(
            attempts[0], attempts[1], assume_unique=True, return_indices=True
        )
        goals = [
            lone.draw(len(pulses), generator) for lone, pulses in zip(self._lone_goals, attempts, strict=True)
        ]
        contrast = self._packets.contrast(inside[0][in_first], inside[1][in_second])
        # The fates are linear in the contrast: each pair interferes fully or not at all.
        interferes = generator.random(len(both)) < contrast
        fates = np.where(
            interferes,
            self._coherent.draw(len(both), generator),
            self._incoherent.draw(len(both), generator),
        )
        goals[0][in_first], goals[1][in_second] = np.divmod(fates, np.int16(n + 1))
        for side in (0, 1):
            times = pulse_times(attempts[side], self._period_ps, first_ps) + inside[side]
            _put(self._ends, self._delays_ps[side], goals[side], times, arrivals)

    def rates(self) -> dict[str, Rate]:
        first, second = self._lone
        return {
            end: Rate(
                1.0
                - (1.0 - self._emitted[0] * float(first[k])) * (1.0 - self._emitted[1] * float(second[k])),
                float(self._period_ps),
                0.0,
            )
            for k, end in enumerate(self._ends)
        }


def _put(
    ends: tuple[str, ...],
    delays_ps: tuple[float, ...],
    goals: NDArray[np.int16],
    times: Floats,
    arrivals: Arrivals,
) -> None:
    for k, end in enumerate(ends):
        fired = np.flatnonzero(goals == k)
        if len(fired):
            arrivals[end].append(times[fired] + delays_ps[k])
