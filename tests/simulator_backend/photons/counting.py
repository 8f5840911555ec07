"""Counting in tags as an experiment does, and small benches that several tests use."""

from math import sqrt

import numpy as np

from bellwire.simulator_backend.photons.layout import BenchLayout
from bellwire.simulator_backend.photons.optical_bench import OpticalBench

S = 10**12
"""ps in a second."""


def of(tags, channel):
    """Times of one channel."""
    return tags.time_ps[tags.channel == channel]


def coincidences(one, other, window_ps, offset_ps=0):
    """Pairs (i, j) with |t_i - t_j - offset| <= window/2: every pair counts."""
    low = np.searchsorted(other, one - offset_ps - window_ps / 2.0, side="left")
    high = np.searchsorted(other, one - offset_ps + window_ps / 2.0, side="right")
    return int(np.sum(high - low))


def within(counted, expected, sigma=4.0, variance=None):
    """A count within 4 standard errors of its expectation (false alarm 6e-5; Poisson unless told)."""
    error = sqrt(max(expected if variance is None else variance, 1.0))
    assert abs(counted - expected) < sigma * error, (
        f"{counted} counted, {expected:.1f} expected, {(counted - expected) / error:+.2f} standard errors"
    )


def bench_of(parts, *wires, seed=1):
    """A bench from parts by name and wires as "from > to"."""
    pairs = [tuple(wire.split(" > ")) for wire in wires]
    return OpticalBench(BenchLayout(parts, tuple(pairs)), seed)
