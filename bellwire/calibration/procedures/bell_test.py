"""A CHSH test: the second receiver's bases are turned between those of the first (procedure 9).

Both receivers choose between two bases by chance, so that one position of one half-wave plate gives all four
correlations. Which way the plate turns the bases is not known beforehand; of the ways to place the one minus
sign of S, the largest is taken. The others lie near 0 for a good link, and all of them within the same bound.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from bellwire.calibration.bench import Arm, LinkBench
from bellwire.calibration.estimates.link_quality import Chsh, OutcomeCounts, chsh
from bellwire.calibration.pair_counts import BASES, CoincidenceWindow, cannot_compare, window_in_force
from bellwire.calibration.pairing import Together, paired
from bellwire.calibration.procedure import Finding, unique
from bellwire.calibration.procedures import light, pictures
from bellwire.calibration.records import Quantity
from bellwire.calibration.work import Work

PLATE_TURN_DEG = 11.25
"""A half-wave plate turns polarisation by twice its own turn, here by 22.5 degrees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BellTest:
    """`windows`, `window_s`: of tags; `record_s`: for the clock."""

    windows: int = 4
    window_s: float = 1.0
    record_s: float = 3.0
    name: str = "bell_test"
    meaning: str = "CHSH value with the second receiver's bases turned by 22.5 degrees"
    needs: tuple[str, ...] = ("clock", "window", "polarisation")
    valid_for_s: float = 24 * 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        if (why := cannot_compare(bench)) is not None:
            return why
        return None if _arm(bench) is not None else "no arm has a half-wave plate in front of its receiver"

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        arm = _arm(bench)
        assert arm is not None
        assert arm.plate is not None
        return unique(
            *light.instruments_of(bench), arm.plate.instrument, *(one.tagger for one in bench.receivers)
        )

    async def run(self, work: Work) -> Finding:
        arm = _arm(work.bench)
        assert arm is not None
        assert arm.plate is not None
        plate = arm.plate
        await light.lighten(work)
        window = window_in_force(work)
        looks: list[Together] = []
        async with paired(work) as pairing:
            work.tell("finding the clock", 0.1)
            await pairing.lock(self.record_s)
            before = await work.read_number(plate)
            turned = before + PLATE_TURN_DEG
            if plate.high is not None and turned > plate.high:
                turned = before - PLATE_TURN_DEG
            await work.set(plate, turned)
            for index in range(self.windows):
                looks.append(await pairing.window(self.window_s))
                work.tell("counting pairs", 0.3 + 0.7 * (index + 1) / self.windows)
        found = best_chsh(_counts(window, looks, work.bench.receivers[0].name == arm.node))
        names = ("E(a,b)", "E(a,b')", "E(a',b)", "E(a',b')")
        correlations: dict[str, Quantity] = dict(zip(names, found.correlations, strict=True))
        return Finding(
            quantities={"s": found.s} | correlations,
            checks=found.checks(),
            draw=pictures.bars(
                correlations, title=f"CHSH of {work.bench.link}: S = {found.s.value:.3f}", label="correlation"
            ),
        )


def best_chsh(counts: dict[tuple[str, str], OutcomeCounts]) -> Chsh:
    """The largest S of all ways to name the bases and to invert the outcomes of one side. Counts by basis."""
    bases = tuple(BASES)
    found: list[Chsh] = []
    for firsts, seconds in itertools.product((bases, bases[::-1]), repeat=2):
        cells = [counts[one, other] for one in firsts for other in seconds]
        found += [chsh(cells[0], cells[1], cells[2], cells[3])]
        found += [chsh(*(_inverted(cell) for cell in cells))]
    return max(found, key=lambda one: one.s.value)


def _inverted(counts: OutcomeCounts) -> OutcomeCounts:
    return OutcomeCounts(counts.plus_minus, counts.plus_plus, counts.minus_minus, counts.minus_plus)


def _counts(
    window: CoincidenceWindow, looks: list[Together], swapped: bool
) -> dict[tuple[str, str], OutcomeCounts]:
    """Outcomes of each pair of bases; the turned receiver's basis second."""
    found: dict[tuple[str, str], OutcomeCounts] = {}
    for one, other in itertools.product(BASES, repeat=2):
        cells = [
            sum(window.inside(together, first, second) for together in looks)
            for first, second in itertools.product(BASES[one], BASES[other])
        ]
        counted = OutcomeCounts(cells[0], cells[1], cells[2], cells[3])
        found[(other, one) if swapped else (one, other)] = counted
    return found


def _arm(bench: LinkBench) -> Arm | None:
    return next((one for one in reversed(bench.arms) if one.plate is not None), None)
