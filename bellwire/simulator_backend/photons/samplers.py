"""Drawing photons: for each kind of light, when it reaches which end.

Owns chance and time of emission. Refuses probabilities of ends (pulse_table.py, two_photons.py) and what
detectors do to clicks (clicks.py).

A sampler is made for one setting of the bench. `draw` gives, for emission in a block of time, the arrivals by
end, in float64 ps from the block's start. Pulses are counted from time zero of the bench, so that blocks join
without a seam; all else has no memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, expm1, log1p, sqrt
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bellwire.simulator_backend.photons.categories import Categories

Floats: TypeAlias = NDArray[np.float64]
Arrivals: TypeAlias = dict[str, list[Floats]]


class Rate(NamedTuple):
    """What one sampler makes at an end, before dead time. pulse_clicks: chance of a click per pulse of
    period_ps (0: no pulses). steady_hz: at any time."""

    pulse_clicks: float
    period_ps: float
    steady_hz: float


class Sampler(Protocol):
    """One kind of light at one setting."""

    def draw(self, start_ps: int, stop_ps: int, generator: Generator, arrivals: Arrivals) -> None:
        """Add what is emitted in [start_ps, stop_ps), times from start_ps."""
        ...

    def rates(self) -> dict[str, Rate]:
        """Expected clicks by end."""
        ...


def lucky_pulses(count: int, chance: float, generator: Generator) -> NDArray[np.int64]:
    """Numbers in 0..count-1 of the pulses in which something of that chance happens, by geometric gaps."""
    if count <= 0 or chance <= 0.0:
        return np.empty(0, dtype=np.int64)
    if chance >= 1.0:
        return np.arange(count, dtype=np.int64)
    scale = -1.0 / log1p(-chance)
    pieces, reached = [], -1
    while reached < count:
        left = (count - reached) * chance
        gaps = generator.standard_exponential(ceil(left + 5.0 * sqrt(left) + 8.0))
        gaps *= scale
        # A gap beyond the block ends it; cut so that the integers hold it.
        numbers = np.minimum(gaps, float(count)).astype(np.int64)
        numbers += 1
        np.cumsum(numbers, out=numbers)
        numbers += reached
        reached = int(numbers[-1])
        pieces.append(numbers)
    numbers = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    return numbers[: int(np.searchsorted(numbers, count))]


def steady_times(rate_per_ps: float, length_ps: float, generator: Generator) -> Floats:
    """Sorted times of a Poisson process in [0, length_ps)."""
    if rate_per_ps <= 0.0:
        return np.empty(0)
    pieces, reached = [], 0.0
    while reached < length_ps:
        left = (length_ps - reached) * rate_per_ps
        times = generator.standard_exponential(ceil(left + 5.0 * sqrt(left) + 8.0))
        times *= 1.0 / rate_per_ps
        np.cumsum(times, out=times)
        times += reached
        reached = float(times[-1])
        pieces.append(times)
    times = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    return times[: int(np.searchsorted(times, length_ps))]


def first_pulse(start_ps: int, stop_ps: int, period_ps: int, offset_ps: float) -> tuple[int, float]:
    """How many pulses start in [start_ps, stop_ps), and when the first does, from start_ps."""
    first = ceil((start_ps - offset_ps) / period_ps)
    last = ceil((stop_ps - offset_ps) / period_ps)
    return last - first, first * period_ps - start_ps + offset_ps


def pulse_times(pulses: NDArray[np.int64], period_ps: int, first_ps: float) -> Floats:
    """When pulses come that are counted from the one at first_ps."""
    times = pulses.astype(np.float64)
    times *= period_ps
    times += first_ps
    return times


@dataclass(frozen=True, slots=True)
class PatternSampler:
    """Pulsed light with a table of patterns. delays_ps: from a pulse to each end. lit: the patterns without
    the dark one; the sum of their chances keeps the digits of weak light."""

    ends: tuple[str, ...]
    probabilities: Floats
    delays_ps: tuple[float, ...]
    period_ps: int
    offset_ps: float
    lit: Categories

    def draw(self, start_ps: int, stop_ps: int, generator: Generator, arrivals: Arrivals) -> None:
        count, first_ps = first_pulse(start_ps, stop_ps, self.period_ps, self.offset_ps)
        pulses = lucky_pulses(count, self.lit.total, generator)
        if not len(pulses):
            return
        patterns = self.lit.draw(len(pulses), generator) + 1
        times = pulse_times(pulses, self.period_ps, first_ps)
        for k, end in enumerate(self.ends):
            fired = np.flatnonzero(patterns & (1 << k) != 0)
            if len(fired):
                arrivals[end].append(times[fired] + self.delays_ps[k])

    def rates(self) -> dict[str, Rate]:
        index = np.arange(len(self.probabilities))
        return {
            end: Rate(float(self.probabilities[(index >> k) & 1 == 1].sum()), float(self.period_ps), 0.0)
            for k, end in enumerate(self.ends)
        }


@dataclass(frozen=True, slots=True)
class SteadyPairSampler:
    """Pairs under a continuous pump. table: fates of both photons (two_photons.py). delays_ps: of each arm to
    each end; an end that an arm does not reach has any number. lit: the fates with a click."""

    ends: tuple[str, ...]
    rate_hz: float
    table: Floats
    delays_ps: tuple[tuple[float, ...], tuple[float, ...]]
    lit: Categories

    def draw(self, start_ps: int, stop_ps: int, generator: Generator, arrivals: Arrivals) -> None:
        n = len(self.ends)
        rate_per_ps = self.rate_hz * self.lit.total * 1e-12
        times = steady_times(rate_per_ps, float(stop_ps - start_ps), generator)
        if not len(times):
            return
        goals = np.divmod(self.lit.draw(len(times), generator), np.int16(n + 1))
        for goal, delays_ps in zip(goals, self.delays_ps, strict=True):
            for k, end in enumerate(self.ends):
                fired = np.flatnonzero(goal == k)
                if len(fired):
                    arrivals[end].append(times[fired] + delays_ps[k])

    def rates(self) -> dict[str, Rate]:
        n = len(self.ends)
        clicks = self.table[:n, :].sum(axis=1) + self.table[:, :n].sum(axis=0)
        return {end: Rate(0.0, 0.0, self.rate_hz * float(clicks[k])) for k, end in enumerate(self.ends)}


@dataclass(frozen=True, slots=True)
class SteadySampler:
    """Darks, noise and continuous lasers: each end by itself. rates_hz: by end."""

    rates_hz: Mapping[str, float]

    def draw(self, start_ps: int, stop_ps: int, generator: Generator, arrivals: Arrivals) -> None:
        for end, rate_hz in self.rates_hz.items():
            times = steady_times(rate_hz * 1e-12, float(stop_ps - start_ps), generator)
            if len(times):
                arrivals[end].append(times)

    def rates(self) -> dict[str, Rate]:
        return {end: Rate(0.0, 0.0, rate_hz) for end, rate_hz in self.rates_hz.items()}


@dataclass(frozen=True, slots=True)
class LaserPulseSampler:
    """Coherent pulses: ends click independently. means: detected photons per pulse by end."""

    means: Mapping[str, float]
    delays_ps: Mapping[str, float]
    period_ps: int
    offset_ps: float

    def draw(self, start_ps: int, stop_ps: int, generator: Generator, arrivals: Arrivals) -> None:
        count, first_ps = first_pulse(start_ps, stop_ps, self.period_ps, self.offset_ps)
        for end, mean in self.means.items():
            pulses = lucky_pulses(count, -expm1(-mean), generator)
            if len(pulses):
                arrivals[end].append(pulse_times(pulses, self.period_ps, first_ps + self.delays_ps[end]))

    def rates(self) -> dict[str, Rate]:
        return {end: Rate(-expm1(-mean), float(self.period_ps), 0.0) for end, mean in self.means.items()}
