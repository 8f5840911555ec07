"""What every detector counts without light (procedure 7, step 1)."""

from __future__ import annotations

from dataclasses import dataclass

from bellwire.calibration.bench import LinkBench
from bellwire.calibration.estimates.counting import poisson_rate
from bellwire.calibration.procedure import Finding, unique
from bellwire.calibration.procedures import light
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.work import Work

DARK_HZ_MAX = 2000.0
"""Twice what nanowires are sold with at most (1000/s); InGaAs diodes need a limit of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Darks:
    """`window_s`: of one count; `windows`: so many are added up."""

    window_s: float = 1.0
    windows: int = 4
    name: str = "darks"
    meaning: str = "dark counts of every detector, light kept away"
    needs: tuple[str, ...] = ()
    valid_for_s: float = 24 * 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        return light.cannot_darken(bench)

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        return unique(*light.instruments_of(bench), *(one.tagger for one in bench.receivers))

    async def run(self, work: Work) -> Finding:
        work.tell("keeping light away", 0.0)
        await light.darken(work)
        quantities: dict[str, Quantity] = {}
        for receiver in work.bench.receivers:
            totals = dict.fromkeys(receiver.channels, 0)
            for index in range(self.windows):
                counts = await work.count(receiver, self.window_s)
                for channel in totals:
                    totals[channel] += counts.singles.get(channel, 0)
                work.tell(f"darks of {receiver.name}", (index + 1) / self.windows)
            for one in receiver.detectors:
                rate = poisson_rate(totals[one.channel], self.window_s * self.windows)
                quantities[f"dark_hz.{receiver.name}.{one.label}"] = rate
        checks = tuple(Check(name, one.value, None, DARK_HZ_MAX, "1/s") for name, one in quantities.items())
        return Finding(quantities=quantities, checks=checks)
