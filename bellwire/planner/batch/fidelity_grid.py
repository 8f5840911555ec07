"""Fidelities as levels of a grid, and what swaps and purification rounds make of levels (algorithms.md 2.3).

Owns the grid and its arithmetic: every result is rounded down to the grid, so that a level never promises
more than a pair has. Refuses networks. Werner states are assumed between the steps, and BBPSSW in the rounds.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Final, NamedTuple

from bellwire.core.bell import werner
from bellwire.planner.assessment import purification

MIXED: Final = 0.25
"""Fidelity of the fully mixed state, which every pair reaches at worst."""

ALIKE: Final = 1e-12
"""Fidelities nearer than this are one: sums of steps are not exact."""

Gates = tuple[tuple[float, float], tuple[float, float]]
"""Fidelities of the CNOT and of the measurement at the two ends of a purification round."""


class Round(NamedTuple):
    """What a purification round makes of two levels."""

    level: int
    success_probability: float


class FidelityGrid:
    """Levels 1, 2, ... stand for the values of the grid in rising order, level 0 for any fidelity at all.

    The grid has all multiples of `step` above 1/4, and `exact` values beside them: the limits of requests and
    the fidelities of links, which rounding then does not touch.
    """

    def __init__(self, step: float, exact: Iterable[float] = ()) -> None:
        count = int(1.0 / step + ALIKE)
        values = sorted({*(step * index for index in range(1, count + 1)), 1.0, *exact})
        self.step = step
        self.values: list[float] = []
        for value in values:
            if value > MIXED and (not self.values or value - self.values[-1] > ALIKE):
                self.values.append(value)
        self._werner = [0.0, *((4.0 * value - 1.0) / 3.0 for value in self.values)]
        self._swaps: dict[tuple[int, int, float], int] = {}
        self._needs: dict[tuple[int, int, float], int] = {}
        self._rounds: dict[tuple[int, int, Gates], Round] = {}
        self._inputs: dict[tuple[int, int, Gates], int] = {}

    @property
    def above(self) -> int:
        """A level that nothing reaches."""
        return len(self.values) + 1

    def level(self, fidelity: float) -> int:
        """The highest level that promises no more than a fidelity."""
        return bisect_right(self.values, fidelity + ALIKE)

    def least(self, fidelity: float | None) -> int:
        """The lowest level that keeps a limit; 0 for none and for limits that every Werner state keeps."""
        if fidelity is None or fidelity <= MIXED:
            return 0
        return bisect_left(self.values, fidelity - ALIKE) + 1

    def fidelity(self, level: int) -> float:
        """What a level promises, 1/4..1."""
        return self.values[level - 1] if level else MIXED

    def swapped(self, one: int, other: int, noise: float) -> int:
        """Level after a swap of two levels; noise: Werner parameter of the swap."""
        key = (one, other, noise) if one <= other else (other, one, noise)
        found = self._swaps.get(key)
        if found is None:
            w = self._werner[one] * self._werner[other] * noise
            found = self._swaps[key] = self.level((1.0 + 3.0 * w) / 4.0) if w > 0.0 else 0
        return found

    def swap_input(self, partner: int, product: int, noise: float) -> int:
        """The lowest level whose swap with `partner` makes at least `product`; `above` when none does."""
        key = (partner, product, noise)
        found = self._needs.get(key)
        if found is None:
            levels = range(self.above)
            found = bisect_left(levels, product, key=lambda level: self.swapped(level, partner, noise))
            self._needs[key] = found
        return found

    def purified(self, kept: int, measured: int, gates: Gates) -> Round:
        """Level and success probability of a round on two levels."""
        key = (kept, measured, gates)
        found = self._rounds.get(key)
        if found is None:
            done = purification(
                werner(self.fidelity(kept)),
                werner(self.fidelity(measured)),
                "bbpssw",
                gate_fidelities=gates[0],
                readout_fidelities=gates[1],
            )
            found = self._rounds[key] = Round(self.level(done.state[0]), done.success_probability)
        return found

    def round_input(self, best: int, product: int, gates: Gates) -> int:
        """The lowest level that one round, with a partner of at most `best`, lifts to at least `product`.

        Not above `product`, which needs no round. A round counts only when it lifts both its inputs.
        """
        key = (best, product, gates)
        found = self._inputs.get(key)
        if found is None:
            found = product
            while found > 1 and self._lifts(found - 1, best, product, gates):
                found -= 1
            self._inputs[key] = found
        return found

    def _lifts(self, level: int, best: int, product: int, gates: Gates) -> bool:
        for partner in range(best, 0, -1):
            result = self.purified(max(level, partner), min(level, partner), gates).level
            if result < product:
                return False  # worse partners make less
            if result > max(level, partner):
                return True
        return False
