"""The clock of a tagger: how far it is ahead of true time, what becomes of tags by that; pulses per second.

Owns the hidden truth of a clock (offset, rate, its wander, jitter of a tag) and of a pulse per second, and
the one realisation that follows from a seed. Refuses instruments: whoever has such a clock is told its time.

Ages are ps since the bench was built, in true time or in the time of the clock; both count from one epoch in
unix ns, so that a clock without error shows unix time.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Final, TypeAlias

import numpy as np
from numpy.random import SeedSequence, default_rng
from numpy.typing import NDArray

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.simulator_backend.photons.elements import Gauge, Plain

Integers: TypeAlias = NDArray[np.int64]

PS_PER_NS: Final = 1_000
PS_PER_S: Final = 1_000_000_000_000

STEP_PS: Final = 100_000_000_000
"""Step of the walk of a rate, 0.1 s; the rate is constant in between."""

STEPS_MAX: Final = 100_000_000
"""Longest walk (116 days): a walk has to be walked, and is kept."""

OFFSET_PS_MAX: Final = 1_000 * PS_PER_S
RATE_PPB_MAX: Final = 1e6
JITTER_MAX_SIGMA: Final = 6.0
"""Jitter is cut here, so that a tag has a latest time."""

_BLOCK: Final = 4096
_APPROACHES: Final = 4


class Keeper(Plain):
    """Base of what light does not touch."""

    __slots__ = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        return ()

    @property
    def outputs(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock(Keeper):
    """The oscillator that a tagger runs on; the wiring of the tagger names it.

    offset_ps: ahead of true time when the bench is built. rate_ppb: fast by so much (2 ppm: 2000).
    wander_ppb_per_root_s: rms change of the rate in one second, a random walk. walk_ps_per_root_s: rms of
    what the offset gains in one second beside that, white noise of frequency. jitter_ps: rms of each tag, by
    itself.
    """

    offset_ps: int = 0
    rate_ppb: float = 0.0
    wander_ppb_per_root_s: float = 0.0
    walk_ps_per_root_s: float = 0.0
    jitter_ps: float = 0.0

    def __post_init__(self) -> None:
        if abs(self.offset_ps) > OFFSET_PS_MAX or abs(self.rate_ppb) > RATE_PPB_MAX:
            raise ConfigError(
                f"clock: offset_ps {self.offset_ps} is limited to {OFFSET_PS_MAX:g}, "
                f"rate_ppb {self.rate_ppb} to {RATE_PPB_MAX:g}"
            )
        if min(self.wander_ppb_per_root_s, self.walk_ps_per_root_s, self.jitter_ps) < 0.0:
            raise ConfigError(
                "clock: wander_ppb_per_root_s, walk_ps_per_root_s and jitter_ps must not be below 0"
            )

    @property
    def steady(self) -> bool:
        """Whether it keeps its rate."""
        return self.wander_ppb_per_root_s == 0.0 and self.walk_ps_per_root_s == 0.0

    def gauges(self) -> tuple[Gauge, ...]:
        return (
            Gauge("lead_ps", "ps", "how far it is ahead of true time", hidden=True),
            Gauge("rate_ppb", "ppb", "how fast it is now", hidden=True),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PulsePerSecond(Keeper):
    """A pulse at each unix second, as a GPS receiver or a White Rabbit node gives it; an input whose wiring
    names it sees its edges.

    offset_ps: late by this, cable included. jitter_ps: rms of each pulse, by itself.
    """

    offset_ps: int = 0
    jitter_ps: float = 0.0

    def __post_init__(self) -> None:
        if abs(self.offset_ps) >= PS_PER_S // 4 or not 0.0 <= self.jitter_ps < 1e9:
            raise ConfigError(
                f"pps: offset_ps {self.offset_ps} must lie within a quarter of a second, jitter_ps "
                f"{self.jitter_ps} in 0..1e9"
            )

    def edges(self, epoch_ns: int, start_ps: int, stop_ps: int, key: int) -> Integers:
        """Edges in [start, stop) as true ages from the epoch, in order. The same key gives the same edges."""
        reach_ps = abs(self.offset_ps) + int(JITTER_MAX_SIGMA * self.jitter_ps) + 1
        epoch_ps = epoch_ns * PS_PER_NS
        first = -(-(epoch_ps + start_ps - reach_ps) // PS_PER_S)
        past = (epoch_ps + stop_ps + reach_ps) // PS_PER_S + 1
        ages = np.array([second * PS_PER_S - epoch_ps for second in range(first, past)], np.int64)
        late = np.rint(self.jitter_ps * _normals(ages, key)).astype(np.int64)
        edges = np.sort(ages + self.offset_ps + late)
        return edges[(edges >= start_ps) & (edges < stop_ps)]


class RunningClock:
    """One clock as it runs. The same clock, seed and epoch give the same time, whoever asks and how often."""

    def __init__(self, clock: Clock, epoch_ns: int, seed: SeedSequence) -> None:
        wander, jitter, white = SeedSequence(entropy=seed.entropy, spawn_key=seed.spawn_key).spawn(3)
        self.epoch_ns = epoch_ns
        self._clock = clock
        self._wander, self._white = default_rng(wander), default_rng(white)
        self._key = int(jitter.generate_state(1, np.uint64)[0])
        self._rate = clock.rate_ppb * 1e-9
        # Rate of each step, and the lead at its beginning. The walk of the rate goes on from where it was.
        self._walked = self._rate
        self._rates = np.array([self._rate])
        self._leads = np.array([float(clock.offset_ps)])

    # -- true time to the time of the clock -----------------------------------------------------------------

    def lead_ps(self, ages_ps: Integers) -> NDArray[np.float64]:
        """How far the clock is ahead at true ages."""
        if self._clock.steady:
            return np.asarray(self._clock.offset_ps + self._rate * ages_ps, dtype=np.float64)
        steps = np.maximum(ages_ps // STEP_PS, 0)  # before the beginning it ran as at the beginning
        self._walk_to(int(steps.max(initial=0)))
        since_ps = ages_ps - steps * STEP_PS
        return np.asarray(self._leads[steps] + self._rates[steps] * since_ps, dtype=np.float64)

    def rate_ppb(self, age_ps: int) -> float:
        """How fast it is at a true age."""
        if self._clock.steady:
            return self._clock.rate_ppb
        step = max(age_ps // STEP_PS, 0)
        self._walk_to(step)
        return float(self._rates[step]) * 1e9

    def shown_ps(self, ages_ps: Integers) -> Integers:
        """What the clock shows at true ages, to the nearest ps."""
        return ages_ps + np.rint(self.lead_ps(ages_ps)).astype(np.int64)

    def shown_ns(self, unix_ns: int) -> int:
        """Unix time in ns as this clock shows it, rounded down."""
        return self.epoch_ns + self.moment_ps((unix_ns - self.epoch_ns) * PS_PER_NS) // PS_PER_NS

    def moment_ps(self, age_ps: int) -> int:
        """One of `shown_ps`."""
        return int(self.shown_ps(np.array([age_ps], np.int64))[0])

    def tagged_ps(self, ages_ps: Integers, channel: str) -> Integers:
        """Tags of clicks at true ages, sorted: in the time of the clock, with the jitter of its tagger.

        The jitter of a tag follows from its time and its channel, so that whoever looks again sees it again.
        """
        tags = self.shown_ps(ages_ps)
        if self._clock.jitter_ps > 0.0:
            key = self._key ^ int.from_bytes(channel.encode()[-8:], "big")
            tags = np.sort(tags + np.rint(self._clock.jitter_ps * _normals(ages_ps, key)).astype(np.int64))
        return tags

    # -- and back -------------------------------------------------------------------------------------------

    @property
    def reach_ps(self) -> int:
        """A tag stands no farther than this from what the clock showed at the click."""
        return int(JITTER_MAX_SIGMA * self._clock.jitter_ps) + 1

    def true_ps(self, shown_ps: int) -> int:
        """True age at which the clock shows an age, to about a ps."""
        age_ps = shown_ps
        for _ in range(_APPROACHES):
            age_ps = shown_ps - round(float(self.lead_ps(np.array([age_ps], np.int64))[0]))
        return age_ps

    def true_ns(self, shown_ns: int) -> int:
        """Unix ns at which the clock shows a time, rounded down."""
        return self.epoch_ns + self.true_ps((shown_ns - self.epoch_ns) * PS_PER_NS) // PS_PER_NS

    def _walk_to(self, step: int) -> None:
        if step >= STEPS_MAX:
            raise LocalMisuse(f"a clock of {step} steps; its walk is limited to {STEPS_MAX}")
        if step < len(self._rates):
            return
        # The walk grows by at least what it is long, in whole blocks.
        blocks = -(-max(step + 1 - len(self._rates), len(self._rates)) // _BLOCK)
        step_s = STEP_PS / PS_PER_S
        wander = self._clock.wander_ppb_per_root_s * 1e-9 * sqrt(step_s)
        white = self._clock.walk_ps_per_root_s / PS_PER_S / sqrt(step_s)
        all_rates, all_leads = [self._rates], [self._leads]
        for _ in range(blocks):  # block by block, so that the last digit does not depend on who asked when
            last_rate, last_lead = all_rates[-1][-1], all_leads[-1][-1]
            walked = self._walked + np.cumsum(self._wander.normal(0.0, wander, _BLOCK))
            self._walked = float(walked[-1])
            rates = walked + self._white.normal(0.0, white, _BLOCK)
            before = np.concatenate(([last_rate], rates[:-1]))
            all_rates.append(rates)
            all_leads.append(last_lead + np.cumsum(before) * STEP_PS)
        self._rates, self._leads = np.concatenate(all_rates), np.concatenate(all_leads)


def _normals(numbers: Integers, key: int) -> NDArray[np.float64]:
    """A standard normal number for each number, cut at JITTER_MAX_SIGMA: always the same for the same key.

    Two words of splitmix64 (Steele, Lea, Flood 2014) by Box and Muller.
    """
    keyed = numbers.astype(np.uint64) ^ np.uint64(key & (2**64 - 1))
    mixed = _mixed(_mixed(keyed))
    first = (_mixed(mixed) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    second = (_mixed(mixed ^ np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    normal = np.sqrt(-2.0 * np.log1p(-first)) * np.cos(2.0 * np.pi * second)
    return np.asarray(np.clip(normal, -JITTER_MAX_SIGMA, JITTER_MAX_SIGMA), dtype=np.float64)


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):  # arithmetic of 64 bits goes round
        words = words + np.uint64(0x9E3779B97F4A7C15)
        words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def named_key(seed: SeedSequence, name: str) -> SeedSequence:
    """The chance of one component by its name: the other components do not change it."""
    words = tuple(name.encode())
    return SeedSequence(entropy=seed.entropy, spawn_key=(*seed.spawn_key, len(words), *words))
