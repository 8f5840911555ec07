"""What a fibre does to polarisation, undone by the paddles of one arm (procedure 5).

Pairs of a Bell state need only one of the two arms compensated: what both fibres do is one turn, and any
turn of one photon undoes it. The paddles of the second arm are turned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bellwire.calibration.bench import Arm, LinkBench
from bellwire.calibration.estimates.paddle_model import Paddles
from bellwire.calibration.estimates.paddle_search import EXPLORATION, MARGIN, PaddleSearch, compensation
from bellwire.calibration.pair_counts import (
    CoincidenceWindow,
    cannot_compare,
    window_in_force,
    wrong_and_total,
)
from bellwire.calibration.pairing import Pairing, Together, paired
from bellwire.calibration.procedure import Finding, unique
from bellwire.calibration.procedures import light, pictures
from bellwire.calibration.work import Work
from bellwire.calibration.worker import in_worker

FLOOR_LOOKS = 6
FLOOR_SIGMAS = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Polarisation:
    """`window_s`: at each position; `check_s`: for the check at the end. `goal`: error in each basis.

    `evaluations_max`: positions tried at most.
    """

    window_s: float = 0.25
    check_s: float = 2.0
    record_s: float = 3.0
    goal: float = 0.004
    evaluations_max: int = 60
    error_max: float = 0.01
    name: str = "polarisation"
    meaning: str = "turns of both fibres, undone by the paddles of the second arm"
    needs: tuple[str, ...] = ("clock", "window", "source_power")
    valid_for_s: float = 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        if (why := cannot_compare(bench)) is not None:
            return why
        return None if bench.paddled_arm is not None else "no arm has three paddles"

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        arm = bench.paddled_arm
        assert arm is not None
        return unique(
            *light.instruments_of(bench),
            *(one.instrument for one in arm.paddles),
            *(one.tagger for one in bench.receivers),
        )

    async def run(self, work: Work) -> Finding:
        arm = work.bench.paddled_arm
        assert arm is not None
        await light.lighten(work)
        low = max(0.0 if one.low is None else one.low for one in arm.paddles)
        high = min(180.0 if one.high is None else one.high for one in arm.paddles)
        paddles = Paddles(low_deg=low, high_deg=high)
        window = window_in_force(work)
        now = tuple([await work.read_number(one) for one in arm.paddles])
        room = MARGIN * (high - low)
        search = PaddleSearch(
            paddles,
            work.chance,
            goal=self.goal,
            evaluations_max=self.evaluations_max,
            # Paddles at the end of their way leave nothing for tomorrow: another place is found.
            now_deg=now if all(low + room <= one <= high - room for one in now) else None,
        )
        errors: list[tuple[float, float]] = []
        async with paired(work) as pairing:
            work.tell("finding the clock", 0.0)
            await pairing.lock(self.record_s)
            while True:
                search, angles = await in_worker(_asked, search)
                if angles is None or _at_the_floor(search, errors):
                    break
                await self._turn(work, arm, angles)
                counts = await self._count(work, pairing, window, self.window_s)
                search.tell(*counts)
                errors.append(_sum_of_errors(counts))
                _, error_z, error_x = search.history[-1]
                done = search.evaluations / self.evaluations_max
                work.tell("turning paddles", min(done, 0.95), error_z=error_z, error_x=error_x)
            await self._turn(work, arm, search.best)
            found = compensation(
                search.best, *await self._count(work, pairing, window, self.check_s), paddles
            )
        history = np.array([[*angles, z, x] for angles, z, x in search.history])
        return Finding(
            quantities={"error_z": found.error_z, "error_x": found.error_x},
            checks=found.checks(error_max=self.error_max),
            settings=dict(zip(arm.paddles, found.angles_deg, strict=True)),
            arrays={"angles_deg_error_z_error_x": history},
            draw=pictures.steps(
                {"error in Z": history[:, -2], "error in X": history[:, -1]},
                title=f"Polarisation of {work.bench.link}",
                label="share of wrong pairs",
                line=self.error_max,
            ),
        )

    async def _turn(self, work: Work, arm: Arm, angles_deg: tuple[float, ...]) -> None:
        for knob, angle_deg in zip(arm.paddles, angles_deg, strict=True):
            await work.set(knob, angle_deg)

    async def _count(
        self, work: Work, pairing: Pairing, window: CoincidenceWindow, duration_s: float
    ) -> tuple[int, int, int, int]:
        """Wrong and all pairs in Z, then in X."""
        together: Together = await pairing.window(duration_s)
        state = work.bench.entangled
        return (
            *wrong_and_total(window, together, "z", state),
            *wrong_and_total(window, together, "x", state),
        )


def _sum_of_errors(counts: tuple[int, int, int, int]) -> tuple[float, float]:
    """e_Z + e_X of one measurement, and its standard deviation (of half an event more, never zero)."""
    wrong_z, total_z, wrong_x, total_x = counts
    variance = (wrong_z + 0.5) / total_z**2 + (wrong_x + 0.5) / total_x**2
    return wrong_z / total_z + wrong_x / total_x, variance**0.5


def _at_the_floor(search: PaddleSearch, errors: Sequence[tuple[float, float]]) -> bool:
    """Whether the last places differ by no more than chance: what is left is not the fibres' doing."""
    last = errors[-FLOOR_LOOKS:]
    if search.evaluations < EXPLORATION + FLOOR_LOOKS:
        return False
    least = min(value for value, _ in errors)
    return all(value - least <= FLOOR_SIGMAS * sigma for value, sigma in last)


def _asked(search: PaddleSearch) -> tuple[PaddleSearch, tuple[float, ...] | None]:
    """The search with its next place, None when it is done."""
    angles = search.ask()
    return search, angles
