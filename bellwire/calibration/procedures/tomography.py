"""The whole state of a pair by 36 settings (procedure 9): fidelity, concurrence, purity, not only a bound.

Both receivers choose between Z and X by chance; a quarter-wave plate of each arm, turned by 45 degrees, gives
X and Y instead. Five positions of the two plates hold all settings, some of them several times; detectors and
light that are unlike are weighed (estimates/turned_bases.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bellwire.calibration.bench import Arm, Knob, LinkBench, Receiver
from bellwire.calibration.estimates.turned_bases import LABELS, POSITIONS, turned_tomography
from bellwire.calibration.pair_counts import CoincidenceWindow, bell_index, cannot_compare, window_in_force
from bellwire.calibration.pairing import Together, paired
from bellwire.calibration.procedure import Finding, Unfit, unique
from bellwire.calibration.procedures import light, pictures
from bellwire.calibration.work import Work
from bellwire.calibration.worker import in_worker

TURN_DEG = 45.0
QUARTER_RESTS_DEG = 90.0
"""At its multiples the axes of the quarter-wave plate lie along H and V."""
HALF_RESTS_DEG = 45.0
"""At its multiples the half-wave plate behind it takes Z to Z and X to X, but for signs."""
REST_TOLERANCE_DEG = 1.0
"""A plate that is off by d degrees turns what it shows by 2 d: cos 2 d is 0.9994 at one."""
BASIS_NAMES = ("HH", "HV", "VH", "VV")


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTomography:
    """`windows`, `window_s`: of tags at each of the five positions; `record_s`: for the clock.

    `fidelity_min`: what the lower end of the fidelity must exceed; `bootstraps`: repetitions for the errors.
    """

    windows: int = 2
    window_s: float = 1.0
    record_s: float = 3.0
    fidelity_min: float = 0.5
    bootstraps: int = 200
    name: str = "tomography"
    meaning: str = "density matrix of a pair: fidelity, concurrence and purity from 36 settings"
    needs: tuple[str, ...] = ("clock", "window", "polarisation")
    valid_for_s: float = 24 * 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        if (why := cannot_compare(bench)) is not None:
            return why
        for receiver in bench.receivers:
            arm = _arm(bench, receiver)
            if arm is None or arm.quarter is None:
                return f"no quarter-wave plate stands in front of {receiver.name}"
        return None

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        return unique(
            *light.instruments_of(bench),
            *(knob.instrument for knob in (*_quarters(bench), *_halves(bench))),
            *(one.tagger for one in bench.receivers),
        )

    async def run(self, work: Work) -> Finding:
        knobs = _quarters(work.bench)
        for knob in _halves(work.bench):
            await _rest(work, knob, HALF_RESTS_DEG)
        rests = [await _rest(work, knob, QUARTER_RESTS_DEG) for knob in knobs]
        window = window_in_force(work)
        await light.lighten(work)
        counts = np.zeros((len(POSITIONS), len(LABELS), len(LABELS)), np.int64)
        async with paired(work) as pairing:
            work.tell("finding the clock", 0.05)
            await pairing.lock(self.record_s)
            for index, turns in enumerate(POSITIONS):
                work.tell("counting pairs", 0.1 + 0.7 * index / len(POSITIONS))
                for knob, rest_deg, turn in zip(knobs, rests, turns, strict=True):
                    await work.set(knob, _angle(knob, rest_deg, turn))
                for _ in range(self.windows):
                    counts[index] += _table(window, await pairing.window(self.window_s))
        work.tell("finding the state", 0.8)
        result = await in_worker(
            turned_tomography,
            counts,
            POSITIONS,
            bell_index=bell_index(work.bench.entangled),
            generator=work.chance,
            bootstraps=self.bootstraps,
        )
        found = result.found
        bound = work.quantity("link_quality", "fidelity")
        return Finding(
            quantities={
                "fidelity": found.fidelity,
                "concurrence": found.concurrence,
                "purity": found.purity,
            },
            checks=result.checks(fidelity_min=self.fidelity_min, bound=bound),
            arrays={
                "counts": counts,
                "turns": np.array(POSITIONS, np.int64),
                "weights": result.weights,
                "counts_of_36_settings": found.counts,
                "density_matrix": found.state,
            },
            draw=pictures.matrix(
                found.state,
                names=BASIS_NAMES,
                title=f"State of {work.bench.link}: F = {found.fidelity.value:.4f} "
                f"({work.bench.entangled}), C = {found.concurrence.value:.4f}",
            ),
        )


def _table(window: CoincidenceWindow, together: Together) -> NDArray[np.int64]:
    """Pairs of each detector of the first receiver with each of the second."""
    return np.array([[window.inside(together, one, other) for other in LABELS] for one in LABELS], np.int64)


async def _rest(work: Work, knob: Knob, step_deg: float) -> float:
    """Where a plate stands. Raises Unfit unless that is near a multiple of `step_deg`."""
    here_deg = await work.read_number(knob)
    if abs((here_deg + step_deg / 2) % step_deg - step_deg / 2) > REST_TOLERANCE_DEG:
        raise Unfit(
            f"{knob} stands at {here_deg:g} degrees, not at a multiple of {step_deg:g}: turn it there and "
            "run polarisation again, because the plate is part of what the paddles undo"
        )
    return here_deg


def _angle(knob: Knob, rest_deg: float, turn: int) -> float:
    """The plate turned by so many times 45 degrees; half a turn of a waveplate changes nothing."""
    angle_deg = rest_deg + turn * TURN_DEG
    if knob.low is not None and angle_deg < knob.low:
        return angle_deg + 180.0
    if knob.high is not None and angle_deg > knob.high:
        return angle_deg - 180.0
    return angle_deg


def _arm(bench: LinkBench, receiver: Receiver) -> Arm | None:
    return next((one for one in bench.arms if one.node == receiver.name), None)


def _quarters(bench: LinkBench) -> tuple[Knob, ...]:
    """The quarter-wave plates, in the order of the receivers."""
    arms = (_arm(bench, receiver) for receiver in bench.receivers)
    return tuple(one.quarter for one in arms if one is not None and one.quarter is not None)


def _halves(bench: LinkBench) -> tuple[Knob, ...]:
    """The half-wave plates behind them, where there are any."""
    arms = (_arm(bench, receiver) for receiver in bench.receivers)
    return tuple(one.plate for one in arms if one is not None and one.plate is not None)
