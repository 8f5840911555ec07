"""A pair source against its pump power: brightness, heralding, CAR, and the power to run at (procedure 4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bellwire.calibration.bench import LinkBench, Receiver
from bellwire.calibration.estimates.counting import weighted_sum
from bellwire.calibration.estimates.source_point import Detection, PumpPoint
from bellwire.calibration.estimates.source_sweep import SourceSweep, source_sweep
from bellwire.calibration.pair_counts import OFF_PEAK_WINDOWS, CoincidenceWindow, window_in_force
from bellwire.calibration.pairing import Pairing, paired
from bellwire.calibration.procedure import Finding, unique
from bellwire.calibration.procedures import light, pictures
from bellwire.calibration.records import Quantity
from bellwire.calibration.resolved_counts import cannot_resolve, pair_clicks
from bellwire.calibration.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePower:
    """`shares`: powers to measure at, of the usual one. `window_s`: at each; `record_s`: for the clock.

    `visibility_min`, `car_min`: what the operating point must allow.
    """

    shares: tuple[float, ...] = (1.0, 0.7, 0.5, 0.35, 0.25)
    window_s: float = 1.5
    record_s: float = 3.0
    visibility_min: float = 0.95
    car_min: float = 10.0
    name: str = "source_power"
    meaning: str = "brightness, heralding and CAR of the source against its pump; its operating point"
    needs: tuple[str, ...] = ("darks", "clock", "window")
    valid_for_s: float = 7 * 24 * 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        if bench.source is None:
            return "no source is named"
        if bench.source.usual_pump is None:
            return "nothing says at what power the source usually runs"
        return cannot_resolve(bench)

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        assert bench.source is not None
        return unique(*light.parts_of(bench.source), *(one.tagger for one in bench.receivers))

    async def run(self, work: Work) -> Finding:
        source = work.bench.source
        assert source is not None
        assert source.usual_pump is not None
        knob, window = source.pump.value, window_in_force(work)
        powers = [share * source.usual_pump for share in self.shares]
        if knob.high is not None:
            powers = [power for power in powers if power <= knob.high]
        await work.set(knob, powers[0])
        await light.lighten(work)
        points: list[PumpPoint] = []
        async with paired(work) as pairing:
            work.tell("finding the clock", 0.05)
            await pairing.lock(self.record_s)
            for index, power in enumerate(powers):
                await work.set(knob, power)
                points.append(await self._point(work, pairing, window, await work.read_number(knob)))
                work.tell("pairs against pump power", (index + 1) / len(powers), power=power)
        points.sort(key=lambda one: one.power)
        sweep = source_sweep(points, self._detection(work, window), power_unit=knob.unit)
        point = sweep.operating_point(visibility_min=self.visibility_min, car_min=self.car_min)
        lowest, highest = sweep.points[0], sweep.points[-1]
        return Finding(
            quantities={
                "brightness": sweep.brightness,
                "heralding_first": highest.heralding_signal,
                "heralding_second": highest.heralding_idler,
                "car_lowest_power": lowest.car,
                "car_highest_power": highest.car,
                "pump": Quantity(point.power, 0.0, knob.unit),
                "pair_rate_hz": Quantity(
                    point.pair_rate, point.pair_rate * sweep.brightness.sigma / sweep.brightness.value, "1/s"
                ),
                "visibility_limit": Quantity(point.visibility, 0.0),
            },
            checks=sweep.checks(car_min=self.car_min),
            settings={knob: round(point.power, 3)},
            arrays=_arrays(points),
            draw=_draw(sweep, point.power, work.bench.link, knob.unit),
        )

    async def _point(
        self, work: Work, pairing: Pairing, window: CoincidenceWindow, power: float
    ) -> PumpPoint:
        await pairing.window(self.window_s / 4)  # the clock is followed at the new level first
        together = await pairing.window(self.window_s)
        return PumpPoint(
            power=power,
            duration_s=together.duration_s,
            singles_signal=sum(one.size for one in together.first.values()),
            singles_idler=sum(one.size for one in together.second.values()),
            coincidences=window.all_inside(together),
            off_peak=window.all_beside(together),
            off_peak_windows=OFF_PEAK_WINDOWS,
            resolved=pair_clicks(work, [together]),
        )

    def _detection(self, work: Work, window: CoincidenceWindow) -> Detection:
        first, second = work.bench.receivers
        return Detection(
            dark_signal=_darks(work, first),
            dark_idler=_darks(work, second),
            dead_time_signal_s=_dead_s(work, first),
            dead_time_idler_s=_dead_s(work, second),
            window_s=window.span_ps * 1e-12,
        )


def _darks(work: Work, receiver: Receiver) -> Quantity:
    """Of all detectors of a receiver together."""
    each = [work.needed("darks", f"dark_hz.{receiver.name}.{label}") for label in receiver.labels]
    return weighted_sum([(1.0, one) for one in each], unit="1/s")


def _dead_s(work: Work, receiver: Receiver) -> float:
    """Dead time of one detector that would lose as much as all of a receiver do, each its own share."""
    found = [work.quantity("dead_time", f"dead_ns.{receiver.name}.{label}") for label in receiver.labels]
    known = [one.value for one in found if one is not None]
    return 1e-9 * sum(known) / len(known) / len(receiver.labels) if known else 0.0


def _arrays(points: list[PumpPoint]) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    names = ("power", "duration_s", "singles_signal", "singles_idler", "coincidences", "off_peak")
    return {name: np.array([float(getattr(one, name)) for one in points]) for name in names}


def _draw(sweep: SourceSweep, power: float, link: str, unit: str) -> pictures.Draw:
    return pictures.curve(
        sweep.curve, title=f"Source of {link}: operating point {power:.3g} {unit}", mark=power
    )
