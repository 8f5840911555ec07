"""A key from measured pairs: sifting, test, correction, comparison, amplification, with everything counted.

Owns the order of the steps and their report. Refuses to speak to anybody: both ends are played here, each
with its own string, and what one tells the other is in `disclosed`. Authentication of what they tell is not
done here: it is a matter of the channel (docs/applications.md).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bellwire.applications.key_amplification import (
    Security,
    correction_efficiency,
    secret_length,
    toeplitz_hash,
)
from bellwire.applications.key_cascade import ERROR_RATE_MIN, ParityHolder, correct
from bellwire.applications.key_sifting import Bits, Sifted

Verdict = Literal["key", "too many errors", "strings differ", "too short"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyResult:
    """What came of a run. Rates of errors are shares of sifted bits."""

    verdict: Verdict
    pairs: int
    key_bits: int  # sifted, in Z
    test_bits: int  # sifted, in X
    test_error_rate: float
    key_error_rate: float  # as the correction found it
    disclosed: int  # parities of the correction
    efficiency: float | None  # f of the correction, None: no errors
    rounds: int  # of questions and answers of the correction
    key_one: Bits  # of the source
    key_other: Bits  # of the destination

    @property
    def length(self) -> int:
        """Bits of secret key."""
        return len(self.key_one)


def agree(
    sifted: Sifted,
    draw: Callable[[int], bytes],
    security: Security,
    error_rate_max: float | None = None,
) -> KeyResult:
    """Make a key. draw: gives so many bytes of chance, which both ends are told after the measurements.

    error_rate_max: of X, agreed before the run, by which the length is reckoned; None: that of the run, which
    is beyond the letter of the proof.
    """
    n, k = len(sifted.key_one), len(sifted.test_one)
    test_rate = sifted.test_errors / k if k else 0.5
    reckoned = test_rate if error_rate_max is None else error_rate_max
    seed = int.from_bytes(draw(8), "big")
    none = np.zeros(0, dtype=np.uint8)

    def result(verdict: Verdict, one: Bits = none, other: Bits = none) -> KeyResult:
        found = fixed.mended / n if n else 0.0
        return KeyResult(
            verdict=verdict,
            pairs=sifted.pairs,
            key_bits=n,
            test_bits=k,
            test_error_rate=test_rate,
            key_error_rate=found,
            disclosed=fixed.disclosed,
            efficiency=correction_efficiency(fixed.disclosed, n, found),
            rounds=fixed.rounds,
            key_one=one,
            key_other=other,
        )

    holder = ParityHolder(sifted.key_one, seed)
    fixed = correct(sifted.key_other, holder, seed, max(test_rate, ERROR_RATE_MIN))
    if test_rate > reckoned:
        return result("too many errors")
    hash_seed = _bits(draw, n + security.hash_bits - 1)
    one_hash = toeplitz_hash(sifted.key_one, hash_seed, security.hash_bits)
    other_hash = toeplitz_hash(fixed.bits, hash_seed, security.hash_bits)
    if not np.array_equal(one_hash, other_hash):
        return result("strings differ")
    length = secret_length(n, k, reckoned, fixed.disclosed, security)
    if length == 0:
        return result("too short")
    matrix = _bits(draw, n + length - 1)
    return result(
        "key",
        toeplitz_hash(sifted.key_one, matrix, length),
        toeplitz_hash(fixed.bits, matrix, length),
    )


def _bits(draw: Callable[[int], bytes], count: int) -> Bits:
    """So many bits of chance."""
    octets = np.frombuffer(draw(-(-max(0, count) // 8)), dtype=np.uint8)
    return np.unpackbits(octets)[: max(0, count)]
