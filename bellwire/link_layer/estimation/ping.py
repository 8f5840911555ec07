"""The test behind a quantum ping: does a link entangle at the stated fidelity, by as few pairs as possible?

Owns Wald's sequential probability ratio test between two fidelities, and its exact error probabilities.
Refuses to measure (link_layer/quantum_ping.py).

Each pair is measured in X, Y or Z, drawn with equal chances, the same at both ends. With e_k the chance of an
error in basis k (counts.py), F = 1 - (e_X + e_Y + e_Z)/2, so whatever the state, a pair is an error with
chance q = (2/3)(1 - F), and the number of errors among n pairs is binomial. Readout of contrast c turns q
into (1 - (1 - 2q) c)/2. Two hypotheses: the fidelity is at least `fidelity`, or at most `fidelity - margin`.
After each round of pairs the log-likelihood ratio of the second against the first is compared with log((1 -
b)/a), where the answer is "no", and with log(b/(1 - a)), where it is "yes" (Wald 1945, Ann. Math. Statist.
16, 117). After `pairs_max` pairs it is "undecided".

a: chance to say "no" although the link is as good as stated. b: chance to say "yes" although it is worse by
the margin. Wald's thresholds keep a and b approximately (their sum exactly); looking only after whole rounds
and stopping at `pairs_max` change them, so they are computed here for the very test that is run, by adding up
all ways in which it can go. Between the two fidelities either answer is right.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import comb, log
from typing import NamedTuple

from bellwire.core.errors import ConfigError
from bellwire.core.link_words import LinkVerdict

FIDELITY_RANGE = (0.25, 0.999)
"""The worse fidelity is no less, the better one no more: without any error expected one error would
decide."""

PAIRS_MAX = 1_000
"""More are no ping; estimating a fidelity is the work of test rounds and of calibration."""


class Chances(NamedTuple):
    """How a test ends for a link of one true fidelity."""

    yes: float
    no: float
    undecided: float
    pairs: float  # expected number


@dataclass(frozen=True, slots=True)
class PingTest:
    """A test with its error probabilities. `round_pairs`: pairs between two looks; `contrast`: of the readout
    of both ends, 0..1.

    Raises:
        ConfigError: fidelities, chances or numbers outside their ranges.
    """

    fidelity: float
    margin: float = 0.15
    false_no: float = 0.05
    false_yes: float = 0.05
    pairs_max: int = 240
    round_pairs: int = 12
    contrast: float = 1.0

    def __post_init__(self) -> None:
        low, high = FIDELITY_RANGE
        if not self.fidelity <= high:
            raise ConfigError(f"fidelity {self.fidelity:g}: a ping can show {high} at most; give less")
        if not (self.margin > 0.0 and self.fidelity - self.margin >= low):
            raise ConfigError(
                f"fidelity {self.fidelity:g} less a margin of {self.margin:g} must be {low} or more, and the "
                "margin above 0"
            )
        for name, chance in (("false-no", self.false_no), ("false-yes", self.false_yes)):
            if not 0.0 < chance < 0.5:
                raise ConfigError(f"{name} {chance:g}: give a chance above 0 and below 0.5")
        if not 1 <= self.round_pairs <= self.pairs_max <= PAIRS_MAX:
            raise ConfigError(f"{self.pairs_max} pairs: give {self.round_pairs} to {PAIRS_MAX}")
        if not 0.0 < self.contrast <= 1.0:
            raise ConfigError(f"contrast {self.contrast:g} of the readout: it must be above 0 and at most 1")

    @property
    def fidelity_bad(self) -> float:
        """The fidelity of which the answer should be "no"."""
        return self.fidelity - self.margin

    def error_chance(self, fidelity: float) -> float:
        """Chance that the bits of one pair do not fit."""
        return (1.0 - (1.0 - 4.0 * (1.0 - fidelity) / 3.0) * self.contrast) / 2.0

    def fidelity_of(self, errors: int, pairs: int) -> float:
        """The fidelity that so many errors speak for, cut to 0..1."""
        share = (1.0 - (1.0 - 2.0 * errors / pairs) / self.contrast) / 2.0
        return min(1.0, max(0.0, 1.0 - 1.5 * share))

    def interval(self, errors: int, pairs: int, confidence: float = 0.95) -> tuple[float, float]:
        """Both ends of an interval of the fidelity, cut to 0..1: that of Clopper and Pearson (1934) for the
        chance of an error. For a number of pairs that was fixed it holds the truth at least this often; that
        the test stops when it has seen enough costs it little (tests/link_layer/test_ping_statistics.py)."""
        tail = (1.0 - confidence) / 2.0
        most = 1.0 if errors == pairs else _chance_where(tail, lambda q: _at_most(errors, pairs, q))
        least = 0.0 if errors == 0 else _chance_where(1.0 - tail, lambda q: _at_most(errors - 1, pairs, q))
        ends = [
            min(1.0, max(0.0, 1.0 - 0.75 * (1.0 - (1.0 - 2.0 * chance) / self.contrast)))
            for chance in (most, least)
        ]
        return ends[0], ends[1]

    def evidence(self, errors: int, pairs: int) -> float:
        """Log-likelihood ratio of the worse fidelity against the better one."""
        good, bad = self.error_chance(self.fidelity), self.error_chance(self.fidelity_bad)
        return errors * log(bad / good) + (pairs - errors) * log((1.0 - bad) / (1.0 - good))

    def verdict(self, errors: int, pairs: int) -> LinkVerdict:
        """The answer after so many pairs, at the end of a round; undecided means go on, if there are pairs
        left."""
        evidence = self.evidence(errors, pairs)
        if evidence >= log((1.0 - self.false_yes) / self.false_no):
            return "no"
        if evidence <= log(self.false_yes / (1.0 - self.false_no)):
            return "yes"
        return "undecided"

    def rounds(self) -> tuple[int, ...]:
        """Pairs of each round; the last one may be shorter."""
        whole, rest = divmod(self.pairs_max, self.round_pairs)
        return (self.round_pairs,) * whole + ((rest,) if rest else ())

    def chances(self, fidelity: float) -> Chances:
        """How the test ends for a link of this true fidelity, exactly."""
        error = self.error_chance(fidelity)
        going = {0: 1.0}  # errors so far -> chance that the test has come here
        ended: dict[LinkVerdict, float] = {"yes": 0.0, "no": 0.0, "undecided": 0.0}
        pairs, expected = 0, 0.0
        for size in self.rounds():
            expected += size * sum(going.values())
            pairs += size
            round_chances = [
                comb(size, count) * error**count * (1.0 - error) ** (size - count)
                for count in range(size + 1)
            ]
            after: dict[int, float] = {}
            for errors, chance in going.items():
                for count, share in enumerate(round_chances):
                    after[errors + count] = after.get(errors + count, 0.0) + chance * share
            going = {}
            for errors, chance in after.items():
                verdict = self.verdict(errors, pairs)
                if verdict == "undecided":
                    going[errors] = chance
                else:
                    ended[verdict] += chance
        ended["undecided"] = sum(going.values())
        return Chances(ended["yes"], ended["no"], ended["undecided"], expected)


def _at_most(errors: int, pairs: int, error: float) -> float:
    """Chance of so many errors or fewer among the pairs."""
    return sum(comb(pairs, k) * error**k * (1.0 - error) ** (pairs - k) for k in range(errors + 1))


def _chance_where(wanted: float, falling: Callable[[float], float]) -> float:
    """Where a function that falls from 1 at 0 to 0 at 1 has this value, to 1e-9."""
    low, high = 0.0, 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2.0
        low, high = (middle, high) if falling(middle) > wanted else (low, middle)
    return (low + high) / 2.0
