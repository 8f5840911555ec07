"""Nanowire detectors against their bias current, dark and lit, and the bias to use (procedure 7, step 2).

All detectors of a receiver are swept together, as shares of their own switching currents. Light must come
one photon at a time: of two at once a detector tells one, the more so the better it is. The sweep rises and
stays below the switching currents, so that none latches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bellwire.calibration.bench import Detector, Knob, LinkBench, Receiver
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.estimates.plateau import Plateau, bias_plateau
from bellwire.calibration.procedure import Finding, Unfit, unique
from bellwire.calibration.procedures import alignment_light, light, pictures
from bellwire.calibration.procedures.clicks import counted
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.work import Work

Name = tuple[str, str]
"""Receiver and label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorBias:
    """`shares`: of the switching current, rising, below 1. `window_s`: of a count. `step_ua`: of the bias
    source. `slope_max`: relative change of the rate of light per uA at the chosen bias.
    """

    shares: tuple[float, ...] = (0.5, 0.56, 0.62, 0.67, 0.71, 0.75, 0.79, 0.83, 0.87, 0.91, 0.95)
    window_s: float = 1.0
    step_ua: float = 0.1
    slope_max: float = 0.01
    name: str = "detector_bias"
    meaning: str = "counts of every nanowire against its bias, and the bias on the plateau"
    needs: tuple[str, ...] = ()
    valid_for_s: float = 30 * 24 * 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        biased = [(one, label) for one, label in _all(bench) if label.bias is not None]
        if not biased:
            return "no detector has a bias that can be set"
        for receiver, detector in biased:
            if detector.switching_ua is None:
                return (
                    f"the switching current of {receiver.name} {detector.label} is not known: say "
                    "switching_ua, from its test sheet"
                )
        return light.cannot_darken(bench)

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        return unique(
            *alignment_light.steady_instruments(bench),
            *(one.bias.instrument for _, one in _all(bench) if one.bias is not None),
            *(one.tagger for one in bench.receivers),
        )

    async def run(self, work: Work) -> Finding:
        await alignment_light.dark(work)
        dark = await self._sweep(work, "without light", 0.0)
        await self._at(work, self.shares[0])
        await alignment_light.steady(work)
        lit = await self._sweep(work, "with light", 0.5)
        found = await asyncio.to_thread(self._fitted, work, dark, lit)
        quantities: dict[str, Quantity] = {}
        checks: list[Check] = []
        settings: dict[Knob, float] = {}
        for receiver, detector, knob, _ in _biased(work.bench):
            one, name = found[receiver.name, detector.label], f"{receiver.name}.{detector.label}"
            chosen = round(one.bias, 6)
            settings[knob] = chosen
            quantities[f"bias_ua.{name}"] = Quantity(chosen, 0.0, "uA")
            quantities[f"half_bias_ua.{name}"] = one.half_bias
            quantities[f"width_ua.{name}"] = one.width
            quantities[f"slope_per_ua.{name}"] = one.slope
            if one.dark_at_bias is not None:
                quantities[f"dark_at_bias_hz.{name}"] = one.dark_at_bias
            checks += [
                Check(f"{check.quantity}.{name}", check.value, check.low, check.high, check.unit)
                for check in one.checks(slope_max=self.slope_max)
            ]
        return Finding(
            quantities=quantities,
            checks=tuple(checks),
            settings=settings,
            arrays={
                f"{kind}.{receiver}.{label}": np.array(counts)
                for kind, seen in (("dark", dark), ("light", lit))
                for (receiver, label), counts in seen.items()
            }
            | {"share": np.array(self.shares)},
            draw=pictures.curves(
                {f"{receiver} {label}": one.curve for (receiver, label), one in list(found.items())[:4]},
                title=f"Detectors of {work.bench.link} against their bias",
            ),
        )

    async def _sweep(self, work: Work, how: str, begun: float) -> dict[Name, list[float]]:
        """Counts of every biased detector at each share."""
        counts: dict[Name, list[float]] = {}
        for index, share in enumerate(self.shares):
            await self._at(work, share)
            for receiver in work.bench.receivers:
                found = await counted(work, receiver, self.window_s)
                for one in receiver.detectors:
                    if one.bias is not None:
                        total = found.singles[one.channel]
                        counts.setdefault((receiver.name, one.label), []).append(float(total))
            work.tell(f"bias sweep {how}", begun + 0.5 * (index + 1) / len(self.shares), share=share)
        return counts

    async def _at(self, work: Work, share: float) -> None:
        for _, _, knob, switching_ua in _biased(work.bench):
            await work.set(knob, round(share * switching_ua / self.step_ua) * self.step_ua)

    def _fitted(
        self, work: Work, dark: Mapping[Name, list[float]], lit: Mapping[Name, list[float]]
    ) -> dict[Name, Plateau]:
        found: dict[Name, Plateau] = {}
        for receiver, detector, knob, switching_ua in _biased(work.bench):
            name = receiver.name, detector.label
            bias = np.array(
                [round(share * switching_ua / self.step_ua) * self.step_ua for share in self.shares]
            )
            try:
                found[name] = bias_plateau(
                    bias,
                    lit[name],
                    dark[name],
                    self.window_s,
                    switching_ua,
                    step=self.step_ua,
                    unit=knob.unit,
                )
            except NoEstimate as problem:
                hint = "" if work.bench.source is None else "; has the source been tuned (oven_scan)?"
                raise Unfit(f"detector {detector.label} of {receiver.name}: {problem}{hint}") from problem
        return found


def _all(bench: LinkBench) -> list[tuple[Receiver, Detector]]:
    return [(receiver, one) for receiver in bench.receivers for one in receiver.detectors]


def _biased(bench: LinkBench) -> Iterator[tuple[Receiver, Detector, Knob, float]]:
    """Detectors whose bias can be set, with their knobs and switching currents in uA."""
    for receiver, one in _all(bench):
        if one.bias is not None and one.switching_ua is not None:
            yield receiver, one, one.bias, one.switching_ua
