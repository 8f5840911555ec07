"""Counts of test rounds: how often both ends measured in a basis, and how often the bits did not fit.

Owns the three bases, what the bits of a perfect pair would be, and the counting. Refuses what follows from
the counts (intervals.py, beliefs.py, drift.py).

A test in basis k is an error when the XOR of the two bits differs from that of the heralded Bell state. For a
Bell-diagonal state with eigenvalues lambda_k relative to its frame the chance of an error is
(1 - lambda_k c)/2, where c, the contrast, is what storage until the measurement and the readout of both ends
leave of the correlation.
"""

from dataclasses import dataclass, field
from math import exp
from typing import Final, Literal

from bellwire.core.bell import COST_UNIT_PER_NEPER, Cost

BASES: Final[tuple[Literal["X", "Y", "Z"], ...]] = ("X", "Z", "Y")
"""In the order of the eigenvalues lambda_1..3 = <XX>, <ZZ>, -<YY> (core/bell.py)."""

CONTRAST_MIN: Final = 0.1
"""A test that kept less than this of its correlation says next to nothing and does not count."""


def expected_parity(frame: int, basis: int) -> int:
    """XOR of the two bits (0: eigenvalue +1) of the Bell state `frame` (0..3) measured in BASES[basis]."""
    if basis == 0:
        return frame & 1
    if basis == 1:
        return frame >> 1
    return 1 ^ (frame & 1) ^ (frame >> 1)


def contrast(
    basis: int, rates: tuple[Cost, Cost], waited_ns: tuple[int, int], readout_fidelities: tuple[float, float]
) -> float:
    """What is left of the correlation in BASES[basis], 0..1.

    rates: decay of the qubit at side 0 and side 1 (2**-56 neper per ns). waited_ns: birth to measurement; a
    clock that stepped back ages nothing. readout_fidelities: chance that a bit is read as it is.
    """
    cost = sum(rate[basis] * max(0, waited) for rate, waited in zip(rates, waited_ns, strict=True))
    one, two = readout_fidelities
    return exp(-cost / COST_UNIT_PER_NEPER) * (2.0 * one - 1.0) * (2.0 * two - 1.0)


@dataclass(slots=True)
class BasisCounts:
    """Tests in one basis. `contrast_sum` is over all tests, errors or not."""

    tests: int = 0
    errors: int = 0
    contrast_sum: float = 0.0

    @property
    def contrast(self) -> float:
        """Mean contrast; 1.0 before the first test."""
        return self.contrast_sum / self.tests if self.tests else 1.0


def _three() -> tuple[BasisCounts, BasisCounts, BasisCounts]:
    return (BasisCounts(), BasisCounts(), BasisCounts())


@dataclass(slots=True)
class Counts:
    """Tests in the three bases, in the order of BASES."""

    bases: tuple[BasisCounts, BasisCounts, BasisCounts] = field(default_factory=_three)

    @property
    def tests(self) -> int:
        """Tests in all bases together."""
        return self.bases[0].tests + self.bases[1].tests + self.bases[2].tests

    def add(self, basis: int, error: bool, left: float) -> None:
        """One test in BASES[basis] of contrast `left`."""
        one = self.bases[basis]
        one.tests += 1
        one.errors += error
        one.contrast_sum += left

    def halve(self) -> None:
        """Forget half of the tests; an odd error stays, so that halving flatters no link."""
        for one in self.bases:
            mean = one.contrast
            one.tests, one.errors = one.tests - one.tests // 2, one.errors - one.errors // 2
            one.contrast_sum = mean * one.tests

    def without(self, other: "Counts") -> "Counts":
        """What is left when another's tests are taken away; where half of ours was forgotten, at least
        none."""
        left = Counts()
        for mine, theirs, one in zip(self.bases, other.bases, left.bases, strict=True):
            one.tests = max(0, mine.tests - theirs.tests)
            one.errors = min(one.tests, max(0, mine.errors - theirs.errors))
            one.contrast_sum = mine.contrast * one.tests
        return left

    def join(self, other: "Counts") -> None:
        """Take in the counts of another."""
        for mine, theirs in zip(self.bases, other.bases, strict=True):
            mine.tests += theirs.tests
            mine.errors += theirs.errors
            mine.contrast_sum += theirs.contrast_sum


@dataclass(slots=True)
class Tally:
    """Counts by the frame of the heralded state, Pauli index 0..3: the codes of a herald apart."""

    by_frame: dict[int, Counts] = field(default_factory=dict[int, Counts])

    @property
    def tests(self) -> int:
        """Tests of all frames together."""
        return sum(counts.tests for counts in self.by_frame.values())

    def add(self, frame: int, basis: int, error: bool, left: float) -> None:
        """One test of a pair heralded in `frame`."""
        counts = self.by_frame.get(frame)
        if counts is None:
            counts = self.by_frame[frame] = Counts()
        counts.add(basis, error, left)

    def pooled(self) -> Counts:
        """All frames together: errors are relative to the frame, so they may be added."""
        total = Counts()
        for counts in self.by_frame.values():
            total.join(counts)
        return total

    def join(self, other: "Tally") -> None:
        """Take in another's counts, frame by frame."""
        for frame, counts in other.by_frame.items():
            self.by_frame.setdefault(frame, Counts()).join(counts)

    def halve(self) -> None:
        """Forget half of the tests of every frame."""
        for counts in self.by_frame.values():
            counts.halve()

    def clear(self) -> None:
        """Forget everything."""
        self.by_frame.clear()
