"""What a link heralds when its light goes over a bench, in the words that the World takes.

Owns the way from the present truth of a bench to `HeraldPhysics` for each architecture. Refuses the closed
forms (core/photonics.py, core/pair_sources.py) and what memories do to their qubits afterwards.

A turn of polarisation on the way of a photon moves the pair's Bell state by the Pauli shares of the turn: the
turn of one photon of a pair is as good as one of its memory, and heralded pairs are twirled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import expm1
from typing import Final, NamedTuple, TypeVar, assert_never

import numpy as np

from bellwire.core.bell import Bell, Cost, aged, pauli_channel
from bellwire.core.errors import ConfigError
from bellwire.core.pair_sources import midpoint_source, sender_receiver
from bellwire.core.photonics import (
    CODE_PSI_MINUS,
    CODE_PSI_PLUS,
    HeraldOutcome,
    HeraldPhysics,
    single_click,
    window_acceptance,
    windowed_visibility,
)
from bellwire.core.registry import nearest
from bellwire.simulator_backend.photons.arms import Arm
from bellwire.simulator_backend.photons.encounters import emitter_encounter
from bellwire.simulator_backend.photons.jones import BELL_AMPLITUDES, Jones, normalised, pauli_weights
from bellwire.simulator_backend.photons.optics import Optics
from bellwire.simulator_backend.photons.sinks import Absorber, Detector
from bellwire.simulator_backend.photons.sources import Emitter, PairSource
from bellwire.simulator_backend.photons.two_memories import Memories, click_operator

T = TypeVar("T")

NEVER: Final = HeraldPhysics(0.0, (HeraldOutcome(CODE_PSI_PLUS, 1.0, (0.25, 0.25, 0.25, 0.25)),))
"""A dark link, as the World takes it."""

DIMMEST_PAIRS: Final = 1e-30
"""Pairs per pulse of a source without pump: only backgrounds herald."""


class Waiting(NamedTuple):
    """A qubit that is stored before the click. rates: as of `bell.decay_rates`."""

    rates: Cost
    duration_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubleClickLink:
    """Two memories whose photons meet at a polarising analyser.

    emitters: of side 0 and side 1. ports: detectors (H, V) of both outputs of the splitter: Psi+ is two
    clicks of one port, Psi- one of each (procedures.md section 8). window_ns: from the packets' arrival.
    """

    emitters: tuple[str, str]
    ports: tuple[tuple[str, str], tuple[str, str]]
    window_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleClickLink:
    """Two memories whose photons meet at two detectors. alpha: bright populations, in place of the emitters'
    excitation. phase_rms_rad: between the arms."""

    emitters: tuple[str, str]
    detectors: tuple[str, str]
    alpha: tuple[float, float]
    window_ns: float
    phase_rms_rad: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderReceiverLink:
    """A memory that sends, and one that stores. intrinsic_fidelity: of a pair whose photon was stored.
    waiting: of the sender's qubit until the click."""

    emitter: str
    absorber: str
    intrinsic_fidelity: float = 0.98
    waiting: tuple[Waiting, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MidpointSourceLink:
    """A pulsed pair source between two memories. absorbers: of side 0, fed by the signal, and side 1.
    waiting: of each memory's qubit from its arrival to the click."""

    source: str
    absorbers: tuple[str, str]
    waiting: tuple[Waiting, ...] = ()


HeraldedLink = DoubleClickLink | SingleClickLink | SenderReceiverLink | MidpointSourceLink


def herald_physics(optics: Optics, link: HeraldedLink) -> HeraldPhysics:
    """Success probability per attempt, and what a success is, at the present setting.

    Raises:
        ConfigError: the link names a component that is not there or of another kind.
    """
    match link:
        case DoubleClickLink():
            return _double_click(optics, link)
        case SingleClickLink():
            return _single_click(optics, link)
        case SenderReceiverLink():
            return _sender_receiver(optics, link)
        case MidpointSourceLink():
            return _midpoint_source(optics, link)
        case _:
            assert_never(link)


def _named(optics: Optics, name: str, kind: type[T]) -> T:
    part = optics.parts.get(name)
    if part is None:
        raise ConfigError(f'link: unknown component "{name}"{nearest(name, optics.parts)}')
    if not isinstance(part, kind):
        raise ConfigError(f'link: "{name}" is a {type(part).__name__}, not a {kind.__name__}')
    return part


def _detector_dark(optics: Optics, detector: str, window_ns: float) -> float:
    """A click without a photon of the link in the window: darks, and noise of converters."""
    _named(optics, detector, Detector)
    return -expm1(-optics.dark_hz(detector) * window_ns * 1e-9)


def _seen(arm: Arm, end: str) -> float:
    """Click probability of an unpolarised photon."""
    return float(arm.click_operator(end).trace().real) / 2.0


# ---- light meets


class _Windowed(NamedTuple):
    """accepted: share of each side's photon inside the window. visibility: of what is inside."""

    accepted: tuple[float, float]
    visibility: float


def _windowed(optics: Optics, emitters: tuple[str, str], window_ns: float) -> _Windowed:
    one, other = (_named(optics, name, Emitter) for name in emitters)
    window_ps = window_ns * 1e3
    accepted = (
        window_acceptance(window_ps, one.lifetime_ps),
        window_acceptance(window_ps, other.lifetime_ps),
    )
    encounter = emitter_encounter(optics, *emitters)
    if encounter is None:
        return _Windowed(accepted, 0.0)
    lifetime_ps = (one.lifetime_ps + other.lifetime_ps) / 2.0
    # The window makes the packets purer; their mismatch in delay and colour is that of the whole packets.
    whole = 1.0 / (1.0 + encounter.packets.dephasing_per_ps * lifetime_ps)
    purer = windowed_visibility(whole, window_ps, lifetime_ps)
    return _Windowed(accepted, min(1.0, encounter.overlap() / whole * purer))


def _double_click(optics: Optics, link: DoubleClickLink) -> HeraldPhysics:
    """Both memories' state behind each pattern of two clicks, all other detectors silent."""
    ends = [detector for port in link.ports for detector in port]
    darks = [_detector_dark(optics, end, link.window_ns) for end in ends]
    window = _windowed(optics, link.emitters, link.window_ns)
    click = [click_operator(optics, link.emitters, end, window.accepted) for end in ends]
    emitters = [_named(optics, name, Emitter) for name in link.emitters]
    if any(each.polarisation is not None for each in emitters):
        raise ConfigError(
            f"link: emitters {', '.join(link.emitters)} of a double-click link have a polarisation"
        )
    emitted = [
        each.emitted(optics.settings[name]) for each, name in zip(emitters, link.emitters, strict=True)
    ]

    memories = Memories((emitted[0], emitted[1]), window.visibility)
    patterns = {CODE_PSI_PLUS: ((0, 1), (2, 3)), CODE_PSI_MINUS: ((0, 3), (1, 2))}
    found: dict[int, list[float]] = {}
    for code, pairs in patterns.items():
        total = sum((memories.two_clicks(click, darks, i, j) for i, j in pairs), np.zeros((4, 4)))
        found[code] = [
            max(0.0, float((psi.ravel().conj() @ total @ psi.ravel()).real)) for psi in BELL_AMPLITUDES
        ]
    return _outcomes(found)


def _outcomes(found: dict[int, list[float]]) -> HeraldPhysics:
    """From unnormalised Bell weights by code."""
    success = sum(sum(weights) for weights in found.values())
    if success <= 0.0:
        return NEVER
    outcomes = []
    for code, weights in found.items():
        share = sum(weights)
        if share > 0.0:
            a, b, c, d = (weight / share for weight in weights)
            outcomes.append(HeraldOutcome(code, share / success, (a, b, c, d)))
    return HeraldPhysics(success, tuple(outcomes))


def _single_click(optics: Optics, link: SingleClickLink) -> HeraldPhysics:
    """Both detectors are taken as equal, with the mean of their efficiencies and darks."""
    window = _windowed(optics, link.emitters, link.window_ns)
    arms = [optics.arm(name, "out") for name in link.emitters]
    darks = [_detector_dark(optics, end, link.window_ns) for end in link.detectors]
    emitters = [_named(optics, name, Emitter) for name in link.emitters]
    # One photon per memory and no encoding in its polarisation: a turn of one against the other is mismatch.
    letters = [each.polarisation for each in emitters]
    if None in letters:
        raise ConfigError(
            f"link: emitters {', '.join(link.emitters)} of a single-click link need a polarisation"
        )
    efficiency = [
        each.emission * accepted * sum(arm.chance(end, each.states()) for end in link.detectors)
        for each, arm, accepted in zip(emitters, arms, window.accepted, strict=True)
    ]
    seen = [
        _arriving(arm, link.detectors[0], each.states()[0]) for each, arm in zip(emitters, arms, strict=True)
    ]
    same = abs(complex(seen[0].conj() @ seen[1])) ** 2
    if max(*efficiency, *darks) <= 0.0:
        return NEVER
    return single_click(
        link.alpha[0],
        link.alpha[1],
        efficiency[0],
        efficiency[1],
        window.visibility * min(1.0, same),
        sum(darks) / 2.0,
        phase_rms_rad=link.phase_rms_rad,
    )


def _arriving(arm: Arm, end: str, state: Jones) -> Jones:
    """Polarisation at an end, norm one; as it left where nothing arrives."""
    ways = arm.ends.get(end)
    light = ways[0].jones @ state if ways else state
    norm = float(np.linalg.norm(light))
    return np.asarray(light / norm if norm > 0.0 else state, dtype=np.complex128)


def _turn(arm: Arm, end: str) -> Jones:
    ways = arm.ends.get(end)
    return normalised(ways[0].jones)[1] if ways else np.eye(2, dtype=np.complex128)


# ---- light is stored


def _absorber_dark(optics: Optics, name: str) -> float:
    window_ns = _named(optics, name, Absorber).window_ns
    return -expm1(-optics.dark_hz(name) * window_ns * 1e-9)


def _sender_receiver(optics: Optics, link: SenderReceiverLink) -> HeraldPhysics:
    emitted = _named(optics, link.emitter, Emitter).emitted(optics.settings[link.emitter])
    dark = _absorber_dark(optics, link.absorber)
    arm = optics.arm(link.emitter, "out")
    signal = emitted * _seen(arm, link.absorber)
    if signal <= 0.0 and dark <= 0.0:
        return NEVER
    physics = sender_receiver(signal, dark, link.intrinsic_fidelity)
    return _moved(physics, _turn(arm, link.absorber), link.waiting)


def _midpoint_source(optics: Optics, link: MidpointSourceLink) -> HeraldPhysics:
    source = _named(optics, link.source, PairSource)
    if source.entangled is None or source.period_ps is None:
        raise ConfigError(f'link: source "{link.source}" must be pulsed and entangled')
    arms = [optics.arm(link.source, output) for output in source.outputs]
    darks = [_absorber_dark(optics, name) for name in link.absorbers]
    seen = [_seen(arm, name) for arm, name in zip(arms, link.absorbers, strict=True)]
    pairs = source.pairs_per_pulse(optics.settings[link.source])
    ways = [max(dark, pairs * efficiency) for dark, efficiency in zip(darks, seen, strict=True)]
    if min(ways) <= 0.0:
        return NEVER
    physics = midpoint_source(
        max(pairs, DIMMEST_PAIRS),
        seen[0],
        seen[1],
        darks[0],
        darks[1],
        source.intrinsic_error,
        schmidt_number=source.schmidt_number,
    )
    # One turn can undo the other: what counts is the turn between both photons.
    first, second = (_turn(arm, name) for arm, name in zip(arms, link.absorbers, strict=True))
    psi = source.amplitudes()
    return _moved(
        physics, np.asarray(first @ psi @ second.T @ psi.conj().T * 2.0, dtype=np.complex128), link.waiting
    )


def _moved(physics: HeraldPhysics, turn: Jones, waiting: Sequence[Waiting]) -> HeraldPhysics:
    """The same heralds after a turn of one photon and the waiting of qubits."""
    weights = pauli_weights(turn)

    def moved(state: Bell) -> Bell:
        state = pauli_channel(state, weights)
        for each in waiting:
            state = aged(state, each.rates, each.duration_ns)
        return state

    return physics._replace(
        outcomes=tuple(outcome._replace(state=moved(outcome.state)) for outcome in physics.outcomes)
    )
