"""From tags to clicks to patterns: the innermost loops of counting by attempts.

A click is one number, attempt << bits | position, where the position is slot * number of gates + gate and the
attempt is counted from a base, so that clicks in order are attempts in order. A pattern is the set of
positions that clicked in one attempt, as bits; the bit above all positions says that one of them did so more
than once.

The attempt of a tag needs a quotient. It comes from a product with the reciprocal: for a time of less than
2^53 ps after the base both the time and the error of the product are exact enough that the guess is off by
one at most (two roundings of 2^-53 each, and a quotient of less than 2^53), and one exact step corrects it.
No branch depends on a tag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]


@njit(cache=True, nogil=True)
def find_clicks(
    times: Integers,
    channels: NDArray[np.int16],
    slots: Integers,
    shifts: Integers,
    period: int,
    froms: Integers,
    widths: NDArray[np.uint64],
    bits: int,
    clicks: Integers,
) -> tuple[np.int64, bool, bool]:
    """Fill `clicks`, of one place more than there are tags.

    shifts: by slot, from a time to the time after the base; it is added modulo 2^64. froms, widths: by slot
    and gate. Returns the number of clicks, whether they are in order, and whether the times are.
    """
    count = np.uint64(0)
    gates = froms.shape[1]
    reciprocal = 1.0 / period
    falls, jumps = np.int64(0), np.int64(0)
    before_time = times[0] if times.size else 0
    before = np.int64(0)
    for i in range(times.size):
        time = times[i]
        slot = np.uint64(slots[np.uint16(channels[i])])
        after = time + shifts[slot]
        attempt = np.int64(np.float64(after) * reciprocal)
        phase = after - attempt * period
        low = phase >> 63  # -1 where the guess was too high
        attempt += low
        phase += period & low
        high = ~((phase - period) >> 63)  # -1 where it was too low
        attempt -= high
        phase -= period & high
        position = np.int64(-1)
        for gate in range(gates):
            if np.uint64(phase - froms[slot, np.uint64(gate)]) < widths[slot, np.uint64(gate)]:
                position = np.int64(slot) * gates + gate
        inside = np.int64(position >= 0)
        click = (attempt << bits) | (position & ((1 << bits) - 1))
        clicks[count] = click
        count += np.uint64(inside)
        jumps |= np.int64((click >> bits) < (before >> bits)) & inside
        before = click if inside else before
        falls |= np.int64(time < before_time)
        before_time = time
    return np.int64(count), bool(jumps == 0), bool(falls == 0)


@njit(cache=True, nogil=True)
def find_patterns(
    clicks: Integers, bits: int, again: int, attempts: Integers, patterns: Integers
) -> np.int64:
    """One entry for each attempt with a click, in order; returns how many.

    again: the bit of positions that clicked twice. attempts, patterns: one place more than there are clicks.
    """
    if clicks.size == 0:
        return np.int64(0)
    positions = (1 << bits) - 1
    count = np.uint64(0)
    current = clicks[0] >> bits
    pattern = np.int64(0)
    for i in range(clicks.size):
        attempt = clicks[i] >> bits
        position = clicks[i] & positions
        new = np.int64(attempt != current)
        attempts[count] = current
        patterns[count] = pattern
        count += np.uint64(new)
        pattern &= new - 1
        pattern |= (np.int64(1) << position) | (((pattern >> position) & 1) << again)
        current = attempt
    attempts[count] = current
    patterns[count] = pattern
    return np.int64(count + np.uint64(1))


@njit(cache=True, nogil=True)
def add_patterns(patterns: Integers, counts: Integers) -> None:
    """Count each pattern."""
    for i in range(patterns.size):
        counts[np.uint64(patterns[i])] += 1
