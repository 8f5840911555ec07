"""One realisation of all tags of a bench, taken piece by piece.

Owns the order of time: light is made block by block, each at one setting; turns of knobs wait for their
moment; what is still on its way when a block ends arrives in a later one. Refuses the laws of light.

A block ends where the caller's piece ends, at a turn of a knob, at a step of the drift, or after BLOCK_PS.
The same seed and the same calls give the same tags; other pieces give other tags of the same law.
Light meets every component as it stands when the light is emitted: behind a long fibre a bias acts late by
the time of flight. Only latching stops clicks at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.photons.clicks import ClickTrain
from bellwire.simulator_backend.photons.light import samplers
from bellwire.simulator_backend.photons.optics import Optics
from bellwire.simulator_backend.photons.samplers import Arrivals
from bellwire.simulator_backend.photons.weather import STEP_NS

BLOCK_PS: Final = 10_000_000_000
"""Longest block, 10 ms: its arrays stay in the cache at 1 Mcps per channel."""

PIECE_PS: Final = 2 * BLOCK_PS
"""Tags are merged in pieces of this length, while they are in the cache."""

TAGS_MAX: Final = 100_000_000
"""Expected tags of one call (0.9 GB)."""

TURNS_MAX: Final = 10_000
"""Turns that wait for the stream; beyond it the oldest happens at once (`turns_early`)."""

BLINDING_HZ: Final = 5e8
"""Clicks per second that no detector follows: it latches before they are drawn."""

CHANNEL_BITS: Final = 7


class Tags(NamedTuple):
    """Time tags in order of time. time_ps: int64, from the epoch of the bench. channel: int16."""

    time_ps: NDArray[np.int64]
    channel: NDArray[np.int16]


class _Turn(NamedTuple):
    at_ps: int
    part: str
    knob: str
    value: float


class TagStream:
    """Tags of one bench. counters: `turns_early`, `gaps` (the reader left a time out). latched_ps: when each
    detector latched that still is."""

    def __init__(self, optics: Optics, generator: Generator) -> None:
        self._optics = optics
        self._generator = generator
        self._turns: deque[_Turn] = deque()
        self._trains = {name: ClickTrain(part, generator) for name, part in optics.detectors().items()}
        self._waiting: dict[str, list[NDArray[np.int64]]] = {name: [] for name in self._trains}
        self._lit_ps = 0
        self._taken_ps: int | None = None
        self.counters = {"turns_early": 0, "gaps": 0}
        self.latched_ps: dict[str, int] = {}

    def turn(self, at_ps: int, part: str, knob: str, value: float) -> None:
        """Set a knob for light that is emitted from then on; at the earliest for what is not yet drawn."""
        if len(self._turns) >= TURNS_MAX:
            self.counters["turns_early"] += 1
            self._apply(self._turns.popleft())
        self._turns.append(_Turn(at_ps, part, knob, value))

    def take(self, start_ps: int, stop_ps: int) -> Tags:
        """All tags in [start_ps, stop_ps).

        Raises:
            LocalMisuse: times go backwards, or more than TAGS_MAX tags are expected.
        """
        if stop_ps < start_ps or start_ps < 0:
            raise LocalMisuse(f"tags from {start_ps} to {stop_ps} ps: time goes on, from 0")
        if self._taken_ps is not None and start_ps < self._taken_ps:
            raise LocalMisuse(f"tags from {start_ps} ps: they were taken up to {self._taken_ps} ps already")
        if self._taken_ps is None or start_ps > self._taken_ps:
            self._begin(start_ps)
        self._refuse_floods(stop_ps - start_ps)
        ahead_ps = int(max((train.reach_ps for train in self._trains.values()), default=0.0)) + 1
        pieces: list[Tags] = []
        while start_ps < stop_ps or not pieces:
            piece_ps = min(start_ps + PIECE_PS, stop_ps)
            while self._lit_ps < piece_ps + ahead_ps:
                self._advance(piece_ps + ahead_ps)
            pieces.append(self._merged(start_ps, piece_ps))
            start_ps = self._taken_ps = piece_ps
        if len(pieces) == 1:
            return pieces[0]
        return Tags(
            np.concatenate([piece.time_ps for piece in pieces]),
            np.concatenate([piece.channel for piece in pieces]),
        )

    def _begin(self, start_ps: int) -> None:
        """Start where light that arrives at start_ps was emitted."""
        if self._taken_ps is not None:
            self.counters["gaps"] += 1
        for train in self._trains.values():
            train.forget()
        for waiting in self._waiting.values():
            waiting.clear()
        self._apply_turns(start_ps)
        self._optics.at_age(start_ps // 1000)
        flights_ps = [
            way.delay_ps
            for source, part in self._optics.sources().items()
            for output in part.outputs
            for ways in self._optics.arm(source, output).ends.values()
            for way in ways
        ]
        self._lit_ps = start_ps - int(max(flights_ps, default=0.0)) - BLOCK_PS // 10

    def _refuse_floods(self, span_ps: int) -> None:
        rates = (rate_hz for _, rate_hz in self._raw_rates() if rate_hz <= BLINDING_HZ)
        expected = span_ps * 1e-12 * sum(rates)
        if expected > TAGS_MAX:
            raise LocalMisuse(
                f"{expected:.2g} tags in one call; the limit is {TAGS_MAX}: take shorter pieces"
            )

    def _raw_rates(self) -> Iterator[tuple[str, float]]:
        rates: dict[str, float] = dict.fromkeys(self._trains, 0.0)
        for sampler in samplers(self._optics):
            for end, rate in sampler.rates().items():
                pulsed_hz = rate.pulse_clicks / rate.period_ps * 1e12 if rate.pulse_clicks > 0.0 else 0.0
                rates[end] += rate.steady_hz + pulsed_hz
        yield from rates.items()

    def _advance(self, until_ps: int) -> None:
        start_ps = self._lit_ps
        self._apply_turns(start_ps)
        self._optics.at_age(start_ps // 1000)
        stop_ps = min(until_ps, start_ps + BLOCK_PS)
        if self._optics.weather.moving:
            step_ps = STEP_NS * 1000
            stop_ps = min(stop_ps, (start_ps // step_ps + 1) * step_ps)
        if self._turns:
            stop_ps = min(stop_ps, max(start_ps + 1, self._turns[0].at_ps))
        for end, raw_hz in list(self._raw_rates()):
            if raw_hz > BLINDING_HZ:
                self._trains[end].latched = True
                self._latch(end, start_ps)
        arrivals: Arrivals = {name: [] for name in self._trains}
        for sampler in samplers(self._optics):
            sampler.draw(start_ps, stop_ps, self._generator, arrivals)
        length_ps = float(stop_ps - start_ps)
        for name, train in self._trains.items():
            pieces = arrivals[name]
            came = np.concatenate(pieces) if len(pieces) > 1 else pieces[0] if pieces else np.empty(0)
            tags = np.rint(train.take(came, length_ps)).astype(np.int64)
            tags += start_ps
            if len(tags):
                self._waiting[name].append(tags)
            if train.latched and name not in self._optics.latched:
                self._latch(name, stop_ps)
        self._lit_ps = stop_ps

    def _latch(self, detector: str, at_ps: int) -> None:
        self._optics.latch(detector)
        self.latched_ps[detector] = at_ps

    def _apply_turns(self, now_ps: int) -> None:
        while self._turns and self._turns[0].at_ps <= now_ps:
            self._apply(self._turns.popleft())

    def _apply(self, turn: _Turn) -> None:
        self._optics.turn(turn.part, turn.knob, turn.value)
        train = self._trains.get(turn.part)
        if train is None:
            return
        if turn.part in self._optics.latched:
            train.latched = True
            self.latched_ps.setdefault(turn.part, turn.at_ps)
        elif train.latched:
            train.reset()
            del self.latched_ps[turn.part]

    def _merged(self, start_ps: int, stop_ps: int) -> Tags:
        keys = []
        for name, waiting in self._waiting.items():
            if not waiting:
                continue
            times = waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
            waiting.clear()
            later = times >= stop_ps
            if later.any():
                waiting.append(times[later])
                times = times[~later]
            channel = self._optics.detectors()[name].channel
            times = times[times >= start_ps] if len(times) and times.min() < start_ps else times
            keys.append(((times - start_ps) << CHANNEL_BITS) | channel)
        merged = np.concatenate(keys) if keys else np.empty(0, dtype=np.int64)
        merged.sort()
        return Tags(
            (merged >> CHANNEL_BITS) + start_ps, (merged & ((1 << CHANNEL_BITS) - 1)).astype(np.int16)
        )
