"""Tags of a misaligned lab of entangled photons without instruments, and what its light is in closed form.

Owns the way from the hidden bench to tags of both receivers on one time, as a pairing would have them:
delays of detectors taken off, jitter of both clocks put on, no error of following. Refuses sockets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import erf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bellwire.calibration.bench import Detector as Input
from bellwire.calibration.bench import LinkBench, Receiver
from bellwire.calibration.pairing import Together
from bellwire.calibration.records import Quantity
from bellwire.calibration.work import Work
from bellwire.simulator_backend.photons.clicks import FWHM_PER_SIGMA
from bellwire.simulator_backend.photons.light import samplers
from bellwire.simulator_backend.photons.optical_bench import OpticalBench
from bellwire.simulator_backend.photons.optics import Optics
from bellwire.simulator_backend.photons.samplers import SteadyPairSampler
from bellwire.simulator_backend.photons.sources import PairSource
from tests.calibration.made_records import made
from tests.calibration.worlds import Truth, description_of

LABELS = "hvda"
SIDES = ("alice", "bob")
S_PS = 10**12
RECEIVERS = tuple(
    Receiver(side, f"{side}-tagger", tuple(Input(label, number) for number, label in enumerate(LABELS, 1)))
    for side in SIDES
)
BENCH = LinkBench(link="alice-bob", kind="distribution", receivers=RECEIVERS)


@dataclass(frozen=True)
class Light:
    """What falls on the detectors of a world, before dead times. `pairs_hz`: made by the source.
    `singles_hz`: by detector, darks included. `both_hz` (4, 4): pairs that click at a detector of Alice and
    at one of Bob.
    """

    pairs_hz: float
    singles_hz: Mapping[str, float]
    dark_hz: Mapping[str, float]
    both_hz: NDArray[np.float64]

    def arm_efficiency(self, detector: str) -> float:
        """Of a photon in the polarisation of that detector: pairs come in it half of the time."""
        return 2.0 * (self.singles_hz[detector] - self.dark_hz[detector]) / self.pairs_hz

    def heralding(self, side: str) -> float:
        """Chance that any detector of a side sees its photon of a pair."""
        return sum(self.arm_efficiency(f"{side}_{label}") / 2.0 for label in LABELS)


def light_of(text: str, knobs: Mapping[str, float]) -> Light:
    """In closed form, at these knobs of the optics."""
    optics = Optics(description_of(text).layout, np.random.SeedSequence(0))
    for knob, value in knobs.items():
        part, _, name = knob.partition(".")
        optics.turn(part, name, value)
    (pairs,) = [one for one in samplers(optics) if isinstance(one, SteadyPairSampler)]
    source = optics.parts["source"]
    assert isinstance(source, PairSource)
    singles = dict.fromkeys(optics.detectors(), 0.0)
    for sampler in samplers(optics):
        for end, rate in sampler.rates().items():
            singles[end] += rate.steady_hz
    place = {end: index for index, end in enumerate(pairs.ends)}
    both = np.array(
        [
            [
                pairs.rate_hz * float(pairs.table[place[f"alice_{one}"], place[f"bob_{other}"]])
                for other in LABELS
            ]
            for one in LABELS
        ]
    )
    return Light(
        source.pair_rate_hz(optics.settings["source"]),
        singles,
        {end: optics.dark_hz(end) for end in singles},
        both,
    )


def rms_ps(truth: Truth, detector: str) -> float:
    """Jitter of a detector with that of its clock."""
    side = detector.partition("_")[0]
    own = float(truth.of(detector, "jitter_fwhm_ps")) / FWHM_PER_SIGMA
    return sqrt(own**2 + float(truth.of(f"{side}_clock", "jitter_ps")) ** 2)


def captured(truth: Truth, width_ps: float) -> NDArray[np.float64]:
    """Share of pairs inside a window of full width `width_ps` about their peak, (4, 4)."""
    rms = {side: [rms_ps(truth, f"{side}_{label}") for label in LABELS] for side in SIDES}
    return np.array([[erf(width_ps / sqrt(8.0 * (x * x + y * y))) for y in rms["bob"]] for x in rms["alice"]])


def looks_of(text: str, truth: Truth, knobs: Mapping[str, float], seconds: int, seed: int) -> list[Together]:
    """One second after the other, of one realisation."""
    bench = OpticalBench(description_of(text).layout, seed)
    for knob, value in knobs.items():
        bench.turn(knob, value, 0)
    chance = np.random.default_rng([seed, 8])
    found: list[Together] = []
    for second in range(seconds):
        tags = bench.tags(second * S_PS, (second + 1) * S_PS)
        sides: list[dict[str, NDArray[np.int64]]] = []
        for number, side in enumerate(SIDES):
            clock_ps = float(truth.of(f"{side}_clock", "jitter_ps"))
            own: dict[str, NDArray[np.int64]] = {}
            for index, label in enumerate(LABELS):
                mine = tags.time_ps[tags.channel == 4 * number + index + 1].astype(np.float64)
                mine += chance.normal(0.0, clock_ps, mine.size) - truth.of(f"{side}_{label}", "latency_ps")
                own[label] = np.sort(np.floor(mine).astype(np.int64))
            sides.append(own)
        found.append(Together(1.0, sides[0], sides[1]))
    return found


def work_of(quantities: Mapping[str, Mapping[str, Quantity]]) -> Work:
    """Records in force, by procedure, and no instrument."""
    held: Any = None
    known = {
        procedure: made(procedure, procedure=procedure, link=BENCH.link, quantities=dict(found))
        for procedure, found in quantities.items()
    }
    return Work("a test", BENCH, held, known=known, chance=np.random.default_rng(0))
