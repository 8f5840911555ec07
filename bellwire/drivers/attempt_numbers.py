"""Numbers of attempts where a sequencer makes only some of them: its own, and those of the network.

Owns the translation. A device numbers from 0 the attempts that it makes; the network numbers every period
from the start of the run, made or not. Refuses to know time, lanes and devices: a number is a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from bellwire.core.errors import LocalMisuse


@dataclass(frozen=True, slots=True)
class AttemptNumbers:
    """Which periods of a cycle are made: `windows` (first, count), in order and apart; the run begins with
    a cycle, and cycles of `cycle` periods repeat for ever.

    Raises LocalMisuse for windows that overlap, are empty, or leave the cycle.
    """

    cycle: int
    windows: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        apart = all(first + count <= later for (first, count), (later, _) in pairwise(self.windows))
        if (
            not self.windows
            or not apart
            or self.windows[0][0] < 0
            or sum(self.windows[-1]) > self.cycle
            or any(count < 1 for _, count in self.windows)
        ):
            raise LocalMisuse(f"windows {self.windows} do not lie apart in a cycle of {self.cycle} periods")

    @property
    def made_in_cycle(self) -> int:
        """Periods of a cycle that are made."""
        return sum(count for _, count in self.windows)


def network_number(numbers: AttemptNumbers, made: int) -> int:
    """Of the attempt that the device numbers `made`, from 0."""
    cycle, within = divmod(made, numbers.made_in_cycle)
    for first, count in numbers.windows:
        if within < count:
            return cycle * numbers.cycle + first + within
        within -= count
    raise AssertionError("windows hold all that is made in a cycle")


def made_before(numbers: AttemptNumbers, number: int) -> int:
    """How many attempts the device makes before the network's `number`; where that one is made, it is the
    device's number of it."""
    cycle, within = divmod(number, numbers.cycle)
    inside = sum(min(count, max(0, within - first)) for first, count in numbers.windows)
    return cycle * numbers.made_in_cycle + inside


def decided_to(numbers: AttemptNumbers, made: int) -> int:
    """The network's bound when the device has decided everything up to `made` (-1: nothing): the pause that
    follows is decided too, because nothing is made in it. -1 when not even the first period is."""
    return network_number(numbers, made + 1) - 1


def lost_range(numbers: AttemptNumbers, first: int, last: int) -> tuple[int, int]:
    """The least range of the network that holds what the device lost from `first` to `last`; pauses within
    it hold nothing that could be lost."""
    return network_number(numbers, first), network_number(numbers, last)
