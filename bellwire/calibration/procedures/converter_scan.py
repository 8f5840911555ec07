"""Frequency converters of an analyser's arms: phase matching, efficiency and noise against the pump, and the
points to run at (procedure 6, steps 1 to 4).

The light is that of the memories, whose rate at the input is not known: what a converter makes of it is told
in shares of its own best, never as an efficiency. Noise is counted with the crystal so cold that it converts
nothing while the pump makes the same noise; darks of the detectors are part of it. Ovens are slow, so that
those of all arms move together, upwards; shutters tell whose light is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bellwire.calibration.bench import Arm, Knob, LinkBench, Oven, PumpedCrystal
from bellwire.calibration.estimates.converter import Converter, converter, efficiency_curve
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.estimates.oven import PhaseMatching, next_temperatures, phase_matching
from bellwire.calibration.procedure import Finding, Unfit, unique
from bellwire.calibration.procedures import alignment_light, light, pictures
from bellwire.calibration.procedures.clicks import counted
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.work import Work
from bellwire.drivers.readings import Value

Floats = NDArray[np.float64]

ROUNDS_MAX = 8
DEVIATION_MAX = 0.05
SETPOINT_FAR_C = 1000.0


@dataclass(slots=True)
class _Scanned:
    """One arm and what was counted of it so far. `low_c`, `high_c`: of the scan; `cold_c`: for the noise."""

    arm: Arm
    crystal: PumpedCrystal
    oven: Oven
    low_c: float
    high_c: float
    cold_c: float
    powers: list[float]
    temperatures: list[float] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    signal: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConverterScan:
    """`reach_k`: how far from the usual temperature to look; `away_k`: below that nothing is converted.

    `window_s`: of the count at each temperature, `curve_s`: at each pump power; `shares`: powers, of the
    usual one. `tolerance_c`: how near a crystal must come, no finer than its controller reads; `within_s`:
    and when. `settle_s`: of a pump, and of a crystal that is near enough. `snr_min`: what the link needs at
    the working point.
    """

    reach_k: float = 5.0
    away_k: float = 8.0
    fwhm_k: float = 2.0
    window_s: float = 3.0
    curve_s: float = 12.0
    shares: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    tolerance_c: float = 0.06
    within_s: float = 240.0
    settle_s: float = 1.0
    goal_k: float = 0.06
    resolution_k: float = 0.1
    snr_min: float = 1.0
    name: str = "converter_scan"
    meaning: str = "phase matching, efficiency and noise of the converters, and their working points"
    needs: tuple[str, ...] = ("darks",)
    valid_for_s: float = 7 * 24 * 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        if (why := alignment_light.does_not_meet(bench)) is not None:
            return why
        arms = [arm for arm in bench.arms if arm.converter is not None]
        if not arms:
            return "no arm has a converter"
        for arm in arms:
            assert arm.converter is not None
            if arm.converter.oven is None:
                return f"the converter of {arm.node} has no oven"
            if arm.converter.usual_pump is None:
                return f"nothing says at what power the converter of {arm.node} usually runs"
        shut = [arm.node for arm in bench.arms if arm.shutter is None]
        if shut and len(bench.arms) > 1:
            return f"the arm of {shut[0]} has no shutter to tell its light from the other's"
        return None

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        parts = (light.parts_of(arm.converter) for arm in bench.arms if arm.converter is not None)
        return unique(
            *light.instruments_of(bench),
            *(name for each in parts for name in each),
            *(one.tagger for one in bench.receivers),
        )

    async def run(self, work: Work) -> Finding:
        scans = [await self._begun(work, arm) for arm in work.bench.arms if arm.converter is not None]
        work.tell("cooling crystals until they convert nothing", 0.0)
        await self._heat(work, {one.arm.node: one.cold_c for one in scans}, scans)
        for one in scans:
            await work.emit(one.crystal.pump, True)
        await self._curve(work, scans, "noise", 0.05)
        for one in scans:
            await work.set(one.crystal.pump.value, one.crystal.usual_pump or 0.0)
        await asyncio.sleep(self.settle_s)
        await self._scan(work, scans)
        matched = {one.arm.node: await asyncio.to_thread(self._matched, one) for one in scans}
        best = {node: self._rounded(found.temperature.value) for node, found in matched.items()}
        await self._heat(work, best, scans)
        await self._curve(work, scans, "signal", 0.75)
        curves = {one.arm.node: await asyncio.to_thread(self._fitted, work, one) for one in scans}
        return self._finding(work, scans, matched, curves)

    # -- steps ----------------------------------------------------------------------------------------------

    async def _begun(self, work: Work, arm: Arm) -> _Scanned:
        crystal = arm.converter
        assert crystal is not None
        assert crystal.oven is not None
        assert crystal.usual_pump is not None
        knob, oven = crystal.pump.value, crystal.oven
        middle_c = crystal.usual_temperature_c
        if middle_c is None:
            middle_c = await work.read_number(oven.setpoint)
        lowest = -273.15 if oven.setpoint.low is None else oven.setpoint.low
        highest = SETPOINT_FAR_C if oven.setpoint.high is None else oven.setpoint.high
        limit = np.inf if knob.high is None else knob.high
        return _Scanned(
            arm,
            crystal,
            oven,
            low_c=max(middle_c - self.reach_k, lowest),
            high_c=min(middle_c + self.reach_k, highest),
            cold_c=max(middle_c - self.reach_k - self.away_k, lowest),
            powers=[
                share * crystal.usual_pump for share in self.shares if share * crystal.usual_pump <= limit
            ],
        )

    async def _heat(self, work: Work, wanted: Mapping[str, float], scans: list[_Scanned]) -> dict[str, float]:
        """All of these crystals at once; what they read then, by node."""
        chosen = [one for one in scans if one.arm.node in wanted]
        async with asyncio.TaskGroup() as group:
            tasks = {
                one.arm.node: group.create_task(self._one_heated(work, one.oven, wanted[one.arm.node]))
                for one in chosen
            }
        return {node: task.result() for node, task in tasks.items()}

    async def _one_heated(self, work: Work, oven: Oven, temperature_c: float) -> float:
        return await work.heat(oven, temperature_c, tolerance_c=self.tolerance_c, within_s=self.within_s)

    async def _curve(self, work: Work, scans: list[_Scanned], what: str, begun: float) -> None:
        """Counts of each arm at each pump power, rising."""
        points = min(len(one.powers) for one in scans)
        for index in range(points):
            for one in scans:
                await work.set(one.crystal.pump.value, round(one.powers[index], 2))
            await asyncio.sleep(self.settle_s)
            for one in scans:
                counts = one.noise if what == "noise" else one.signal
                counts.append(await self._light(work, one.arm, self.curve_s))
            work.tell(f"{what} against pump power", begun + 0.2 * (index + 1) / points)

    async def _scan(self, work: Work, scans: list[_Scanned]) -> None:
        for _ in range(ROUNDS_MAX):
            wanted = {one.arm.node: sorted(await asyncio.to_thread(self._next, one)) for one in scans}
            if not any(wanted.values()):
                return
            for index in range(max(map(len, wanted.values()))):
                now = {node: temps[index] for node, temps in wanted.items() if index < len(temps)}
                found = await self._heat(work, now, scans)
                await asyncio.sleep(self.settle_s)  # within its controller's last digit it still creeps
                for one in scans:
                    if one.arm.node in found:
                        one.temperatures.append(found[one.arm.node])
                        one.counts.append(await self._light(work, one.arm, self.window_s))
                work.tell("scanning the crystals", None, **{f"{node}_c": t for node, t in found.items()})
        raise Unfit(f"no maximum of the converters was pinned down in {ROUNDS_MAX} rounds")

    async def _light(self, work: Work, arm: Arm, duration_s: float) -> float:
        """Counts of all detectors with one arm open."""
        (receiver,) = work.bench.receivers
        await light.open_only(work, [arm])
        found = await counted(work, receiver, duration_s)
        return float(sum(found.singles.values()))

    # -- fits -----------------------------------------------------------------------------------------------

    def _next(self, one: _Scanned) -> tuple[float, ...]:
        try:
            return next_temperatures(
                one.temperatures,
                one.counts,
                one.low_c,
                one.high_c,
                self.fwhm_k,
                sigma_goal_k=self.goal_k,
                resolution_k=self.resolution_k,
            )
        except NoEstimate as problem:
            raise Unfit(f"converter of {one.arm.node}: {problem}", arrays=_arrays(one)) from problem

    def _matched(self, one: _Scanned) -> PhaseMatching:
        order = np.argsort(one.temperatures)
        return phase_matching(np.array(one.temperatures)[order], np.array(one.counts)[order], self.fwhm_k)

    def _fitted(self, work: Work, one: _Scanned) -> Converter:
        """Rates are as detected; the input is taken to be the most that was seen, so that shares come out."""
        attempts = work.bench.attempts
        open_share = 1.0 if attempts is None else attempts.window_ps / attempts.period_ps
        knob = one.crystal.pump.value
        most_hz = max(s - n for s, n in zip(one.signal, one.noise, strict=True)) / self.curve_s
        if most_hz <= 0.0:
            raise Unfit(
                f"the converter of {one.arm.node} gives no light beyond its noise", arrays=_arrays(one)
            )
        try:
            return converter(
                one.powers,
                one.signal,
                one.noise,
                self.curve_s,
                Quantity(most_hz, 0.0, "1/s"),
                link_signal_hz=most_hz / open_share,  # noise outside the gates does not count
                power_limit=knob.high,
                unit=knob.unit,
            )
        except NoEstimate as problem:
            raise Unfit(f"converter of {one.arm.node}: {problem}", arrays=_arrays(one)) from problem

    def _rounded(self, temperature_c: float) -> float:
        return round(round(temperature_c / self.resolution_k) * self.resolution_k, 6)

    def _finding(
        self,
        work: Work,
        scans: list[_Scanned],
        matched: Mapping[str, PhaseMatching],
        curves: Mapping[str, Converter],
    ) -> Finding:
        quantities: dict[str, Quantity] = {}
        checks: list[Check] = []
        settings: dict[Knob, Value] = {}
        arrays: dict[str, Floats] = {}
        for one in scans:
            node, found, phase = one.arm.node, curves[one.arm.node], matched[one.arm.node]
            knob = one.crystal.pump.value
            share = found.efficiency.value / found.efficiency_max.value
            quantities |= {
                f"temperature_c.{node}": phase.temperature,
                f"fwhm_k.{node}": phase.fwhm,
                f"pump_of_most.{node}": found.power_max,
                f"pump.{node}": Quantity(found.power, 0.0, knob.unit),
                f"share_of_most.{node}": Quantity(
                    share, share * found.efficiency_max.sigma / found.efficiency_max.value
                ),
                f"noise_hz.{node}": found.noise_rate,
                f"noise_slope.{node}": found.noise_slope,
                f"snr.{node}": found.snr,
            }
            named = [
                *phase.checks(hold_k=max(0.05, self.goal_k)),
                *(
                    check
                    for check in found.checks(self.snr_min)
                    if check.quantity in ("signal over noise", "reduced deviance")
                ),
                Check(
                    "deviation from the curve beyond counting", _deviation(one, found), None, DEVIATION_MAX
                ),
            ]
            checks += [
                Check(f"{check.quantity}.{node}", check.value, check.low, check.high, check.unit)
                for check in named
            ]
            settings |= {
                one.oven.setpoint: self._rounded(phase.temperature.value),
                one.oven.heating: True,
                knob: round(found.power, 2),
                **dict.fromkeys(one.crystal.pump.emission, True),
            }
            arrays |= _arrays(one)
        pictured = {f"{node}, oven": found.curve for node, found in matched.items()}
        pictured |= {f"{node}, pump (share of the most seen)": found.curve for node, found in curves.items()}
        return Finding(
            quantities=quantities,
            checks=tuple(checks),
            settings=settings,
            arrays=arrays,
            draw=pictures.curves(pictured, title=f"Converters of {work.bench.link}"),
        )


def _deviation(one: _Scanned, found: Converter) -> float:
    """The largest relative distance of a strong point from the curve, less 3 sigma of its counts."""
    fitted = efficiency_curve(np.array(one.powers), found.efficiency_max.value, found.power_max.value)
    strong = fitted > 0.5 * fitted.max()
    beyond = np.abs(found.curve.measured / fitted - 1.0) - 3.0 * found.curve.errors / fitted
    return float(max(0.0, beyond[strong].max()))


def _arrays(one: _Scanned) -> dict[str, Floats]:
    named = {
        "temperature_c": one.temperatures,
        "counts": one.counts,
        "power": one.powers,
        "noise": one.noise,
        "signal": one.signal,
    }
    return {f"{name}.{one.arm.node}": np.array(values, np.float64) for name, values in named.items()}
