"""The light of one output of a source, as the clicking ends of the bench see it, and where two of them meet.

Owns the list of ends that an arm reaches, and the mismatch of two arms at a beam splitter. Refuses statistics
of photons: an arm is the way of one photon.

An arm has one way to an end that counts: where several lead there (crosstalk) their powers add and the
strongest names the delay, because nothing keeps their phase.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np

from bellwire.simulator_backend.photons.jones import Jones
from bellwire.simulator_backend.photons.routes import Route

DIMMEST_OVERLAP = 1e-4
"""Photons that overlap less than this are strangers."""


class Reach(NamedTuple):
    """One way of an arm to an end. jones: amplitudes of a click, coupling and efficiency included."""

    jones: Jones
    delay_ps: float
    splitters: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """One output of a source. ends: by name, strongest way first. wavelength_nm: where the light ends (the
    same for all ends but behind converters that stand beside each other)."""

    source: str
    output: str
    wavelength_nm: float
    ends: Mapping[str, tuple[Reach, ...]]

    def click_operator(self, end: str) -> Jones:
        """A+A summed over the ways to an end: <s|.|s> is the chance that a photon of state s clicks there."""
        total: Jones = np.zeros((2, 2), dtype=np.complex128)
        for reach in self.ends.get(end, ()):
            total = total + reach.jones.conj().T @ reach.jones
        return total

    def chance(self, end: str, states: Sequence[Jones]) -> float:
        """Click probability at an end of a photon that has one of these polarisations, in equal shares."""
        operator = self.click_operator(end)
        return sum(float((state.conj() @ operator @ state).real) for state in states) / len(states)

    def delay_ps(self, end: str) -> float:
        """Flight to an end that it reaches."""
        return self.ends[end][0].delay_ps


def arm_of(
    source: str, output: str, coupling: float, routes: Iterable[Route], efficiencies: Mapping[str, float]
) -> Arm:
    """The arm of an output. coupling: amplitude into the fibre. efficiencies: of the ends that click."""
    ends: dict[str, list[Reach]] = {}
    wavelength_nm = 0.0
    for route in routes:
        efficiency = efficiencies.get(route.sink)
        if efficiency is None:
            continue
        jones = np.asarray(coupling * sqrt(efficiency) * route.jones, dtype=np.complex128)
        ends.setdefault(route.sink, []).append(Reach(jones, route.delay_ps, route.splitters))
        wavelength_nm = route.wavelength_nm
    ordered = {
        end: tuple(sorted(ways, key=lambda way: -float(np.sum(np.abs(way.jones) ** 2))))
        for end, ways in ends.items()
    }
    return Arm(source, output, wavelength_nm, ordered)


class Meeting(NamedTuple):
    """Two arms that enter one splitter by different ports. offset_ps: the first arrives later by this."""

    splitter: str
    offset_ps: float


def meeting(one: Arm, other: Arm) -> Meeting | None:
    """Where two arms meet, seen from the first end that both reach; None: nowhere."""
    for end in one.ends:
        for mine in one.ends[end]:
            for theirs in other.ends.get(end, ()):
                splitter = _shared(mine.splitters, theirs.splitters)
                if splitter is not None:
                    return Meeting(splitter, mine.delay_ps - theirs.delay_ps)
    return None


def cross_operator(one: Arm, other: Arm, end: str) -> Jones:
    """A+B summed over the ways to an end on which two arms can interfere; zero where they cannot."""
    total: Jones = np.zeros((2, 2), dtype=np.complex128)
    for mine in one.ends.get(end, ()):
        for theirs in other.ends.get(end, ()):
            if _shared(mine.splitters, theirs.splitters) is not None:
                total = total + mine.jones.conj().T @ theirs.jones
    return total


def _shared(one: Sequence[tuple[str, str]], other: Sequence[tuple[str, str]]) -> str | None:
    """A splitter that both pass and enter by different ports."""
    ports = dict(one)
    for splitter, port in other:
        if splitter in ports and ports[splitter] != port:
            return splitter
    return None
