"""Tables from the pattern of clicks of an attempt to an outcome.

Owns the form and the tables of the usual analysers. A table is made from a rule, which is asked once for
each pattern; outcomes are small integers, in the order of `outcomes`.

Sources: Braunstein and Mann, Phys. Rev. A 51, R1727 (1995), and Mattle et al., Phys. Rev. Lett. 76, 4656
(1996), for polarisation; Valivarthi et al., Opt. Express 22, 24497 (2014), for time bins; Cabrillo et al.,
Phys. Rev. A 59, 1025 (1999), for single photons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from bellwire.core.errors import LocalMisuse

if TYPE_CHECKING:
    from numpy.typing import NDArray

POSITIONS_MAX: Final = 16
OUTCOMES_MAX: Final = 256

Click = tuple[int, int]
"""Index of the channel in `channels`, index of the gate."""

Rule = Callable[[tuple[Click, ...], bool], str]
"""Outcome for the places that clicked, in order, and whether one of them did so more than once. Never asked
for no click: an attempt without one has no outcome.
"""

NOTHING: Final = "no_herald"
DISCARD: Final = "discard"


@dataclass(frozen=True, slots=True)
class PatternTable:
    """`codes`: index into `outcomes`, uint8, by pattern: bit channel * gates + gate, then the bit for a
    place that clicked more than once; shape (2 ** (channels * gates + 1),).
    """

    channels: tuple[int, ...]
    gates: int
    outcomes: tuple[str, ...]
    codes: NDArray[np.uint8]

    def outcome(self, clicks: Sequence[Click], again: bool = False) -> str:
        """What the table says of a pattern."""
        bits = sum(1 << (channel * self.gates + gate) for channel, gate in set(clicks))
        return self.outcomes[int(self.codes[bits | again << (len(self.channels) * self.gates)])]

    def clicks(self, pattern: int) -> tuple[tuple[Click, ...], bool]:
        """The places of a pattern, in order, and whether one clicked more than once."""
        places = len(self.channels) * self.gates
        found = tuple(divmod(place, self.gates) for place in range(places) if pattern >> place & 1)
        return found, bool(pattern >> places & 1)


def pattern_table(
    channels: Sequence[int], gates: int, rule: Rule, outcomes: Sequence[str] = ()
) -> PatternTable:
    """Ask a rule for every pattern. `outcomes`: names that shall come first, in their order.

    Raises LocalMisuse for more than POSITIONS_MAX channels times gates, or more than OUTCOMES_MAX outcomes.
    """
    places = len(channels) * gates
    if not 0 < places <= POSITIONS_MAX:
        raise LocalMisuse(f"{len(channels)} channels x {gates} gates: 1 to {POSITIONS_MAX} can be told apart")
    names = dict.fromkeys([*outcomes, NOTHING])
    found = [NOTHING]
    table = PatternTable(tuple(channels), gates, (), np.empty(0, np.uint8))
    for pattern in range(1, 2 << places):
        clicks, again = table.clicks(pattern)
        found.append(rule(clicks, again) if clicks else NOTHING)
    names |= dict.fromkeys(found)
    if len(names) > OUTCOMES_MAX:
        raise LocalMisuse(f"{len(names)} outcomes: {OUTCOMES_MAX} can be told apart")
    code = {name: number for number, name in enumerate(names)}
    codes = np.array([code[name] for name in found], np.uint8)
    return PatternTable(tuple(channels), gates, tuple(names), codes)


def polarisation_table(ch: int, cv: int, dh: int, dv: int) -> PatternTable:
    """Output ports c and d, each split into H and V; one gate.

    psi_plus: H and V of one port. psi_minus: H and V of different ports. forbidden: the same polarisation in
    both ports, which perfect interference excludes. bunched: one detector clicked more than once.
    discard: more than two detectors, or two of which one clicked more than once.
    """

    def rule(clicks: tuple[Click, ...], again: bool) -> str:
        if len(clicks) == 1:
            return "bunched" if again else NOTHING
        if len(clicks) > 2 or again:
            return DISCARD
        (port, other_port), (pol, other_pol) = zip(
            *(divmod(channel, 2) for channel, _ in clicks), strict=True
        )
        if pol == other_pol:
            return "forbidden"
        return "psi_plus" if port == other_port else "psi_minus"

    return pattern_table(
        (ch, cv, dh, dv), 1, rule, ("psi_plus", "psi_minus", "forbidden", "bunched", DISCARD)
    )


def time_bin_table(c: int, d: int) -> PatternTable:
    """Output ports c and d; gate 0 early, gate 1 late.

    psi_minus: early and late in different ports. psi_plus: early and late in the same port (its detector must
    recover between the bins). forbidden: both ports in the same bin. bunched, discard: as for polarisation.
    """

    def rule(clicks: tuple[Click, ...], again: bool) -> str:
        if len(clicks) == 1:
            return "bunched" if again else NOTHING
        if len(clicks) > 2 or again:
            return DISCARD
        (port, other_port), (time, other_time) = zip(*clicks, strict=True)
        if time == other_time:
            return "forbidden"
        return "psi_plus" if port == other_port else "psi_minus"

    return pattern_table((c, d), 2, rule, ("psi_plus", "psi_minus", "forbidden", "bunched", DISCARD))


def single_photon_table(c: int, d: int) -> PatternTable:
    """Output ports c and d; one gate. psi_plus: a click in c alone. psi_minus: in d alone. discard: more."""

    def rule(clicks: tuple[Click, ...], again: bool) -> str:
        if len(clicks) > 1 or again:
            return DISCARD
        return "psi_plus" if (0, 0) in clicks else "psi_minus"

    return pattern_table((c, d), 1, rule, ("psi_plus", "psi_minus", DISCARD))
