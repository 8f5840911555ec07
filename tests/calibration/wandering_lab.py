"""The lab of entangled photons, in order at first, whose fibre and clocks wander: for tests of keeping it.

Owns the file's text, the process that plays it, and a count of errors past every keeper. The paddles of bob
stand away from the ends of their range, and his fibre turns so that they undo it when the lab is built.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import yaml
from scipy.spatial.transform import Rotation

from bellwire.calibration.bench import Knob, LinkBench
from bellwire.calibration.direct import DirectAccess
from bellwire.calibration.estimates.counting import share
from bellwire.calibration.pair_counts import window_in_force, wrong_and_total
from bellwire.calibration.pairing import paired
from bellwire.calibration.procedure import Finding
from bellwire.calibration.records import CalibrationRecord, Outcome, Quantity
from bellwire.calibration.work import Work
from bellwire.simulator_backend.photons.jones import IDENTITY, Jones, waveplate
from tests.calibration.emulated_lab import LINK, Calibrated, calibrated, played
from tests.calibration.worlds import Truth, lab_text

START_DEG: Final = (55.0, 70.0, 100.0)
PLATES: Final = (0.25, 0.5, 0.25)


def undone_by(angles_deg: tuple[float, ...]) -> list[float]:
    """The turn of a fibre that paddles at these angles undo, as `turn_rad` of a fibre."""
    paddles: Jones = IDENTITY
    for retardance, angle in zip(PLATES, angles_deg, strict=True):
        paddles = np.asarray(waveplate(retardance, angle) @ paddles)
    turn = paddles.conj().T / np.sqrt(np.linalg.det(paddles.conj().T))
    # exp(-i v.sigma/2) = cos - i sin n.sigma, sigma in the order Z, X, Y
    quaternion = [
        -(turn[0, 0] - turn[1, 1]).imag / 2,
        -(turn[0, 1] + turn[1, 0]).imag / 2,
        -(turn[0, 1] - turn[1, 0]).real / 2,
        turn.trace().real / 2,
    ]
    return [float(one) for one in Rotation.from_quat(quaternion).as_rotvec()]


def wandering(*, seed: int, fibre_rad: float, clocks_ppb: float, error_max: float) -> str:
    """The lab's text. The oven needs no heating, and light is half of the shipped lab's."""
    document = yaml.safe_load(lab_text("entangled_photons"))
    document["seed"] = seed
    parts = document["optics"]["components"]
    parts["source"] |= {"brightness_hz_per_mw": 1e4, "oven_fwhm_k": 1000.0}
    parts["bob_fibre"] |= {"turn_rad": undone_by(START_DEG), "wander_rad_per_root_s": fibre_rad}
    for clock in ("alice_clock", "bob_clock"):
        parts[clock]["wander_ppb_per_root_s"] = clocks_ppb
    parts["bob_paddles"]["angles_deg"] = list(START_DEG)
    settings = document["nodes"]["bob"]["equipment"]["paddles"]["settings"]
    settings |= {f"angle_deg.{number}": angle for number, angle in enumerate(START_DEG, 1)}
    limits = {
        f"{name}_{basis}": [None, error_max]
        for name in ("keep_polarisation.error", "polarisation.error_in")
        for basis in "zx"
    }
    document["links"][LINK]["calibration"] |= {
        "limits": limits,
        "required": ["keep_clock", "keep_polarisation"],
    }
    return str(yaml.safe_dump(document, sort_keys=False))


@asynccontextmanager
async def wandering_lab(text: str, folder: Path) -> AsyncIterator[Calibrated]:
    """Emulated by `bellwire emulate`, the source alight, a window and detector delays in force."""
    with played(folder, text, Truth("entangled_photons", 0, {})) as process:
        async with calibrated(process, folder) as lab:
            await lab.light_up(10.0)
            put(lab, "window", {"width_ps": Quantity(400.0, 0.0, "ps")})
            for name in ("darks", "oven_scan", "clock", "source_power"):
                put(lab, name, {})
            put(
                lab,
                "detector_delays",
                {
                    f"correction_ps.{receiver.name}.{label}": Quantity(0.0, 1.0, "ps")
                    for receiver in lab.bench.receivers
                    for label in receiver.labels
                },
            )
            yield lab


async def write(lab: Calibrated, instrument: str, parameter: str, value: float | bool) -> None:
    """As a person sets it beforehand, under a lease of its own."""
    await lab.turn(Knob(instrument, parameter), value)


async def turn(lab: Calibrated, node: str, angles_deg: tuple[float, ...]) -> None:
    """The paddles of a node, past every keeper. Those of alice stand for a fibre that turns."""
    for knob, angle in zip(lab.bench.arm(node).paddles, angles_deg, strict=True):
        await write(lab, knob.instrument, knob.parameter, angle)


def put(lab: Calibrated, procedure: str, quantities: dict[str, Quantity]) -> None:
    """A record that passed just now."""
    now_ns = time.time_ns()
    record = CalibrationRecord(
        record_id=f"{procedure}.{now_ns}",
        link=LINK,
        procedure=procedure,
        outcome=Outcome.PASSED,
        reason="by the test",
        started_ns=now_ns,
        ended_ns=now_ns,
        valid_for_s=3600.0,
        quantities=quantities,
    )
    lab.store.put(record)


@dataclass(frozen=True, slots=True)
class CountErrors:
    """Both error rates where the paddles stand, whatever they are; nothing is moved and nothing kept."""

    name: str = "count_errors"
    meaning: str = "error rates as they are"
    needs: tuple[str, ...] = ()
    valid_for_s: float = 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        return None

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        return tuple(one.tagger for one in bench.receivers)

    async def run(self, work: Work) -> Finding:
        async with paired(work) as pairing:
            await pairing.join(3.0)
            together = await pairing.window(3.0)
        window = window_in_force(work)
        errors = {
            f"error_{basis}": share(*wrong_and_total(window, together, basis, "phi_plus")) for basis in "zx"
        }
        return Finding(quantities=errors)


async def errors_now(lab: Calibrated) -> tuple[float, float]:
    """In Z and X, +-0.002 near 1 %, +-0.003 near 4 %."""
    lab.table |= {"window": lab.table.get("window", CountErrors("window"))}
    record = await lab.run(CountErrors())
    assert record.outcome is Outcome.PASSED, record.reason
    return record.quantities["error_z"].value, record.quantities["error_x"].value


def access(lab: Calibrated) -> DirectAccess:
    """To every instrument."""
    return DirectAccess(lab.drivers)
