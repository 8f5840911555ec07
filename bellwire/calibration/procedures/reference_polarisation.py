"""What the fibre of each arm of an analyser does to polarisation, undone by its paddles (procedure 5).

Reference light of a node comes in H, which all analysers look at, and in D, which those behind the station's
half-wave plate look at when it stands at 22.5 degrees. What comes without the reference (the memories' own
photons, noise of the converter, darks) is counted before and taken off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bellwire.calibration.bench import Arm, Knob, LinkBench, Receiver, StationPlate
from bellwire.calibration.estimates.paddle_model import Paddles
from bellwire.calibration.estimates.paddle_search import Compensation, PaddleSearch, compensation
from bellwire.calibration.procedure import Finding, Unfit, unique
from bellwire.calibration.procedures import alignment_light, light, pictures
from bellwire.calibration.procedures.alignment_light import Polarisation
from bellwire.calibration.procedures.clicks import counted, no_analyser, polarisation_of, port_of
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.work import Work
from bellwire.calibration.worker import in_worker
from bellwire.drivers.time_tags import Counts

PLATE_DEG: Mapping[Polarisation, float] = {"h": 0.0, "d": 22.5}
"""Where the plate turns the reference to H."""
LIGHT_MIN = 3.0
"""Reference light over what comes without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencePolarisation:
    """`window_s`: of a count at each position; `check_s`: of the check at the end, and of the background.

    `goal`: error in each basis; `evaluations_max`: positions tried at most, of one arm.
    """

    window_s: float = 0.3
    check_s: float = 2.0
    goal: float = 0.004
    evaluations_max: int = 60
    error_max: float = 0.01
    name: str = "reference_polarisation"
    meaning: str = "turns of the fibre of each arm, undone by its paddles with reference light"
    needs: tuple[str, ...] = ("darks",)
    valid_for_s: float = 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        if (why := alignment_light.does_not_meet(bench)) is not None:
            return why
        if (why := no_analyser(bench)) is not None:
            return why
        if alignment_light.plate_of(bench) is None:
            return "no half-wave plate of the station is named, without which D cannot be told"
        arms = _arms(bench)
        if not arms:
            return "no arm has both reference lasers and three paddles"
        shut = [arm.node for arm in bench.arms if arm.shutter is None]
        if shut and len(bench.arms) > 1:
            return f"the arm of {shut[0]} has no shutter to keep its light from the other's"
        return None

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        plate = alignment_light.plate_of(bench)
        assert plate is not None
        return unique(
            *light.instruments_of(bench),
            *alignment_light.reference_instruments(bench),
            plate.knob.instrument,
            *(paddle.instrument for arm in _arms(bench) for paddle in arm.paddles),
            *(one.tagger for one in bench.receivers),
        )

    async def run(self, work: Work) -> Finding:
        quantities: dict[str, Quantity] = {}
        checks: list[Check] = []
        settings: dict[Knob, float] = {}
        arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {}
        steps: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {}
        for arm in _arms(work.bench):
            found, history = await self._compensate(work, arm)
            quantities[f"error_z.{arm.node}"] = found.error_z
            quantities[f"error_x.{arm.node}"] = found.error_x
            checks += [
                Check(f"{one.quantity}.{arm.node}", one.value, one.low, one.high, one.unit)
                for one in found.checks(error_max=self.error_max)
            ]
            settings |= dict(zip(arm.paddles, found.angles_deg, strict=True))
            arrays[arm.node] = history
            steps |= {f"{arm.node}, Z": history[:, -2], f"{arm.node}, X": history[:, -1]}
        return Finding(
            quantities=quantities,
            checks=tuple(checks),
            settings=settings,
            arrays=arrays,
            draw=pictures.steps(
                steps,
                title=f"Reference polarisation of {work.bench.link}",
                label="share of wrong counts",
                line=self.error_max,
            ),
        )

    async def _compensate(
        self, work: Work, arm: Arm
    ) -> tuple[Compensation, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
        await light.open_only(work, [arm])
        analysis = await self._analysis(work, arm)
        low = max(0.0 if one.low is None else one.low for one in arm.paddles)
        high = min(180.0 if one.high is None else one.high for one in arm.paddles)
        paddles = Paddles(low_deg=low, high_deg=high)
        now = tuple([await work.read_number(one) for one in arm.paddles])
        search = PaddleSearch(
            paddles, work.chance, goal=self.goal, evaluations_max=self.evaluations_max, now_deg=now
        )
        while True:
            search, angles = await in_worker(_asked, search)
            if angles is None:
                break
            await _turn(work, arm, angles)
            search.tell(*await analysis.counts(self.window_s))
            _, error_z, error_x = search.history[-1]
            done = min(search.evaluations / self.evaluations_max, 0.95)
            work.tell(f"turning paddles of {arm.node}", done, error_z=error_z, error_x=error_x)
        await _turn(work, arm, search.best)
        found = compensation(search.best, *await analysis.counts(self.check_s), paddles)
        await alignment_light.refer(work, arm.node, None)
        return found, np.array([[*angles, z, x] for angles, z, x in search.history])

    async def _analysis(self, work: Work, arm: Arm) -> _Analysis:
        """With what comes without reference light, which must be little."""
        plate = alignment_light.plate_of(work.bench)
        assert plate is not None
        (receiver,) = work.bench.receivers
        await alignment_light.refer(work, arm.node, None)
        background = await counted(work, receiver, self.check_s)
        analysis = _Analysis(work, arm, receiver, plate, background)
        lit = await analysis.light(self.check_s)
        if lit < LIGHT_MIN:
            raise Unfit(
                f"the reference light of {arm.node} gives {lit:.2f} times what comes without it, "
                f"{LIGHT_MIN:g} times is needed: look at its laser and at the switch"
            )
        return analysis


class _Analysis:
    """How the reference light of one arm is counted, in both bases, one after the other."""

    def __init__(
        self, work: Work, arm: Arm, receiver: Receiver, plate: StationPlate, background: Counts
    ) -> None:
        self._work = work
        self._arm = arm
        self._receiver = receiver
        self._plate = plate
        self._background = background
        self._order: tuple[Polarisation, ...] = ("h", "d")

    async def light(self, window_s: float) -> float:
        """Reference light over background."""
        await alignment_light.refer(self._work, self._arm.node, "h")
        found = await counted(self._work, self._receiver, window_s)
        before = self._total(self._background) / self._background.window_s
        return (self._total(found) / found.window_s - before) / max(before, 1.0)

    async def counts(self, window_s: float) -> tuple[int, int, int, int]:
        """Wrong and all counts in Z, then in X, background removed.

        Each call begins with the basis that the last one ended with: the plate moves once.
        """
        found: dict[Polarisation, tuple[int, int]] = {}
        for basis in self._order:
            await alignment_light.refer(self._work, self._arm.node, basis)
            await self._work.set(self._plate.knob, PLATE_DEG[basis])
            counts = await counted(self._work, self._receiver, window_s)
            found[basis] = self._wrong_and_total(basis, counts)
        self._order = self._order[::-1]
        return (*found["h"], *found["d"])

    def _wrong_and_total(self, basis: Polarisation, counts: Counts) -> tuple[int, int]:
        """H is looked at behind every port, D where the plate is."""
        labels = [one for one in self._receiver.labels if basis == "h" or port_of(one) in self._plate.ports]
        right, wrong = (
            sum(self._net(label, counts) for label in labels if polarisation_of(label) == letter)
            for letter in "hv"
        )
        wrong_counts = max(0, round(wrong))
        return wrong_counts, max(wrong_counts, round(right + wrong), 1)

    def _net(self, label: str, counts: Counts) -> float:
        channel = self._receiver.detector(label).channel
        share = counts.window_s / self._background.window_s
        return counts.singles.get(channel, 0) - share * self._background.singles.get(channel, 0)

    def _total(self, counts: Counts) -> int:
        return sum(counts.singles.get(channel, 0) for channel in self._receiver.channels)


def _asked(search: PaddleSearch) -> tuple[PaddleSearch, tuple[float, ...] | None]:
    """The search with its next place, None when it is done."""
    angles = search.ask()
    return search, angles


async def _turn(work: Work, arm: Arm, angles_deg: tuple[float, ...]) -> None:
    for knob, angle_deg in zip(arm.paddles, angles_deg, strict=True):
        await work.set(knob, angle_deg)


def _arms(bench: LinkBench) -> tuple[Arm, ...]:
    """Arms that have what it takes."""
    return tuple(
        arm
        for arm in bench.arms
        if len(arm.paddles) == 3 and alignment_light.references_of(bench, arm.node) is not None
    )
