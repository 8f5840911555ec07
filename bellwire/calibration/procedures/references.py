"""Whether the clocks under a link may be believed: White Rabbit that tracks, pulses per second that come
(procedure 1, steps 1 and 2). Nothing is moved; the limits are those of drivers/clocks/reference_check.py.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bellwire.calibration.bench import ClockReference, LinkBench
from bellwire.calibration.procedure import Finding, Unfit, unique
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.work import Work
from bellwire.drivers.clocks.reference_check import INTERVAL_MAX_E15, UPDATES_WRAP, WHITE_RABBIT_MAX_PS

SECOND_PS = 1_000_000_000_000
GRID_PS = 100_000_000
"""An edge that lies further from the grid of seconds is none of them: more than any crystal drifts."""
FREE_INTERVAL_MAX = 1e-4
"""Where the tagger runs on a crystal of its own, pulses can only be told to be seconds."""


@dataclass(frozen=True, slots=True)
class Pulses:
    """`interval`: mean time between two pulses over one second, minus 1; `strange`: edges beside the grid of
    seconds; `missing`: seconds without an edge, between the first and the last.
    """

    interval: Quantity
    strange: int
    missing: int


def pulses_of(times_ps: NDArray[np.int64]) -> Pulses:
    """Of the edges on one input, (n,). Raises Unfit for fewer than three seconds."""
    if times_ps.size < 3:
        raise Unfit(f"{times_ps.size} pulses per second came: look at the cable and the threshold")
    beside = np.mod(times_ps - np.median(np.mod(times_ps, SECOND_PS)) + SECOND_PS // 2, SECOND_PS)
    good = times_ps[np.abs(beside - SECOND_PS // 2) <= GRID_PS]
    if good.size < 3:
        raise Unfit(f"of {times_ps.size} edges {good.size} lie on one grid of seconds: these are no PPS")
    numbers = np.rint((good - good[0]) / SECOND_PS).astype(np.int64)
    first_of_each = np.unique(numbers, return_index=True)[1]
    seconds, times = numbers[first_of_each], good[first_of_each]
    steps = np.diff(times) / np.diff(seconds) / SECOND_PS - 1.0
    mean = float((times[-1] - times[0]) / (seconds[-1] - seconds[0]) / SECOND_PS - 1.0)
    return Pulses(
        Quantity(mean, max(float(np.std(steps)) / np.sqrt(2.0) / max(1, int(seconds[-1])), 1e-15)),
        int(times_ps.size - first_of_each.size),
        int(seconds[-1] + 1 - first_of_each.size),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """`apart_s`: between two looks at a switch, whose servo must have gone on; `pulses_s`: of PPS."""

    apart_s: float = 2.0
    pulses_s: float = 4.5
    name: str = "references"
    meaning: str = "White Rabbit tracks its master, and pulses per second are seconds"
    needs: tuple[str, ...] = ()
    valid_for_s: float = 600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        return None if bench.references else "the lab file names no references of this link"

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        return unique(*(one.instrument for one in bench.references))

    async def run(self, work: Work) -> Finding:
        quantities: dict[str, Quantity] = {}
        checks: list[Check] = []
        for number, one in enumerate(work.bench.references):
            work.tell(f"looking at {one.instrument}", number / len(work.bench.references))
            if one.pps_channel is None:
                found, judged = await self._white_rabbit(work, one)
            else:
                found, judged = await self._pulses(work, one)
            quantities |= found
            checks += judged
        return Finding(quantities=quantities, checks=tuple(checks))

    async def _white_rabbit(self, work: Work, one: ClockReference) -> tuple[dict[str, Quantity], list[Check]]:
        before = int(await self._number(work, one, "servo_updates"))
        await asyncio.sleep(self.apart_s)
        locked = await work.held.read(one.instrument, "locked")
        state = await work.held.read(one.instrument, "servo_state")
        offset_ps = float(await self._number(work, one, "offset_ps"))
        advance = (int(await self._number(work, one, "servo_updates")) - before) % UPDATES_WRAP
        if not locked:
            raise Unfit(
                f"White Rabbit of {one.name} is in {state} and does not track the phase: look at the fibre "
                f"to its master"
            )
        checks = [
            Check(f"servo_updates.{one.name}", float(advance), 1.0, float(UPDATES_WRAP // 2)),
            Check(f"offset_ps.{one.name}", abs(offset_ps), None, WHITE_RABBIT_MAX_PS - 1.0, "ps"),
        ]
        return {f"offset_ps.{one.name}": Quantity(offset_ps, 1.0, "ps")}, checks

    async def _number(self, work: Work, one: ClockReference, parameter: str) -> int | float:
        value = await work.held.read(one.instrument, parameter)
        if isinstance(value, bool | str):
            raise Unfit(f"{one.instrument} says {parameter} = {value!r}, which is no number")
        return value

    async def _pulses(self, work: Work, one: ClockReference) -> tuple[dict[str, Quantity], list[Check]]:
        assert one.pps_channel is not None
        heard: list[NDArray[np.int64]] = []
        async with aclosing(work.held.tags(one.instrument, self.pulses_s, (one.pps_channel,))) as blocks:
            async for block in blocks:
                heard.append(block.time_ps[block.channel == one.pps_channel])
        found = pulses_of(np.concatenate(heard) if heard else np.zeros(0, np.int64))
        limit = INTERVAL_MAX_E15 * 1e-15 if one.locked else FREE_INTERVAL_MAX
        checks = [
            Check(f"pps_interval.{one.name}", abs(found.interval.value), None, limit),
            Check(f"pps_strange.{one.name}", float(found.strange), None, 0.0),
            Check(f"pps_missing.{one.name}", float(found.missing), None, 0.0),
        ]
        return {f"pps_interval.{one.name}": found.interval}, checks
