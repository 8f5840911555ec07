"""One look at the polarisation of a link beside operation, and a small correction where it has drifted:
`keep_polarisation`.

Counts errors where the paddles stand. Only after an alarm of its keeper are paddles moved; they stay where
they were moved to when the errors there are counted to be less, else they go back.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace

from bellwire.calibration.bench import Arm, Knob, LinkBench
from bellwire.calibration.estimates.counting import share
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.estimates.paddle_model import Paddles
from bellwire.calibration.pair_counts import (
    CoincidenceWindow,
    cannot_compare,
    window_in_force,
    wrong_and_total,
)
from bellwire.calibration.pairing import Pairing, paired
from bellwire.calibration.procedure import Finding, unique
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.trackers.clock_keeper import ClockKeeper
from bellwire.calibration.trackers.joining import joined
from bellwire.calibration.trackers.paddle_drift import Angles, Seen
from bellwire.calibration.trackers.polarisation_keeper import (
    Dither,
    PolarisationKeeper,
    PolarisationLimits,
    SearchAll,
)
from bellwire.calibration.work import Work

ERROR_MAX = 0.03
"""Where neither the lab file nor the limits say otherwise."""


@dataclass(slots=True)
class _Kept:
    """What is remembered from look to look. `searched`: the search whose errors are the reference."""

    keeper: PolarisationKeeper | None = None
    searched: str = ""
    asks: str | None = None
    did: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepPolarisation:
    """`look_s`: of tags where the paddles stand; `dither_s`: at each place around; `check_s`: after a turn.

    `limits`: its error_max gives way to that of the lab file, of `keep_polarisation` or of `polarisation`.
    """

    look_s: float = 1.0
    dither_s: float = 0.25
    check_s: float = 1.0
    record_s: float = 3.0
    limits: PolarisationLimits = field(default_factory=lambda: PolarisationLimits(error_max=ERROR_MAX))
    clock_keeper: ClockKeeper = field(default_factory=ClockKeeper)
    kept: _Kept = field(default_factory=_Kept)
    name: str = "keep_polarisation"
    meaning: str = "error rates in two bases, and small turns of the paddles where they drift"
    needs: tuple[str, ...] = ("window",)
    valid_for_s: float = 600.0

    @property
    def asks(self) -> str | None:
        """Why the last look wants the whole range searched; None: it does not."""
        return self.kept.asks

    @property
    def did(self) -> str:
        """What the last look did to the paddles and why."""
        return self.kept.did

    def obstacle(self, bench: LinkBench) -> str | None:
        if (why := cannot_compare(bench)) is not None:
            return why
        return None if bench.paddled_arm is not None else "no arm has three paddles"

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        arm = bench.paddled_arm
        assert arm is not None
        return unique(*(one.instrument for one in arm.paddles), *(one.tagger for one in bench.receivers))

    async def run(self, work: Work) -> Finding:
        arm = work.bench.paddled_arm
        assert arm is not None
        self.kept.asks, self.kept.did = None, ""
        keeper = self._keeper(work, arm)
        async with paired(work, self.clock_keeper) as pairing:
            work.tell("counting errors", 0.1)
            await joined(pairing, self.record_s)
            look = _Look(work, arm, pairing, window_in_force(work))
            now = tuple([await work.read_number(one) for one in arm.paddles])
            seen = await look.count(now, self.look_s)
            order = await asyncio.to_thread(keeper.take, time.monotonic_ns(), seen)
            moved = None
            if isinstance(order, Dither):
                moved = await self._correct(look, keeper, order)
            else:
                self.kept.did = order.reason
                self.kept.asks = order.reason if isinstance(order, SearchAll) else None
        last = seen if moved is None else moved
        limit = keeper.limits.error_max
        error_z, error_x = share(last.wrong_z, last.total_z), share(last.wrong_x, last.total_x)
        return Finding(
            quantities={
                "error_z": error_z,
                "error_x": error_x,
                "turned": Quantity(0.0 if moved is None else 1.0, 0.0),
            },
            checks=(
                Check("error_z", error_z.value, None, limit),
                Check("error_x", error_x.value, None, limit),
            ),
            settings={} if moved is None else dict(zip(arm.paddles, moved.angles_deg, strict=True)),
        )

    async def _correct(self, look: _Look, keeper: PolarisationKeeper, order: Dither) -> Seen | None:
        """Look around, turn, count; what was counted where the paddles stay, None where they go back."""
        look.work.tell(order.reason, 0.3)
        around = [await look.at(place, self.dither_s) for place in order.places]
        turn = await asyncio.to_thread(keeper.dithered, time.monotonic_ns(), around)
        if isinstance(turn, SearchAll):
            self.kept.asks = self.kept.did = turn.reason
            return None
        there = await look.at(turn.angles_deg, self.check_s)
        stays = keeper.turned(there)
        told = ", ".join(f"{angle:g}" for angle in turn.angles_deg)
        outcome = f"paddles turned to {told}" if stays else f"{told} did not help, paddles went back"
        self.kept.did = f"{order.reason}: {outcome} (degrees)"
        return there if stays else None

    def _keeper(self, work: Work, arm: Arm) -> PolarisationKeeper:
        """Made at the first look; begun anew after each search of the whole range."""
        if self.kept.keeper is None:
            low = max(0.0 if one.low is None else one.low for one in arm.paddles)
            high = min(180.0 if one.high is None else one.high for one in arm.paddles)
            self.kept.keeper = PolarisationKeeper(
                Paddles(low_deg=low, high_deg=high), self._limits(work.bench)
            )
        record = work.known.get("polarisation")
        if record is not None and record.record_id != self.kept.searched:
            errors = record.quantities.get("error_z"), record.quantities.get("error_x")
            if errors[0] is not None and errors[1] is not None:
                self.kept.keeper.searched(errors[0].value, errors[1].value)
            self.kept.searched = record.record_id
        return self.kept.keeper

    def _limits(self, bench: LinkBench) -> PolarisationLimits:
        told = [
            bench.limits[name][1]
            for basis in "zx"
            for name in (f"keep_polarisation.error_{basis}", f"polarisation.error_in_{basis}")
            if name in bench.limits
        ]
        highest = [one for one in told if one is not None]
        return replace(self.limits, error_max=min(highest)) if highest else self.limits


@dataclass(frozen=True, slots=True)
class _Look:
    """Counting at places of the paddles."""

    work: Work
    arm: Arm
    pairing: Pairing
    window: CoincidenceWindow
    stands: dict[Knob, float] = field(default_factory=dict)

    async def at(self, angles_deg: Angles, duration_s: float) -> Seen:
        """Turn there those that stand elsewhere, and count."""
        for knob, angle_deg in zip(self.arm.paddles, angles_deg, strict=True):
            if self.stands.get(knob) != angle_deg:
                await self.work.set(knob, angle_deg)
                self.stands[knob] = angle_deg
        return await self.count(angles_deg, duration_s)

    async def count(self, angles_deg: Angles, duration_s: float) -> Seen:
        """Count where they stand. Raises NoEstimate where a basis shows no pairs."""
        together = await self.pairing.window(duration_s)
        state = self.work.bench.entangled
        z = wrong_and_total(self.window, together, "z", state)
        x = wrong_and_total(self.window, together, "x", state)
        if min(z[1], x[1]) == 0:
            raise NoEstimate(f"{z[1]} pairs in Z and {x[1]} in X within {duration_s:g} s: is there light?")
        return Seen(angles_deg, *z, *x)
