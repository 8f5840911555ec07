"""The World as an instrument with a clock of its own meets it: all its times are those of that clock.

Owns the translation both ways at the border of one instrument. Refuses to know the instrument: it is told the
time by its clock, and asks for tags in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from bellwire.simulator_backend.devices.surroundings import Surroundings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLOCK: Final = "clock"
"""The word of a wiring that names the clock of an instrument."""

CLOCKED: Final = ("idq_id900", "idq_id1000", "fpga_tagger", "qubitekk_cc1")
"""Drivers whose emulated instrument can have a clock of its own."""

PS_PER_NS = 1_000


class OwnClock(Protocol):
    """A clock that runs by itself (`photons.clock.RunningClock`). Ages in ps from `epoch_ns`."""

    epoch_ns: int

    @property
    def reach_ps(self) -> int: ...

    def shown_ns(self, unix_ns: int) -> int: ...

    def true_ns(self, shown_ns: int) -> int: ...

    def true_ps(self, shown_ps: int) -> int: ...

    def moment_ps(self, age_ps: int) -> int: ...

    def tagged_ps(self, ages_ps: NDArray[np.int64], channel: str) -> NDArray[np.int64]: ...


class ByOwnClock:
    """Surroundings in the time of an instrument's clock, over those in true time."""

    def __init__(self, beneath: Surroundings, own: OwnClock) -> None:
        self._beneath = beneath
        self._own = own

    def turn(self, knob: str, value: float, now_ns: int) -> None:
        """Turn a knob now."""
        self._beneath.turn(knob, value, self._own.true_ns(now_ns))

    def gauge(self, name: str, now_ns: int) -> float:
        """Look at a gauge now."""
        return self._beneath.gauge(name, self._own.true_ns(now_ns))

    def tags(
        self, channels: Sequence[str], start_ns: int, stop_ns: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        """Tags of [start, stop) by the clock; see `Surroundings.tags`. Pieces that join share no tag."""
        import numpy as np

        own = self._own
        start_ps, stop_ps = ((each - own.epoch_ns) * PS_PER_NS for each in (start_ns, stop_ns))
        from_ns = own.epoch_ns + (own.true_ps(start_ps) - own.reach_ps) // PS_PER_NS - 1
        to_ns = own.epoch_ns + (own.true_ps(stop_ps) + own.reach_ps) // PS_PER_NS + 2
        found, number = self._beneath.tags(channels, from_ns, to_ns)
        ages_ps = found + (from_ns - own.epoch_ns) * PS_PER_NS
        times: list[NDArray[np.int64]] = []
        numbers: list[NDArray[np.int16]] = []
        for index, channel in enumerate(channels):
            tags = own.tagged_ps(ages_ps[number == index], channel)
            tags = tags[np.searchsorted(tags, start_ps) : np.searchsorted(tags, stop_ps)] - start_ps
            times.append(tags)
            numbers.append(np.full(len(tags), index, np.int16))
        at_ps, which = np.concatenate(times), np.concatenate(numbers)
        order = np.argsort(at_ps, kind="stable")
        return at_ps[order], which[order]
