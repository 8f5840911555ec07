"""Pairs of tags of two channels within a window: how many, which, and who has a partner.

Owns the innermost loops. A pair is (i, j) with lo <= second[j] - first[i] <= hi, both ends within; every such
pair counts, so that a tag may be in several. Times in ps, int64, not falling.

Two loops, for two densities. Sparse: a walk along both arrays at once that advances one of them without a
branch and looks closer only where a pair is; two halves are walked in turn, so that one waits for memory
while the other computes. Dense: the number of partners below each end of the window, which needs no look at
pairs at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.tags.blocks_in_order import check_delays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Times = NDArray[np.int64]

DENSE: Final = 0.3
"""Partners that a window holds on average, from which on ranks are faster than the walk."""

AT_ONCE: Final = 4096
"""Tags whose ranks are kept at once: they stay in the first-level cache."""


def count_pairs(
    first: Times, second: Times, lo_ps: int, hi_ps: int, *, delays_ps: tuple[int, int] = (0, 0)
) -> int:
    """How many pairs; `delays_ps` are added to the times of each channel before. Raises LocalMisuse."""
    lo_ps, hi_ps = _checked(first, second, lo_ps, hi_ps, delays_ps)
    return pairs_within(first, second, lo_ps, hi_ps)[1]


def pair_indices(
    first: Times, second: Times, lo_ps: int, hi_ps: int, *, delays_ps: tuple[int, int] = (0, 0)
) -> tuple[Times, Times]:
    """The pairs themselves: indices into both arrays, in order of the first, then of the second.

    Raises LocalMisuse.
    """
    lo_ps, hi_ps = _checked(first, second, lo_ps, hi_ps, delays_ps)
    count = pairs_within(first, second, lo_ps, hi_ps)[1]
    into_first, into_second = np.empty(count, np.int64), np.empty(count, np.int64)
    _list_walk(first, second, lo_ps, hi_ps, into_first, into_second)
    return into_first, into_second


def pairs_within(first: Times, second: Times, lo_ps: int, hi_ps: int) -> tuple[int, int]:
    """How many tags of `first` have a partner, and how many pairs there are; unchecked."""
    if len(first) == 0 or len(second) == 0:
        return 0, 0
    if _density(second, lo_ps, hi_ps) > DENSE:
        counts = _count_ranks(first, second, lo_ps, hi_ps)
    else:
        counts = _count_walk(first, second, lo_ps, hi_ps)
    return int(counts[0]), int(counts[1])


def with_partners(
    first: Times, ways: NDArray[np.int64] | None, second: Times, lo_ps: int, hi_ps: int
) -> tuple[Times, NDArray[np.int64]]:
    """The tags of `first` that have a partner, and `ways` (None: 1 each) times the number of partners;
    unchecked.
    """
    if len(first) == 0 or len(second) == 0:
        return first[:0], np.empty(0, np.int64)
    met, times = np.empty_like(first), np.empty(len(first), np.int64)
    known = np.empty(0, np.int64) if ways is None else ways
    if _density(second, lo_ps, hi_ps) > DENSE:
        count = _meet_ranks(first, known, second, lo_ps, hi_ps, met, times)
    else:
        count = _meet_walk(first, known, second, lo_ps, hi_ps, met, times)
    return met[:count], times[:count]


def _density(second: Times, lo_ps: int, hi_ps: int) -> float:
    return len(second) * (hi_ps - lo_ps + 1) / (int(second[-1]) - int(second[0]) + 1)


def _checked(
    first: Times, second: Times, lo_ps: int, hi_ps: int, delays_ps: tuple[int, int]
) -> tuple[int, int]:
    if hi_ps < lo_ps:
        raise LocalMisuse(f"a window from {lo_ps} to {hi_ps} ps: its end is before its start")
    check_delays(lo_ps, hi_ps, *delays_ps)
    for times in (first, second):
        if not in_order(times):
            raise LocalMisuse("times that are not in order: sort them before")
    shift_ps = delays_ps[0] - delays_ps[1]
    return lo_ps + shift_ps, hi_ps + shift_ps


@njit(cache=True, nogil=True)
def in_order(times: Times) -> bool:
    """Whether no time is less than the one before."""
    falls = np.int64(0)
    for i in range(1, times.size):
        falls |= np.int64(times[i] < times[i - 1])
    return bool(falls == 0)


@njit(cache=True, nogil=True)
def _walk_on(
    first: Times, second: Times, lo: int, hi: int, i: np.uint64, past: np.uint64, j: np.uint64
) -> tuple[np.int64, np.int64]:
    one, sign, width = np.uint64(1), np.uint64(63), np.uint64(hi - lo)
    at, end, low, stop = i, past, j, np.uint64(second.size)
    met, pairs = np.int64(0), np.int64(0)
    while at < end and low < stop:
        above = second[low] - first[at] - lo
        if np.uint64(above) <= width:
            last = first[at] + hi
            k = low
            while k < stop and second[k] <= last:
                pairs += 1
                k += one
            met += 1
            at += one
        else:
            behind = np.uint64(above) >> sign  # the sign bit: 1 where the partner is too early
            low += behind
            at += one - behind
    return met, pairs


@njit(cache=True, nogil=True)
def _count_walk(first: Times, second: Times, lo: int, hi: int) -> tuple[np.int64, np.int64]:
    one, sign, width = np.uint64(1), np.uint64(63), np.uint64(hi - lo)
    half, end, stop = np.uint64(first.size // 2), np.uint64(first.size), np.uint64(second.size)
    i, j = np.uint64(0), np.uint64(0)
    x, y = half, np.uint64(np.searchsorted(second, first[half] + lo))
    met, pairs = np.int64(0), np.int64(0)
    while i < half and j < stop and x < end and y < stop:
        above = second[j] - first[i] - lo
        other = second[y] - first[x] - lo
        if np.uint64(above) <= width:
            last = first[i] + hi
            k = j
            while k < stop and second[k] <= last:
                pairs += 1
                k += one
            met += 1
            i += one
        else:
            behind = np.uint64(above) >> sign
            j += behind
            i += one - behind
        if np.uint64(other) <= width:
            last = first[x] + hi
            k = y
            while k < stop and second[k] <= last:
                pairs += 1
                k += one
            met += 1
            x += one
        else:
            behind = np.uint64(other) >> sign
            y += behind
            x += one - behind
    lower = _walk_on(first, second, lo, hi, i, half, j)
    upper = _walk_on(first, second, lo, hi, x, end, y)
    return met + lower[0] + upper[0], pairs + lower[1] + upper[1]


@njit(cache=True, nogil=True)
def _list_walk(first: Times, second: Times, lo: int, hi: int, into_first: Times, into_second: Times) -> None:
    one, sign, width = np.uint64(1), np.uint64(63), np.uint64(hi - lo)
    i, j, end, stop = np.uint64(0), np.uint64(0), np.uint64(first.size), np.uint64(second.size)
    n = np.uint64(0)
    while i < end and j < stop:
        above = second[j] - first[i] - lo
        if np.uint64(above) <= width:
            last = first[i] + hi
            k = j
            while k < stop and second[k] <= last:
                into_first[n] = i
                into_second[n] = k
                n += one
                k += one
            i += one
        else:
            behind = np.uint64(above) >> sign
            j += behind
            i += one - behind


@njit(cache=True, nogil=True)
def _meet_walk(
    first: Times, ways: Times, second: Times, lo: int, hi: int, met: Times, times: Times
) -> np.int64:
    one, sign, width = np.uint64(1), np.uint64(63), np.uint64(hi - lo)
    i, j, end, stop = np.uint64(0), np.uint64(0), np.uint64(first.size), np.uint64(second.size)
    n = np.uint64(0)
    weighted = ways.size > 0
    while i < end and j < stop:
        above = second[j] - first[i] - lo
        if np.uint64(above) <= width:
            last = first[i] + hi
            k = j
            while k < stop and second[k] <= last:
                k += one
            met[n] = first[i]
            times[n] = np.int64(k - j) * (ways[i] if weighted else 1)
            n += one
            i += one
        else:
            behind = np.uint64(above) >> sign
            j += behind
            i += one - behind
    return np.int64(n)


@njit(cache=True, nogil=True)
def _ranks(first: Times, second: Times, lo: int, hi: int, low: Times, high: Times) -> None:
    """For each of `first`, how many of `second` are below first + lo, and how many are not above first + hi.

    Two walks at once. Each writes its rank at every step and moves on when it is final.
    """
    one, sign, end, stop = np.uint64(1), np.uint64(63), np.uint64(first.size), np.uint64(second.size)
    i, j, x, y = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    beyond = hi + 1
    while x < end and y < stop and i < end and j < stop:
        behind = np.uint64(second[j] - first[i] - lo) >> sign
        low[i] = j
        j += behind
        i += one - behind
        behind = np.uint64(second[y] - first[x] - beyond) >> sign
        high[x] = y
        y += behind
        x += one - behind
    while i < end and j < stop:
        behind = np.uint64(second[j] - first[i] - lo) >> sign
        low[i] = j
        j += behind
        i += one - behind
    low[i:] = second.size
    while x < end and y < stop:
        behind = np.uint64(second[y] - first[x] - beyond) >> sign
        high[x] = y
        y += behind
        x += one - behind
    high[x:] = second.size


@njit(cache=True, nogil=True)
def _count_ranks(first: Times, second: Times, lo: int, hi: int) -> tuple[np.int64, np.int64]:
    low, high = np.empty(AT_ONCE, np.int64), np.empty(AT_ONCE, np.int64)
    met, pairs = np.int64(0), np.int64(0)
    for start in range(0, first.size, AT_ONCE):
        part = first[start : start + AT_ONCE]
        _ranks(part, second, lo, hi, low[: part.size], high[: part.size])
        for i in range(part.size):
            partners = high[i] - low[i]
            pairs += partners
            met += np.int64(partners > 0)
        second = second[low[part.size - 1] :]
    return met, pairs


@njit(cache=True, nogil=True)
def _meet_ranks(
    first: Times, ways: Times, second: Times, lo: int, hi: int, met: Times, times: Times
) -> np.int64:
    low, high = np.empty(AT_ONCE, np.int64), np.empty(AT_ONCE, np.int64)
    n = np.int64(0)
    weighted = ways.size > 0
    for start in range(0, first.size, AT_ONCE):
        part = first[start : start + AT_ONCE]
        _ranks(part, second, lo, hi, low[: part.size], high[: part.size])
        for i in range(part.size):
            partners = high[i] - low[i]
            met[n] = part[i]
            times[n] = partners * (ways[start + i] if weighted else 1)
            n += np.int64(partners > 0)
        second = second[low[part.size - 1] :]
    return n
