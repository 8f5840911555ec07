"""Sorts delays into bins of equal width, without a division in the loop.

Owns the innermost loops of histograms. The quotient of a delay within the range, less than 2^53 ps wide, by
the width comes from a product with the reciprocal, which is off by less than one (two roundings of 2^-53
each), and from one exact step of correction: the bins are exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Times = NDArray[np.int64]


@njit(cache=True, nogil=True)
def quotient(above: np.int64, width: int, reciprocal: float) -> np.int64:
    """above // width, exactly, for 0 <= above < 2^53; reciprocal: 1 / width."""
    guess = np.int64(np.float64(above) * reciprocal)
    rest = above - guess * width
    return guess + (rest >> 63) + np.int64(rest >= width)


@njit(cache=True, nogil=True)
def bin_delays(delays: Times, lo: int, width: int, counts: Times) -> None:
    """Count each delay in its bin, if it has one."""
    reach, reciprocal = np.uint64(width * counts.size), 1.0 / width
    for i in range(delays.size):
        above = delays[i] - lo
        if np.uint64(above) < reach:
            counts[np.uint64(quotient(above, width, reciprocal))] += 1


@njit(cache=True, nogil=True)
def bin_all_stops(starts: Times, stops: Times, lo: int, width: int, counts: Times) -> None:
    """Count every pair whose delay has a bin."""
    one, sign = np.uint64(1), np.uint64(63)
    reach, reciprocal = width * counts.size, 1.0 / width
    i, j, end, stop = np.uint64(0), np.uint64(0), np.uint64(starts.size), np.uint64(stops.size)
    while i < end and j < stop:
        above = stops[j] - starts[i] - lo
        if np.uint64(above) < np.uint64(reach):
            k = j
            while above < reach:
                counts[np.uint64(quotient(above, width, reciprocal))] += 1
                k += one
                if k >= stop:
                    break
                above = stops[k] - starts[i] - lo
            i += one
        else:
            behind = np.uint64(above) >> sign
            j += behind
            i += one - behind


@njit(cache=True, nogil=True)
def bin_first_stops(starts: Times, stops: Times, lo: int, width: int, counts: Times) -> None:
    """Count the first stop at or after each start, if its delay has a bin."""
    one, sign = np.uint64(1), np.uint64(63)
    reach, reciprocal = np.uint64(width * counts.size), 1.0 / width
    i, j, end, stop = np.uint64(0), np.uint64(0), np.uint64(starts.size), np.uint64(stops.size)
    while i < end and j < stop:
        delay = stops[j] - starts[i]
        behind = np.uint64(delay) >> sign
        if np.uint64(delay - lo) < reach and not behind:
            counts[np.uint64(quotient(delay - lo, width, reciprocal))] += 1
        j += behind
        i += one - behind
