"""Labs whose hidden truth is drawn by chance, and the best that each of them allows.

Owns what a misaligned lab is: sources, fibres, converters, detectors, clocks and delays off by what is found
on the first day. Only the `optics` section is changed, which no node reads, and the seed; what the file tells
to people and devices stays as it was. `best` turns the knobs of the same bench to where they must stand, for
the proof that a procedure came near. The same seed gives the same world.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import erf, sqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import yaml
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from scipy.optimize import minimize

from bellwire.labs import load_lab
from bellwire.simulator_backend.photons.clicks import FWHM_PER_SIGMA
from bellwire.simulator_backend.photons.clock import Clock
from bellwire.simulator_backend.photons.description import OpticsDescription
from bellwire.simulator_backend.photons.elements import Drift
from bellwire.simulator_backend.photons.heralding import herald_physics
from bellwire.simulator_backend.photons.jones import PAULIS, Jones, normalised
from bellwire.simulator_backend.photons.light import samplers
from bellwire.simulator_backend.photons.optics import Optics
from bellwire.simulator_backend.photons.passive import BeamSplitter, Fibre, Paddles, PolarisingSplitter
from bellwire.simulator_backend.photons.samplers import SteadyPairSampler
from bellwire.simulator_backend.photons.sinks import Detector
from bellwire.simulator_backend.photons.sources import PairSource

LABS: Final = Path(__file__).parents[2] / "lab_configs"
PADDLE_DEG: Final = (0.0, 170.0)
STARTS: Final = tuple(product((30.0, 85.0, 140.0), repeat=3))
"""Paddle angles from which the best ones are looked for."""

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Truth:
    """What was drawn: fields of components by name, as they stand in the optics section of the lab's text."""

    lab: str
    seed: int
    components: Mapping[str, Mapping[str, Any]]

    def of(self, component: str, field: str) -> Any:
        """One drawn field."""
        return self.components[component][field]


@dataclass(frozen=True, slots=True)
class BestPairs:
    """Of pairs that are detected, at the file's pump power and the best oven temperature.

    knobs: the oven and Bob's paddles, every other knob as the optics section starts. error_z, error_x: share
    of wrong coincidences, accidentals included; visibility: mean of 1 - 2e of both bases. chsh: |S| with
    Bob's bases half-way between Alice's. coincidences_hz: inside the window, all bases. window_ps: full.
    """

    knobs: Mapping[str, float]
    error_z: float
    error_x: float
    visibility: float
    chsh: float
    coincidences_hz: float
    window_ps: float


@dataclass(frozen=True, slots=True)
class BestMeeting:
    """Of memories whose photons meet, with the converters at their peak.

    success_probability: of an attempt. fidelity: mean over the heralds. dip_visibility: of the alignment
    source against the delay line; dip_ps: where the line stands then.
    """

    knobs: Mapping[str, float]
    success_probability: float
    fidelity: float
    dip_visibility: float
    dip_ps: float


def lab_text(name: str) -> str:
    """The text of a shipped lab."""
    return (LABS / f"{name}.yaml").read_text(encoding="utf-8")


def misaligned(text: str, seed: int) -> tuple[str, Truth]:
    """The lab `entangled_photons` or `optics_double_click` with a hidden truth of its own, and that truth."""
    document = yaml.safe_load(text)
    components: dict[str, Fields] = document["optics"]["components"]
    chance = default_rng([seed, *document["lab"].encode()])
    drawn: dict[str, Fields] = {}
    for name in sorted(components):  # one after the other: the order of the file does not matter
        found = _drawn(name, components[name], chance)
        if found:
            drawn[name] = found
            components[name] = {**components[name], **found}
    document["seed"] = seed
    changed = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return changed, Truth(document["lab"], seed, drawn)


def _drawn(name: str, fields: Fields, chance: Generator) -> Fields:
    def between(low: float, high: float) -> float:
        return float(chance.uniform(low, high))

    def times(value: float, spread: float) -> float:
        return float(value * chance.lognormal(0.0, spread))

    match fields["kind"]:
        case "pair_source" if fields.get("entangled") is not None:
            return {
                "brightness_hz_per_mw": times(fields["brightness_hz_per_mw"], 0.3),
                "best_oven_c": fields["best_oven_c"] + between(-5.0, 5.0),
                "oven_fwhm_k": between(1.5, 2.5),
                "coupling": [between(0.45, 0.7), between(0.45, 0.7)],
                "intrinsic_error": between(0.004, 0.02),
            }
        case "pair_source":
            return {
                "brightness_hz_per_mw": times(fields["brightness_hz_per_mw"], 0.2),
                "photon_rms_ps": between(12.0, 20.0),
                "coupling": [between(0.6, 0.8), between(0.6, 0.8)],
            }
        case "emitter":
            return {"emission": between(0.25, 0.4), "coherence": between(0.94, 0.99)}
        case "laser":
            return {"power_w": times(fields["power_w"], 0.2)}
        case "converter":
            return {
                "best_pump_mw": between(180.0, 320.0),
                "peak_efficiency": between(0.6, 0.72),
                "device_efficiency": between(0.6, 0.75),
                "noise_hz": between(2.0, 10.0),
                "noise_hz_per_mw": between(0.2, 0.8),
                "best_oven_c": fields.get("best_oven_c", 50.0) + between(-4.0, 4.0),
                "oven_fwhm_k": between(1.2, 2.0),
            }
        case "fibre":
            return {"turn_rad": _random_turn(chance), "insertion_loss_db": between(0.0, 1.0)}
        case "detector":
            return {
                "efficiency": between(0.72, 0.92),
                "dark_hz": times(60.0, 0.6),
                "dead_ps": between(30_000.0, 80_000.0),
                "jitter_fwhm_ps": between(30.0, 80.0),
                "latency_ps": between(0.0, 800.0),
            }
        case "delay_line" if name.endswith("skew"):
            return {"position_ps": between(100.0, 550.0)}
        case "beam_splitter" if not name.endswith("tap"):
            return {"transmittance": between(0.46, 0.54), "mode_match": between(0.93, 0.99)}
        case "attenuator":
            return {"insertion_loss_db": fields["insertion_loss_db"] + float(chance.normal(0.0, 0.1))}
        case "power_meter":
            return {"response": float(chance.normal(1.0, 0.03))}
        case "polarising_splitter":
            return {"extinction": times(1e-3, 0.4)}
        case "clock":
            return {
                "offset_ps": int(chance.integers(-5_000_000_000, 5_000_000_000)),
                "rate_ppb": between(-2_000.0, 2_000.0),
                "wander_ppb_per_root_s": times(0.02, 0.5),
                "jitter_ps": between(10.0, 30.0),
            }
        case "pps":
            return {
                "offset_ps": int(chance.integers(-50_000, 50_000)),
                "jitter_ps": between(2_000.0, 8_000.0),
            }
        case _:
            return {}


def _random_turn(chance: Generator) -> list[float]:
    """A turn of the Poincare sphere, none preferred: a random quaternion as axis times angle."""
    quaternion = chance.standard_normal(4)
    quaternion /= np.linalg.norm(quaternion)
    half = float(np.arccos(np.clip(quaternion[0], -1.0, 1.0)))
    return [float(2.0 * half * each / np.sin(half)) for each in quaternion[1:]]


# ---- the best that a world allows


def best(text: str, truth: Truth, *, window_ps: float = 500.0) -> BestPairs | BestMeeting:
    """What the lab of a text allows when every knob stands as it must."""
    description = description_of(text)
    if truth.lab == "entangled_photons":
        return _best_pairs(description, truth, window_ps)
    return _best_meeting(description, truth)


def pairs_at(text: str, knobs: Mapping[str, float], *, window_ps: float = 500.0) -> BestPairs:
    """What the receivers of `entangled_photons` see at these knobs, in closed form."""
    return _pairs(description_of(text), knobs, window_ps)


def counted_hz(text: str, knobs: Mapping[str, float], *, window_ps: float = 500.0) -> NDArray[np.float64]:
    """Coincidences at these knobs in closed form, (4, 4): Alice's detectors by Bob's, in h, v, d, a."""
    description = description_of(text)
    return _coincidences_hz(description, _optics(description, knobs), window_ps)


def state_at(text: str, knobs: Mapping[str, float], *, window_ps: float = 500.0) -> Jones:
    """The state (4, 4) of the pairs that the receivers of `entangled_photons` count at these knobs.

    What the source makes, turned by what stands in both arms, with the white noise of the source and of
    accidentals; a splitter that errs in e shrinks what it shows by 1 - 2e, taken as the mean of the two of a
    receiver.
    """
    description = description_of(text)
    parts = description.layout.components
    source = parts["source"]
    assert isinstance(source, PairSource)
    optics = _optics(description, knobs)
    psi = (_arm_turn(optics, "alice") @ source.amplitudes() @ _arm_turn(optics, "bob").T).reshape(4)
    true_hz, chance_hz = _true_and_chance_hz(description, optics, window_ps)
    true_share = float(true_hz.sum() / (true_hz + chance_hz).sum())
    white = 1.0 - (1.0 - 2.0 * source.intrinsic_error) * true_share
    state = (1.0 - white) * np.outer(psi, psi.conj()) + white * np.eye(4) / 4.0
    for side, place in (("alice", 0), ("bob", 1)):
        splitters = [parts[f"{side}_{name}"] for name in ("hv", "da")]
        extinctions = [one.extinction for one in splitters if isinstance(one, PolarisingSplitter)]
        state = _depolarised(state, place, 2.0 * sum(extinctions) / len(splitters))
    return np.asarray(state, dtype=np.complex128)


def _arm_turn(optics: Optics, side: str) -> Jones:
    """Of fibre, paddles and plates of one receiver, as they stand."""
    turn = np.eye(2, dtype=np.complex128)
    for name in ("fibre", "paddles", "plate"):
        part = optics.parts[f"{side}_{name}"]
        assert isinstance(part, Fibre | Paddles)
        angles = [value for _, value in sorted(optics.settings[f"{side}_{name}"].items())]
        turn = _turn_of(part, angles) @ turn
    return turn


def _depolarised(state: Jones, place: int, share: float) -> Jones:
    """One qubit of two replaced by white noise in so many cases."""
    parts = state.reshape(2, 2, 2, 2)
    if place == 0:
        mixed = np.einsum("ac,ibid->abcd", np.eye(2) / 2.0, parts)
    else:
        mixed = np.einsum("bd,aici->abcd", np.eye(2) / 2.0, parts)
    return np.asarray((1.0 - share) * state + share * mixed.reshape(4, 4), dtype=np.complex128)


def description_of(text: str) -> OpticsDescription:
    """The hidden light of a lab's text."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "lab.yaml"
        path.write_text(text, encoding="utf-8")
        description = load_lab(path).optics()
    assert description is not None
    return description


def _optics(description: OpticsDescription, knobs: Mapping[str, float]) -> Optics:
    optics = Optics(description.layout, np.random.SeedSequence(0))
    for knob, value in knobs.items():
        part, _, name = knob.partition(".")
        optics.turn(part, name, value)
    return optics


def _turn_of(part: Fibre | Paddles, angles_deg: Sequence[float] | None = None) -> Jones:
    angles = part.angles_deg if isinstance(part, Paddles) and angles_deg is None else angles_deg or ()
    settings = {f"angle_{number}_deg": angle for number, angle in enumerate(angles, 1)}
    (passage,) = part.passages("in", 1550.0, settings, Drift())
    return normalised(passage.jones)[1]


def _best_angles(part: Paddles, score: Callable[[Jones], float], most: float) -> tuple[float, float, float]:
    """Paddle angles of the highest score of their turn, from many beginnings, as the paddles stop at 170
    degrees; `most`: no score is above.
    """
    found: list[tuple[float, list[float]]] = []
    for start in STARTS:
        least = minimize(
            lambda angles: -score(_turn_of(part, angles.tolist())),
            start,
            method="Nelder-Mead",
            bounds=[PADDLE_DEG] * 3,
            options={"xatol": 1e-3, "fatol": 1e-9, "maxiter": 600},
        )
        found.append((-float(least.fun), least.x.tolist()))
        if found[-1][0] > most - 1e-6:
            break
    one, two, three = max(found)[1]
    return one, two, three


def _best_pairs(description: OpticsDescription, truth: Truth, window_ps: float) -> BestPairs:
    parts = description.layout.components
    source, bob = parts["source"], parts["bob_paddles"]
    assert isinstance(source, PairSource)
    assert isinstance(bob, Paddles)
    before: dict[str, Jones] = {}
    for side in ("alice", "bob"):
        fibre, plate = parts[f"{side}_fibre"], parts[f"{side}_plate"]
        assert isinstance(fibre, Fibre)
        assert isinstance(plate, Paddles)
        before[side] = _turn_of(fibre)
        before[f"{side}_plate"] = _turn_of(plate)
    paddles = parts["alice_paddles"]
    assert isinstance(paddles, Paddles)
    alice = before["alice_plate"] @ _turn_of(paddles) @ before["alice"]

    def same_in_both_bases(turn: Jones) -> float:
        psi = alice @ source.amplitudes() @ (before["bob_plate"] @ turn @ before["bob"]).T
        return sum(
            float(np.einsum("ab,ac,bd,cd->", psi.conj(), pauli, pauli, psi).real) for pauli in PAULIS[1:3]
        )

    angles = _best_angles(bob, same_in_both_bases, 2.0)
    knobs = {f"bob_paddles.angle_{number}_deg": angle for number, angle in enumerate(angles, 1)}
    knobs["source.oven_c"] = float(truth.of("source", "best_oven_c"))
    return _pairs(description, knobs, window_ps)


def _pairs(description: OpticsDescription, knobs: Mapping[str, float], window_ps: float) -> BestPairs:
    counts = _coincidences_hz(description, _optics(description, knobs), window_ps)
    half_way = _optics(description, {**knobs, "bob_plate.angle_2_deg": 11.25})
    between = _coincidences_hz(description, half_way, window_ps)
    error_z, error_x = (_wrong(counts, basis, basis) for basis in (0, 1))
    e = [[1.0 - 2.0 * _wrong(between, a, b) for b in (0, 1)] for a in (0, 1)]
    chsh = max(abs(sum(map(sum, e)) - 2.0 * e[a][b]) for a in (0, 1) for b in (0, 1))
    return BestPairs(knobs, error_z, error_x, 1.0 - error_z - error_x, chsh, float(counts.sum()), window_ps)


def _wrong(counts: NDArray[np.float64], alice: int, bob: int) -> float:
    """Share of coincidences of unlike outcomes in one choice of bases (0: H and V, 1: D and A)."""
    block = counts[2 * alice : 2 * alice + 2, 2 * bob : 2 * bob + 2]
    return float((block[0, 1] + block[1, 0]) / block.sum())


def _coincidences_hz(description: OpticsDescription, optics: Optics, window_ps: float) -> NDArray[np.float64]:
    """Pairs and accidentals in a window centred on each peak, Alice's detectors by Bob's, in h, v, d, a."""
    true_hz, chance_hz = _true_and_chance_hz(description, optics, window_ps)
    return true_hz + chance_hz


def _true_and_chance_hz(
    description: OpticsDescription, optics: Optics, window_ps: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same, apart."""
    (pairs,) = [one for one in samplers(optics) if isinstance(one, SteadyPairSampler)]
    singles: dict[str, float] = dict.fromkeys(optics.detectors(), 0.0)
    for sampler in samplers(optics):
        for end, rate in sampler.rates().items():
            singles[end] += rate.steady_hz
    pairs_hz, chance_hz = np.zeros((4, 4)), np.zeros((4, 4))
    for i, mine in enumerate("hvda"):
        for j, theirs in enumerate("hvda"):
            ends = f"alice_{mine}", f"bob_{theirs}"
            kept, variance = 1.0, 0.0
            for end in ends:
                part = description.layout.components[end]
                clock = description.layout.components[f"{end.partition('_')[0]}_clock"]
                assert isinstance(part, Detector)
                assert isinstance(clock, Clock)
                kept /= 1.0 + singles[end] * part.dead_ps * 1e-12
                variance += (part.jitter_fwhm_ps / FWHM_PER_SIGMA) ** 2 + clock.jitter_ps**2
            inside = erf(window_ps / 2.0 / sqrt(2.0 * variance))
            place = pairs.ends.index(ends[0]), pairs.ends.index(ends[1])
            pairs_hz[i, j] = kept * pairs.rate_hz * float(pairs.table[place]) * inside
            chance_hz[i, j] = kept * singles[ends[0]] * singles[ends[1]] * window_ps * 1e-12
    return pairs_hz, chance_hz


def _likeness(before: Jones) -> Callable[[Jones], float]:
    """How near a turn brings light to how it was before a fibre, 0..1."""
    return lambda turn: abs(complex(np.trace(turn @ before))) / 2.0


def _best_meeting(description: OpticsDescription, truth: Truth) -> BestMeeting:
    parts = description.layout.components
    knobs = {"middle_delay.position_ps": float(truth.of("middle_skew", "position_ps"))}
    for side in ("alice", "bob"):
        fibre, paddles = parts[f"middle_{side}_fibre"], parts[f"middle_{side}"]
        assert isinstance(fibre, Fibre)
        assert isinstance(paddles, Paddles)
        angles = _best_angles(paddles, _likeness(_turn_of(fibre)), 1.0)
        knobs |= {f"middle_{side}.angle_{number}_deg": angle for number, angle in enumerate(angles, 1)}
        for knob, field in (("pump_mw", "best_pump_mw"), ("oven_c", "best_oven_c")):
            knobs[f"{side}_converter.{knob}"] = float(truth.of(f"{side}_converter", field))
    physics = herald_physics(_optics(description, knobs), description.links["alice-bob"])
    splitter = parts["middle_splitter"]
    assert isinstance(splitter, BeamSplitter)
    through, across = splitter.transmittance, 1.0 - splitter.transmittance
    dip = splitter.mode_match * 2.0 * through * across / (through**2 + across**2)
    return BestMeeting(
        knobs,
        physics.success_probability,
        physics.fidelity,
        dip,
        float(truth.of("middle_skew", "position_ps")),
    )
