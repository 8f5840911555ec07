"""Which datagrams a node marks: a proportional-integral controller of its queue (algorithms.md 6.1, AQM).

Owns the design of the two gains and the marking probability. Refuses chance: the caller compares the
probability with a number drawn from names.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Final

from bellwire.core.errors import LocalMisuse
from bellwire.core.units import NS_PER_S

SAMPLES_PER_RADIAN: Final = 100
"""The queue is looked at this often in 1/w."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkingDesign:
    """The loop that the controller is made for: round trip, capacity, flows and wanted queue."""

    round_trip_s: float = 0.05
    capacity_hz: float = 4000.0  # datagrams that a node serves
    flows: int = 4
    queue: float = 5.0  # datagrams that may wait

    def __post_init__(self) -> None:
        if self.radians_hz >= 0.05 / self.round_trip_s:
            raise LocalMisuse(
                f"the loop crosses over at {self.radians_hz:g}/s, allowed is less than "
                f"{0.05 / self.round_trip_s:g}/s: design for a larger capacity or fewer flows"
            )

    @property
    def radians_hz(self) -> float:
        """w: where the loop crosses over, rad/s."""
        return 2.0 * self.flows / (self.round_trip_s**2 * self.capacity_hz)

    @property
    def sample_ns(self) -> int:
        """Time between two looks at the queue."""
        return round(NS_PER_S / (SAMPLES_PER_RADIAN * self.radians_hz))

    @property
    def gain_now(self) -> float:
        """a: weight of the queue as it is."""
        turn = self.radians_hz * self.round_trip_s
        loop = (self.round_trip_s * self.capacity_hz) ** 3 / (2.0 * self.flows) ** 2
        return 100.0 * sqrt(1.0 + turn * turn) / loop

    @property
    def gain_before(self) -> float:
        """b: weight of the queue as it was one sample ago."""
        return self.gain_now * (1.0 - self.radians_hz * self.sample_ns / NS_PER_S)


class Marker:
    """The probability with which datagrams of one node and direction are marked."""

    def __init__(self, design: MarkingDesign) -> None:
        self.design = design
        self.probability = 0.0
        self._before = 0

    def look(self, waiting: int) -> None:
        """One sample: so many datagrams wait."""
        design = self.design
        change = design.gain_now * (waiting - design.queue) - design.gain_before * (
            self._before - design.queue
        )
        self.probability = min(1.0, max(0.0, self.probability + change))
        self._before = waiting
