"""How many of the photons each detector sees, and by what it is told (procedure 7, step 5; procedure 4).

Where an analyser has light of measured power, `efficiency` is absolute: from the output of the splitter to
the click, by a calibrated meter and attenuation whose uncertainties are in it. The light goes through one
input of the splitter after the other, so that its ratio does not matter.

Where pairs go to two receivers, no standard is needed (Klyshko), but what is told is `arm_efficiency`: from
the place where pairs are made to the click, of a photon in the polarisation of the detector, with coupling,
fibre, and the chance that its basis is chosen. How much of it is the detector's own, pairs do not tell; how
the detectors of one basis compare, `over_basis`, they do.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bellwire.calibration.bench import LinkBench, Receiver, Standard
from bellwire.calibration.estimates.counting import product
from bellwire.calibration.estimates.pair_rate import PairRate, pair_rate
from bellwire.calibration.estimates.standard_light import (
    DetectorNoise,
    LitInput,
    StandardEfficiencies,
    standard_efficiencies,
)
from bellwire.calibration.pairing import Together, paired
from bellwire.calibration.procedure import Finding, unique
from bellwire.calibration.procedures import alignment_light, light, pictures
from bellwire.calibration.procedures.clicks import counted, no_analyser, port_of
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.resolved_counts import cannot_resolve, outcome_sets, pair_clicks
from bellwire.calibration.work import Work

WAYS_SIGMAS_MAX = 4.0
"""The losses of both ways may differ from what is stated by so many of their uncertainties."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorEfficiency:
    """`windows`, `window_s`: of counts, in each way of the light; `record_s`: for the clock. `readings`: of
    the meter, before and after each. `efficiency_min`: of a detector in light of measured power.
    """

    windows: int = 4
    window_s: float = 1.0
    record_s: float = 3.0
    readings: int = 10
    efficiency_min: float = 0.5
    name: str = "detector_efficiency"
    meaning: str = "efficiency of every detector, by light of measured power or, with its arm, by pairs"
    needs: tuple[str, ...] = ("darks", "dead_time", "clock", "window")
    valid_for_s: float = 30 * 24 * 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        if bench.kind != "meeting":
            return cannot_resolve(bench)
        if (why := alignment_light.does_not_meet(bench) or no_analyser(bench)) is not None:
            return why
        if alignment_light.standard_of(bench) is None:
            return "no light of measured power is named"
        return light.cannot_darken(bench)

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        taggers = [one.tagger for one in bench.receivers]
        if bench.kind == "meeting":
            return unique(*alignment_light.standard_instruments(bench), *taggers)
        return unique(*light.instruments_of(bench), *taggers)

    async def run(self, work: Work) -> Finding:
        return await (self._by_power(work) if work.bench.kind == "meeting" else self._by_pairs(work))

    # -- light of measured power ----------------------------------------------------------------------------

    async def _by_power(self, work: Work) -> Finding:
        (receiver,), standard = work.bench.receivers, alignment_light.standard_of(work.bench)
        assert standard is not None
        await work.set(standard.wavelength, standard.wavelength_nm)
        inputs: list[LitInput] = []
        for index in range(len(standard.routes)):
            await alignment_light.bring_standard(work, index)
            inputs.append(await self._lit(work, receiver, standard, index))
            work.tell("counting light of measured power", (index + 1) / len(standard.routes))
        found = standard_efficiencies(
            inputs,
            {label: _noise(work, receiver, label) for label in receiver.labels},
            {label: port_of(label) for label in receiver.labels},
            wavelength_nm=standard.wavelength_nm,
            meter_error=standard.meter_error,
            loss_error_db=standard.loss_error_db,
        )
        names = {label: f"{receiver.name}.{label}" for label in receiver.labels}
        return Finding(
            quantities={f"efficiency.{names[label]}": one for label, one in found.efficiency.items()}
            | {f"over_mean.{names[label]}": one for label, one in found.over_mean.items()}
            | {"second_way_db": found.way_db, "power_w": inputs[0].power_w},
            checks=self._checks(found, standard),
            draw=pictures.bars(
                found.efficiency,
                title=f"Detectors of {receiver.name} in light of measured power",
                label="efficiency",
                line=self.efficiency_min,
            ),
        )

    async def _lit(self, work: Work, receiver: Receiver, standard: Standard, index: int) -> LitInput:
        before = [await work.read_number(standard.power) for _ in range(self.readings)]
        counts = await counted(work, receiver, self.windows * self.window_s)
        after = [await work.read_number(standard.power) for _ in range(self.readings)]
        return LitInput(
            {one.label: counts.singles[one.channel] for one in receiver.detectors},
            counts.window_s,
            _mean([*before, *after]),
            standard.attenuation_db + standard.losses_db[index],
        )

    def _checks(self, found: StandardEfficiencies, standard: Standard) -> tuple[Check, ...]:
        limit_db = WAYS_SIGMAS_MAX * math.hypot(found.way_db.sigma, standard.loss_error_db)
        return (
            *(
                Check(f"efficiency of {label}", one.value, self.efficiency_min)
                for label, one in found.efficiency.items()
            ),
            *(
                Check(f"lower end of the efficiency of {label}", one.interval[0], None, 1.0)
                for label, one in found.efficiency.items()
            ),
            Check("second way against what is stated", found.way_db.value, -limit_db, limit_db, "dB"),
        )

    # -- pairs ----------------------------------------------------------------------------------------------

    async def _by_pairs(self, work: Work) -> Finding:
        await light.lighten(work)
        looks: list[Together] = []
        async with paired(work) as pairing:
            work.tell("finding the clock", 0.05)
            await pairing.lock(self.record_s)
            for index in range(self.windows):
                looks.append(await pairing.window(self.window_s))
                work.tell("counting pairs", 0.1 + 0.9 * (index + 1) / self.windows)
        found = pair_rate(await asyncio.to_thread(pair_clicks, work, looks))
        arms = _arm_efficiencies(work.bench, found)
        return Finding(
            quantities={f"arm_efficiency.{name}": one for name, one in arms.items()}
            | {f"over_basis.{name}": one for name, one in _over_basis(work.bench, looks, arms).items()}
            | {"pair_rate_hz": found.rate},
            checks=tuple(
                Check(f"arm efficiency of {name}", one.value, 0.0, 1.0) for name, one in arms.items()
            ),
            draw=pictures.bars(
                arms, title=f"Detectors of {work.bench.link} with their arms, by pairs", label="efficiency"
            ),
        )


def _noise(work: Work, receiver: Receiver, label: str) -> DetectorNoise:
    dead = work.quantity("dead_time", f"dead_ns.{receiver.name}.{label}")
    return DetectorNoise(
        work.needed("darks", f"dark_hz.{receiver.name}.{label}"), 0.0 if dead is None else 1e-9 * dead.value
    )


def _mean(readings: Sequence[float]) -> Quantity:
    """With the error of the mean, as readings scatter."""
    n = len(readings)
    mean = sum(readings) / n
    scatter = sum((one - mean) ** 2 for one in readings) / max(n - 1, 1)
    return Quantity(mean, math.sqrt(scatter / n), "W")


def _arm_efficiencies(bench: LinkBench, found: PairRate) -> dict[str, Quantity]:
    first, second = bench.receivers
    named = dict(zip((f"{first.name}.{label}" for label in first.labels), found.first, strict=True))
    return named | dict(zip((f"{second.name}.{label}" for label in second.labels), found.second, strict=True))


def _over_basis(
    bench: LinkBench, looks: Sequence[Together], arms: Mapping[str, Quantity]
) -> dict[str, Quantity]:
    """First detector of each basis over the second: their light is alike, and their clicks independent."""
    ratios: dict[str, Quantity] = {}
    clicks_of = [one.first for one in looks], [one.second for one in looks]
    for receiver, clicks in zip(bench.receivers, clicks_of, strict=True):
        for members in outcome_sets(receiver) or ():
            if len(members) != 2:
                continue
            labels = [receiver.labels[index] for index in members]
            pair = []
            for label in labels:
                n = sum(one[label].size for one in clicks)
                value = arms[f"{receiver.name}.{label}"].value
                pair.append(Quantity(value, value / math.sqrt(max(n, 1))))
            ratios[f"{receiver.name}.{labels[0]}"] = product([(pair[0], 1), (pair[1], -1)])
    return ratios
