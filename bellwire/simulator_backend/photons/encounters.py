"""Which sources meet, how well their photons overlap, and how their pulses must be numbered for that.

Owns overlaps (algorithms.md 11.3) and groups of sources that have one table. Refuses the tables themselves.

Sources interfere with their like: pulsed pair sources of one period, memories of one period, and the two arms
of a pair. A memory's photon, a pair's photon and laser light are strangers to each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, pi
from typing import NamedTuple

from bellwire.core.errors import ConfigError
from bellwire.simulator_backend.photons.arms import DIMMEST_OVERLAP, Arm, meeting
from bellwire.simulator_backend.photons.emitter_sampler import PacketPair
from bellwire.simulator_backend.photons.laws import LIGHT_NM_PER_PS, packet_overlap
from bellwire.simulator_backend.photons.optics import Optics
from bellwire.simulator_backend.photons.sources import Emitter, PairSource


class Encounter(NamedTuple):
    """Two arms at a splitter. overlap: |<a|b>|^2, 0..1. pulses: the first arm's photon of pulse k meets the
    second's of pulse k + pulses."""

    overlap: float
    pulses: int


def pair_encounter(optics: Optics, one: Arm, other: Arm) -> Encounter | None:
    """Of two arms of pair sources; None: they are strangers."""
    met = meeting(one, other)
    if met is None:
        return None
    first, second = optics.parts[one.source], optics.parts[other.source]
    assert isinstance(first, PairSource)
    assert isinstance(second, PairSource)
    if one.source != other.source and (first.period_ps is None or first.period_ps != second.period_ps):
        return None
    offset_ps = met.offset_ps + first.pulse_offset_ps - second.pulse_offset_ps
    pulses = (
        0 if one.source == other.source or first.period_ps is None else round(offset_ps / first.period_ps)
    )
    if first.period_ps is not None:
        offset_ps -= pulses * first.period_ps
    overlap = optics.mode_match(met.splitter) * packet_overlap(
        offset_ps, first.photon_rms_ps, second.photon_rms_ps, one.wavelength_nm, other.wavelength_nm
    )
    return Encounter(overlap, pulses) if overlap >= DIMMEST_OVERLAP else None


class EmitterEncounter(NamedTuple):
    """Two memories whose photons meet. pulses: as in Encounter."""

    packets: PacketPair
    pulses: int

    def overlap(self) -> float:
        """|<a|b>|^2 of the whole packets with dephasing, 0..1 (algorithms.md 11.3 for equal lifetimes)."""
        packets = self.packets
        a, b = packets.lifetimes_ps
        earlier = b if packets.offset_ps > 0.0 else a
        shared = 4.0 * a * b / (a + b) ** 2 * exp(-abs(packets.offset_ps) / earlier)
        return packets.peak * shared / (1.0 + packets.dephasing_per_ps * (a + b) / 2.0)


def emitter_encounter(optics: Optics, one: str, other: str) -> EmitterEncounter | None:
    """Of two memories; None: their photons never meet, or come at other rates."""
    first, second = optics.parts[one], optics.parts[other]
    assert isinstance(first, Emitter)
    assert isinstance(second, Emitter)
    arms = optics.arm(one, "out"), optics.arm(other, "out")
    met = meeting(*arms)
    if met is None or first.period_ps != second.period_ps:
        return None
    offset_ps = met.offset_ps + first.pulse_offset_ps - second.pulse_offset_ps
    pulses = round(offset_ps / first.period_ps)
    detuning = 2.0 * pi * LIGHT_NM_PER_PS * (1.0 / arms[0].wavelength_nm - 1.0 / arms[1].wavelength_nm)
    lifetime_ps = (first.lifetime_ps + second.lifetime_ps) / 2.0
    peak = optics.mode_match(met.splitter) / (1.0 + (detuning * lifetime_ps) ** 2)
    dephasing = sum((1.0 / each.coherence - 1.0) / each.lifetime_ps for each in (first, second)) / 2.0
    packets = PacketPair(
        (first.lifetime_ps, second.lifetime_ps), offset_ps - pulses * first.period_ps, dephasing, peak
    )
    return EmitterEncounter(packets, pulses)


class Group(NamedTuple):
    """Pulsed pair sources with one table. delays_in_pulses: by how many pulses each starts after the first of
    them whose photons meet; overlaps: by indices of arms in order (signal and idler of each)."""

    sources: tuple[str, ...]
    delays_in_pulses: tuple[int, ...]
    overlaps: dict[tuple[int, int], float]


def groups(optics: Optics, names: Iterable[str]) -> list[Group]:
    """Pulsed pair sources in groups that meet.

    Raises:
        ConfigError: sources that meet differ in their Schmidt number.
    """
    left = list(names)
    found = []
    while left:
        members = {left.pop(0): 0}
        fresh = list(members)
        while fresh:
            one = fresh.pop()
            for other in list(left):
                encounter = _any_encounter(optics, one, other)
                if encounter is not None:
                    left.remove(other)
                    members[other] = members[one] + encounter.pulses
                    fresh.append(other)
        found.append(_group(optics, members))
    return found


def _any_encounter(optics: Optics, one: str, other: str) -> Encounter | None:
    for mine in _arms(optics, one):
        for theirs in _arms(optics, other):
            encounter = pair_encounter(optics, mine, theirs)
            if encounter is not None:
                return encounter
    return None


def _arms(optics: Optics, name: str) -> tuple[Arm, Arm]:
    return optics.arm(name, "signal"), optics.arm(name, "idler")


def _group(optics: Optics, members: dict[str, int]) -> Group:
    earliest = min(members.values())
    arms = [arm for name in members for arm in _arms(optics, name)]
    schmidt = {_schmidt(optics, name) for name in members}
    if len(schmidt) > 1:
        raise ConfigError(
            f"pair sources {', '.join(members)} meet with Schmidt numbers {sorted(schmidt)}; give one"
        )
    overlaps = {}
    for x, one in enumerate(arms):
        for y in range(x + 1, len(arms)):
            encounter = pair_encounter(optics, one, arms[y])
            if encounter is not None and members[one.source] + encounter.pulses == members[arms[y].source]:
                overlaps[x, y] = encounter.overlap
    return Group(tuple(members), tuple(shift - earliest for shift in members.values()), overlaps)


def _schmidt(optics: Optics, name: str) -> float:
    source = optics.parts[name]
    assert isinstance(source, PairSource)
    return source.schmidt_number
