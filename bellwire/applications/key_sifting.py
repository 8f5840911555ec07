"""From measured pairs to two sifted strings: one for the key, one to find out how much an eavesdropper knows.

Owns sifting and the count of errors of the entanglement-based protocol of Bennett, Brassard and Mermin (PRL
68, 557 (1992)). Refuses pairs measured in other bases than X and Z. Pairs that both ends measured in Z make
the key, those measured in X tell the error rate in X, which bounds what is known about Z; others are dropped.

The destination flips its bits where the frame of the pair says that they differ (core/bases.parity). Frames
are public: they depend on heralds and Bell measurements of the network, on no outcome of the two ends.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bellwire.applications.bell_test import Trial
from bellwire.core.bases import parity

Bits = npt.NDArray[np.uint8]
"""A string of bits, one a byte, 0 or 1."""


class Sifted(NamedTuple):
    """What is left of a run, in the order of the pairs. `one`: of the source, `other`: of the destination."""

    pairs: int  # that were measured
    key_one: Bits
    key_other: Bits
    test_one: Bits
    test_other: Bits

    @property
    def test_errors(self) -> int:
        """Disagreements in X, which the ends find by telling each other."""
        return int(np.count_nonzero(self.test_one != self.test_other))

    @property
    def key_errors(self) -> int:
        """Disagreements in Z, which neither end can see before the correction."""
        return int(np.count_nonzero(self.key_one != self.key_other))


def sift(trials: Iterable[Trial]) -> Sifted:
    """Keep pairs of equal bases."""
    pairs = 0
    kept: dict[str, tuple[list[int], list[int]]] = {"X": ([], []), "Z": ([], [])}
    for trial in trials:
        pairs += 1
        if trial.one == trial.other and (trial.one == "X" or trial.one == "Z"):
            one, other = kept[trial.one]
            one.append(trial.bit)
            other.append(trial.other_bit ^ parity(trial.one, trial.frame))
    key, test = kept["Z"], kept["X"]
    return Sifted(pairs, _bits(key[0]), _bits(key[1]), _bits(test[0]), _bits(test[1]))


def _bits(values: list[int]) -> Bits:
    return np.array(values, dtype=np.uint8)
