"""From corrected strings to a secret key: the check that they are equal, the length that is secret, the hash.

Owns two-universal hashing by Toeplitz matrices and the finite-key formula. Refuses chance: seeds are handed
in, which the ends draw and tell each other after the measurements.

Length (Tomamichel, Lim, Gisin, Renner, Nat. Commun. 3, 634 (2012), arXiv:1103.4130): of n bits in Z with k
test bits in X, of which a share e disagrees,

    l = floor( n (1 - h(e + mu)) - leak - log2(2 / (eps_sec**2 eps_cor)) ),
    mu = sqrt( (n + k) / (n k) * (k + 1) / k * ln(4 / eps_sec) ),

is eps_cor-correct and eps_sec-secret against all attacks, for devices that measure X and Z as they say. The
term in eps_cor is the hash by which the ends compare their strings. The proof holds for an error rate that
is agreed before the run; a run above it makes no key.
"""

from math import ceil, floor, log, log2, sqrt
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bellwire.applications.key_sifting import Bits
from bellwire.core.errors import LocalMisuse

ROUNDING_MAX: Final = 0.25
"""A product may be so far from a whole number; beyond, the strings are too long for double precision."""


class Security(NamedTuple):
    """How sure the ends want to be."""

    secrecy: float = 1e-9  # eps_sec: distance from a perfectly secret key
    correctness: float = 1e-12  # eps_cor: probability that the two keys differ unnoticed

    @property
    def hash_bits(self) -> int:
        """Length of the hash by which the ends compare their strings."""
        return ceil(log2(1.0 / self.correctness))


def binary_entropy(share: float) -> float:
    """h of a probability, bits; 1 beyond one half, where nothing is secret any more."""
    if share >= 0.5:
        return 1.0
    return 0.0 if share <= 0.0 else -share * log2(share) - (1.0 - share) * log2(1.0 - share)


def statistical_margin(key_bits: int, test_bits: int, secrecy: float) -> float:
    """mu: by how much the error rate of X on the key bits may exceed that on the test bits."""
    n, k = key_bits, test_bits
    return sqrt((n + k) / (n * k) * (k + 1) / k * log(4.0 / secrecy))


def secret_length(key_bits: int, test_bits: int, error_rate: float, leak: int, security: Security) -> int:
    """Bits of secret key, 0: none. leak: bits told for the correction, the comparing hash not counted."""
    if not (key_bits and test_bits):
        return 0
    phase = error_rate + statistical_margin(key_bits, test_bits, security.secrecy)
    spent = leak + log2(2.0 / (security.secrecy**2 * security.correctness))
    return max(0, floor(key_bits * (1.0 - binary_entropy(phase)) - spent))


def asymptotic_share(error_z: float, error_x: float, efficiency: float = 1.0) -> float:
    """Secret bits per sifted bit of a run without end: 1 - h(e_x) - f h(e_z) (Shor and Preskill, PRL 85, 441
    (2000)), never below 0."""
    return max(0.0, 1.0 - binary_entropy(error_x) - efficiency * binary_entropy(error_z))


def correction_efficiency(leak: int, length: int, error_rate: float) -> float | None:
    """f = leak / (n h(e)): 1 is Shannon's bound; None without errors."""
    entropy = binary_entropy(error_rate)
    return leak / (length * entropy) if length and entropy else None


def toeplitz_hash(bits: Bits, seed: Bits, length: int) -> Bits:
    """T bits modulo 2, T of `length` rows with T[i, j] = seed[i - j + n - 1]. seed: n + length - 1 bits.

    Raises:
        LocalMisuse: a seed of another length, or strings too long for the transform.
    """
    n = len(bits)
    if len(seed) != n + length - 1:
        raise LocalMisuse(
            f"a Toeplitz matrix of {length} x {n} has {n + length - 1} seed bits, not {len(seed)}"
        )
    if not (n and length):
        return np.zeros(length, dtype=np.uint8)
    # Only entries n - 1 to n + length - 2 of the product are wanted: what wraps around falls elsewhere.
    size = 1 << (n + length - 2).bit_length()
    spectrum = np.fft.rfft(bits, size) * np.fft.rfft(seed, size)
    product: npt.NDArray[np.float64] = np.fft.irfft(spectrum, size)
    wanted = product[n - 1 : n + length - 1]
    whole = np.rint(wanted)
    if float(np.max(np.abs(wanted - whole))) > ROUNDING_MAX:
        raise LocalMisuse(
            f"{n} bits are too many for one Toeplitz product in double precision: hash them in parts"
        )
    return (whole.astype(np.int64) & 1).astype(np.uint8)
