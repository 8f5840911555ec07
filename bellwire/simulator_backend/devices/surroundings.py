"""What an emulated instrument can touch and feel: knobs of the hidden world, gauges, time tags.

Owns the port between device models and the World of photons, and the surroundings of a device that stands
alone. Device models name what they need by roles of their own (`"pump_mw"`, `"power_w"`); the wiring of a
lab says which knob or gauge of the World that is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Surroundings(Protocol):
    """The World as devices meet it. Times are unix nanoseconds."""

    def turn(self, knob: str, value: float, now_ns: int) -> None:
        """A device changed something: pump power, temperature, position."""
        ...

    def gauge(self, name: str, now_ns: int) -> float:
        """A physical quantity at a device: power on a sensor, expected rate of a detector."""
        ...

    def tags(
        self, channels: Sequence[str], start_ns: int, stop_ns: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        """Time tags of [start, stop): time in ps after `start_ns`, not falling, and the index in `channels`.

        Whoever asks twice for the same interval gets the same tags.
        """
        ...


@dataclass(slots=True)
class Alone:
    """Surroundings of a device on an empty table: gauges follow the knobs of the same name, else `values`;
    `rates_hz` are Poissonian clicks.
    """

    values: dict[str, float] = field(default_factory=dict[str, float])
    rates_hz: Mapping[str, float] = field(default_factory=dict[str, float])
    seed: int = 0

    def turn(self, knob: str, value: float, now_ns: int) -> None:
        self.values[knob] = value

    def gauge(self, name: str, now_ns: int) -> float:
        return self.values.get(name, self.rates_hz.get(name, 0.0))

    def tags(
        self, channels: Sequence[str], start_ns: int, stop_ns: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        import numpy as np

        # One generator for each millisecond, so that the same interval has the same tags whoever asks.
        times: list[NDArray[np.int64]] = []
        numbers: list[NDArray[np.int16]] = []
        for index, channel in enumerate(channels):
            rate_hz = self.rates_hz.get(channel, 0.0)
            if rate_hz <= 0:
                continue
            for cell in range(start_ns // CELL_NS, -(-stop_ns // CELL_NS)):
                chance = np.random.default_rng([self.seed, cell, _number(channel)])
                count = int(chance.poisson(rate_hz * CELL_NS / 1e9))
                at_ps = chance.integers(0, CELL_NS * 1000, count) + (cell * CELL_NS - start_ns) * 1000
                at_ps = at_ps[(at_ps >= 0) & (at_ps < (stop_ns - start_ns) * 1000)]
                times.append(at_ps)
                numbers.append(np.full(len(at_ps), index, np.int16))
        if not times:
            return np.empty(0, np.int64), np.empty(0, np.int16)
        at_ps, number = np.concatenate(times), np.concatenate(numbers)
        order = np.argsort(at_ps, kind="stable")
        return at_ps[order], number[order]


CELL_NS = 1_000_000


def _number(channel: str) -> int:
    return int.from_bytes(channel.encode()[-8:], "big")


@dataclass(frozen=True, slots=True)
class Wiring:
    """Which knob, gauge or channel of the World stands for a device's own word.

    Words that `names` leaves out go to `elsewhere`, the empty table of a device of which only some cables
    lead into the World; None: they stand for themselves (a device that stands alone).
    """

    surroundings: Surroundings
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    elsewhere: Surroundings | None = None

    def turn(self, word: str, value: float, now_ns: int) -> None:
        """Turn the knob behind a device's word."""
        where, name = self._behind(word)
        where.turn(name, value, now_ns)

    def gauge(self, word: str, now_ns: int) -> float:
        """Look at the gauge behind a device's word."""
        where, name = self._behind(word)
        return where.gauge(name, now_ns)

    def tags(
        self, words: Sequence[str], start_ns: int, stop_ns: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        """Tags of the channels behind a device's words; no light reaches a channel that leads elsewhere."""
        import numpy as np

        lit = [index for index, word in enumerate(words) if self.elsewhere is None or word in self.names]
        if not lit:
            return np.empty(0, np.int64), np.empty(0, np.int16)
        named = [self._behind(words[index])[1] for index in lit]
        at_ps, number = self.surroundings.tags(named, start_ns, stop_ns)
        return at_ps, np.asarray(lit, np.int16)[number]

    def _behind(self, word: str) -> tuple[Surroundings, str]:
        if word in self.names or self.elsewhere is None:
            return self.surroundings, self.names.get(word, word)
        return self.elsewhere, word
