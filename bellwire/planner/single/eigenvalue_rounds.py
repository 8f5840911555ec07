"""Decay and purification on the eigenvalues lambda_1..3 of Bell-diagonal states: the short form for searches.

Owns the noisy recurrence of algorithms.md 2.1 rewritten: a round on states l (kept) and m (measured) gives

    p = (1 + G D l2 m2)/2
    l1' = G (l1 m1 + D l3 m3)/2p,   l2' = G (l2 + D m2)/2p,   l3' = G (l3 m1 + D l1 m3)/2p

with G = g1 g2 of the gate fidelities and D = (2 m1 - 1)(2 m2 - 1) of the readout fidelities of the two nodes.
DEJMPS exchanges l2 and l3 first; BBPSSW takes means before and after. Refuses promises: those are worked out
on the four probabilities (assessment.py, core/bell.py).
"""

import math

from bellwire.core.bell import Eigenvalues
from bellwire.planner.structures import Scheme


def purified_values(
    kept: Eigenvalues, measured: Eigenvalues, scheme: Scheme, gates: float, readouts: float
) -> tuple[float, Eigenvalues]:
    """Chance and eigenvalues of one round. gates: G. readouts: D. (0, zeros) where it never succeeds."""
    if scheme == "bbpssw":
        kept, measured = _twirled(kept), _twirled(measured)
    elif scheme == "dejmps":
        kept, measured = (kept[0], kept[2], kept[1]), (measured[0], measured[2], measured[1])
    (l1, l2, l3), (m1, m2, m3) = kept, measured
    twice = 1.0 + gates * readouts * l2 * m2
    if twice <= 0.0:
        return 0.0, (0.0, 0.0, 0.0)
    grown = gates / twice
    values = (
        grown * (l1 * m1 + readouts * l3 * m3),
        grown * (l2 + readouts * m2),
        grown * (l3 * m1 + readouts * l1 * m3),
    )
    return twice / 2.0, _twirled(values) if scheme == "bbpssw" else values


def _twirled(values: Eigenvalues) -> Eigenvalues:
    mean = (values[0] + values[1] + values[2]) / 3.0
    return (mean, mean, mean)


def decayed(values: Eigenvalues, rates: Eigenvalues, wait_s: float) -> Eigenvalues:
    if wait_s == 0.0:
        return values
    return (
        values[0] * math.exp(-rates[0] * wait_s),
        values[1] * math.exp(-rates[1] * wait_s),
        values[2] * math.exp(-rates[2] * wait_s),
    )


def fall_hz(value: float, slower: float, more_s: float) -> float:
    """Loss of an eigenvalue per second of slowing."""
    return math.log(value / slower) / more_s if value > 0.0 and slower > 0.0 and more_s > 0.0 else 0.0
