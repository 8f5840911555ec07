"""From a bench at one moment to the samplers of all its light.

Owns the choice of a sampler for each kind of light. Refuses probabilities and chance, which the samplers and
tables own.
"""

from __future__ import annotations

import numpy as np

from bellwire.simulator_backend.photons.arms import Arm
from bellwire.simulator_backend.photons.categories import Categories
from bellwire.simulator_backend.photons.emitter_sampler import EmitterSampler, MeetingEmitterSampler
from bellwire.simulator_backend.photons.encounters import Group, emitter_encounter, groups, pair_encounter
from bellwire.simulator_backend.photons.jones import PAULIS, Jones, state_of
from bellwire.simulator_backend.photons.laws import photon_rate_hz
from bellwire.simulator_backend.photons.optics import Optics
from bellwire.simulator_backend.photons.pulse_table import PulsedPairs, pattern_probabilities
from bellwire.simulator_backend.photons.samplers import (
    LaserPulseSampler,
    PatternSampler,
    Sampler,
    SteadyPairSampler,
    SteadySampler,
)
from bellwire.simulator_backend.photons.sources import Emitter, Laser, PairSource
from bellwire.simulator_backend.photons.two_photons import Mixture, fates


def samplers(optics: Optics) -> list[Sampler]:
    """Of everything that makes a detector click, in a fixed order."""
    return optics.derived("samplers", lambda: _samplers(optics))


def _samplers(optics: Optics) -> list[Sampler]:
    sources = optics.sources()
    made: list[Sampler] = []
    pulsed = [name for name, part in sources.items() if isinstance(part, PairSource) and part.period_ps]
    made.extend(_pulsed(optics, group) for group in groups(optics, pulsed))
    for name, part in sources.items():
        if isinstance(part, PairSource) and part.period_ps is None:
            made.append(_steady_pairs(optics, name, part))
    made.extend(_emitters(optics, [name for name, part in sources.items() if isinstance(part, Emitter)]))
    steady_hz = {end: optics.dark_hz(end) for end in optics.detectors()}
    for name, part in sources.items():
        if not isinstance(part, Laser):
            continue
        lit_hz, arm = _laser_hz(optics, name, part)
        if part.period_ps is None:
            for end, rate_hz in lit_hz.items():
                steady_hz[end] += rate_hz
        else:
            means = {end: rate_hz * part.period_ps * 1e-12 for end, rate_hz in lit_hz.items()}
            delays_ps = {end: arm.delay_ps(end) for end in means}
            made.append(LaserPulseSampler(means, delays_ps, part.period_ps, part.pulse_offset_ps))
    made.append(SteadySampler(steady_hz))
    return made


def _reached(optics: Optics, *arms: Arm) -> tuple[str, ...]:
    return tuple(end for end in optics.detectors() if any(end in arm.ends for arm in arms))


def _delays(arm: Arm, ends: tuple[str, ...]) -> tuple[float, ...]:
    return tuple(arm.delay_ps(end) if end in arm.ends else 0.0 for end in ends)


def _pulsed(optics: Optics, group: Group) -> PatternSampler:
    period_ps = 1
    pairs: list[PulsedPairs] = []
    all_arms: list[Arm] = []
    delays_ps: dict[str, float] = {}
    schmidt_number = 1.0
    starts_ps = [
        _period_ps(optics, name) * shift + _pair_source(optics, name).pulse_offset_ps
        for name, shift in zip(group.sources, group.delays_in_pulses, strict=True)
    ]
    for name, start_ps in zip(group.sources, starts_ps, strict=True):
        source = _pair_source(optics, name)
        period_ps, schmidt_number = _period_ps(optics, name), source.schmidt_number
        arms = optics.arm(name, "signal"), optics.arm(name, "idler")
        all_arms += arms
        late_ps = start_ps - min(starts_ps)
        for arm in arms:
            for end in arm.ends:
                delays_ps.setdefault(end, arm.delay_ps(end) + late_ps)
        pairs.append(
            PulsedPairs(
                source.pairs_per_pulse(optics.settings[name]),
                source.amplitudes(),
                source.error_weights(),
                arms,
            )
        )
    overlaps = np.eye(len(all_arms))
    for (x, y), overlap in group.overlaps.items():
        overlaps[x, y] = overlaps[y, x] = overlap
    ends = _reached(optics, *all_arms)
    table = pattern_probabilities(pairs, ends, overlaps, schmidt_number)
    delays = tuple(delays_ps[end] for end in ends)
    return PatternSampler(ends, table, delays, period_ps, min(starts_ps), Categories(table[1:]))


def _pair_source(optics: Optics, name: str) -> PairSource:
    source = optics.parts[name]
    assert isinstance(source, PairSource)
    return source


def _period_ps(optics: Optics, name: str) -> int:
    period_ps = _pair_source(optics, name).period_ps
    assert period_ps is not None, "a pulsed source"
    return period_ps


def _steady_pairs(optics: Optics, name: str, source: PairSource) -> SteadyPairSampler:
    arms = optics.arm(name, "signal"), optics.arm(name, "idler")
    ends = _reached(optics, *arms)
    encounter = pair_encounter(optics, *arms)
    mixture: Mixture = [
        (weight, _turned(pauli, source.amplitudes()))
        for weight, pauli in zip(source.error_weights(), PAULIS, strict=True)
        if weight > 0.0
    ]
    table = fates(*arms, ends, mixture, 0.0 if encounter is None else encounter.overlap)
    rate_hz = source.pair_rate_hz(optics.settings[name])
    delays_ps = (_delays(arms[0], ends), _delays(arms[1], ends))
    return SteadyPairSampler(ends, rate_hz, table, delays_ps, Categories(table.ravel()[:-1]))


def _turned(pauli: Jones, amplitudes: Jones) -> Jones:
    return np.asarray(pauli @ amplitudes, dtype=np.complex128)


def _emitters(optics: Optics, names: list[str]) -> list[Sampler]:
    """Memories by two where they meet; a third that meets one of them stays a stranger."""
    made: list[Sampler] = []
    left = list(names)
    while left:
        one = left.pop(0)
        partner = next((other for other in left if emitter_encounter(optics, one, other) is not None), None)
        if partner is None:
            made.append(_lonely(optics, one))
        else:
            left.remove(partner)
            made.append(_meeting(optics, one, partner))
    return made


def _emitter(optics: Optics, name: str) -> tuple[Emitter, float]:
    part = optics.parts[name]
    assert isinstance(part, Emitter)
    return part, part.emitted(optics.settings[name])


def _lonely(optics: Optics, name: str) -> EmitterSampler:
    source, emitted = _emitter(optics, name)
    arm = optics.arm(name, "out")
    ends = _reached(optics, arm)
    chances = np.array([arm.chance(end, source.states()) for end in ends])
    return EmitterSampler(
        ends,
        emitted,
        chances,
        _delays(arm, ends),
        source.lifetime_ps,
        source.period_ps,
        source.pulse_offset_ps,
    )


def _meeting(optics: Optics, one: str, other: str) -> MeetingEmitterSampler:
    encounter = emitter_encounter(optics, one, other)
    assert encounter is not None
    (first, first_emitted), (second, second_emitted) = _emitter(optics, one), _emitter(optics, other)
    arms = optics.arm(one, "out"), optics.arm(other, "out")
    ends = _reached(optics, *arms)
    couples = [np.outer(mine, theirs) for mine in first.states() for theirs in second.states()]
    mixture = [(1.0 / len(couples), np.asarray(psi, dtype=np.complex128)) for psi in couples]
    # Photons of one draw meet: the second's pulse is that many pulses after the first's.
    starts_ps = (first.pulse_offset_ps, second.pulse_offset_ps + encounter.pulses * first.period_ps)
    offset_ps = min(starts_ps)
    flights_ps = [_delays(arm, ends) for arm in arms]
    delays_ps = (
        tuple(delay + starts_ps[0] - offset_ps for delay in flights_ps[0]),
        tuple(delay + starts_ps[1] - offset_ps for delay in flights_ps[1]),
    )
    return MeetingEmitterSampler(
        ends,
        (first_emitted, second_emitted),
        fates(*arms, ends, mixture, 1.0),
        fates(*arms, ends, mixture, 0.0),
        delays_ps,
        encounter.packets,
        first.period_ps,
        offset_ps,
    )


def _laser_hz(optics: Optics, name: str, laser: Laser) -> tuple[dict[str, float], Arm]:
    """Detected photons per second by end."""
    arm = optics.arm(name, "out")
    emitted_hz = photon_rate_hz(optics.settings[name]["power_w"], laser.wavelength_nm)
    return {
        end: emitted_hz * arm.chance(end, (state_of(laser.polarisation),)) for end in _reached(optics, arm)
    }, arm
