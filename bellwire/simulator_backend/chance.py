"""Keyed chance: every random number of a simulated world is a function of (seed, key), never of call order.

Owns the map from a key such as ("gap", link, lane, run, k) to a number. Refuses state: a draw leaves no
trace, so two hosts that ask in different orders, or ask twice, meet the same world (architecture.md section
3).
"""

from collections.abc import Sequence
from hashlib import blake2b
from math import log1p
from typing import Final

import msgspec

from bellwire.core.errors import LocalMisuse

ATTEMPTS_MAX: Final = 1 << 62
"""Longest waiting time that `geometric` returns; reached only for success probabilities below about 1e-17."""

_STEP: Final = 2.0**-53
_encode: Final = msgspec.msgpack.Encoder().encode
_number: Final = int.from_bytes


class Chance:
    """A reproducible source of independent numbers, one per key.

    A key is any sequence of `int` (64 bits) and `str`. Its msgpack form is hashed: every element carries its
    type and length, so that ("a", "bc"), ("ab", "c"), ("a", 1), ("a", "1") are different keys, alike under
    every Python version, platform and PYTHONHASHSEED; the encoder refuses numpy numbers and longer ints.
    """

    __slots__ = ("_fresh", "seed")

    def __init__(self, seed: int) -> None:
        """Seed: any integer, negative and long ones included."""
        self.seed = seed
        self._fresh = blake2b(b"%d;" % seed, digest_size=8, person=b"bellwire chance").copy

    def uniform(self, *key: int | str) -> float:
        """A number in [0, 1), with 53 random bits."""
        digest = self._fresh()
        digest.update(_encode(key))
        return (_number(digest.digest(), "big") >> 11) * _STEP

    def bits64(self, *key: int | str) -> int:
        """A whole number of 64 random bits, for a machine's own seed."""
        digest = self._fresh()
        digest.update(_encode(key))
        return _number(digest.digest(), "big")

    def geometric(self, success_probability: float, *key: int | str) -> int:
        """Attempts until the first success, that one included: 1, 2, ..., by exact inverse transform.

        P(more than n attempts) = (1 - p)**n. One number decides, so that a larger p never waits longer.

        Raises:
            LocalMisuse: success_probability is not in (0, 1].
        """
        if not 0.0 < success_probability <= 1.0:
            raise LocalMisuse(f"success probability {success_probability} of a waiting time is not in (0, 1]")
        if success_probability == 1.0:
            return 1
        # log1p keeps all digits of a small p, where 1 - p would already have rounded them away.
        whole = log1p(-self.uniform(*key)) / log1p(-success_probability)
        return min(int(whole) + 1, ATTEMPTS_MAX) if whole < ATTEMPTS_MAX else ATTEMPTS_MAX

    def choice4(self, weights: Sequence[float], *key: int | str) -> int:
        """Index 0..3 drawn in proportion to four weights (they need not sum to one).

        Raises:
            LocalMisuse: not four weights, a negative one, or all zero.
        """
        if len(weights) != 4 or min(weights) < 0.0 or sum(weights) <= 0.0:
            raise LocalMisuse(f"weights {weights} are not four non-negative numbers with a positive sum")
        left = self.uniform(*key) * sum(weights)
        last = 0
        for index, weight in enumerate(weights):
            if weight > 0.0:
                last = index
                if left < weight:
                    return index
            left -= weight
        return last  # rounding in the sum may leave an ulp over: it belongs to the last possible index
