"""Whether photons of the source come one at a time (procedure 4, step 6), at the power it runs with.

The splitter by which a receiver chooses its basis is the beam splitter of the measurement: h and v are its
one port, d and a the other; any click of the other receiver is the herald. Windows wider than the one in
force are looked at, too: g2 grows with the width as pairs at once make it, and is soon known well where it
is larger. Without heralds a window as wide as the statistics need is taken, and what is said is the mean over
it: of a continuous pump it is 1, whatever happens within the coherence time of a photon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bellwire.calibration.bench import LinkBench
from bellwire.calibration.estimates.curves import Curve
from bellwire.calibration.estimates.photon_statistics import (
    HeraldedCounts,
    HeraldedStatistics,
    heralded_statistics,
    unheralded_g2,
)
from bellwire.calibration.pair_counts import (
    BASES,
    OFF_PEAK_AWAY,
    OFF_PEAK_WINDOWS,
    cannot_compare,
    window_in_force,
)
from bellwire.calibration.pairing import Times, Together, paired
from bellwire.calibration.procedure import Finding, unique
from bellwire.calibration.procedures import light, pictures
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.work import Work
from bellwire.drivers.tags.pairs import count_pairs, pair_indices

WIDTHS = (1, 3, 10, 30)
"""Windows of heralded photons, by that in force."""
UNHERALDED = 1000
"""Coincidences without heralds that are asked for: 3 % of error."""
UNHERALDED_MIN = 25
UNHERALDED_MAX_PS = 1_000_000
G2_AWAY_MAX = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotonStatistics:
    """`windows`, `window_s`: of tags; `record_s`: for the clock. Nothing is moved but the light."""

    windows: int = 10
    window_s: float = 1.0
    record_s: float = 3.0
    name: str = "photon_statistics"
    meaning: str = (
        "g2(0) of each photon, heralded by the other and without, its receiver's choice the splitter"
    )
    needs: tuple[str, ...] = ("clock", "detector_delays", "window")
    valid_for_s: float = 7 * 24 * 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        return cannot_compare(bench)

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        return unique(*light.instruments_of(bench), *(one.tagger for one in bench.receivers))

    async def run(self, work: Work) -> Finding:
        await light.lighten(work)
        width_ps = window_in_force(work).width_ps
        looks: list[Together] = []
        async with paired(work) as pairing:
            work.tell("finding the clock", 0.05)
            await pairing.lock(self.record_s)
            for index in range(self.windows):
                looks.append(await pairing.window(self.window_s))
                work.tell("collecting photons", 0.1 + 0.9 * (index + 1) / self.windows)
        first, second = (one.name for one in work.bench.receivers)
        quantities: dict[str, Quantity] = {}
        checks: list[Check] = []
        drawn: dict[str, Curve] = {}
        for name, heralds, heralded in (
            (first, [one.second for one in looks], [one.first for one in looks]),
            (second, [one.first for one in looks], [one.second for one in looks]),
        ):
            counts = await asyncio.to_thread(all_widths, looks, heralds, heralded, width_ps)
            found = [heralded_statistics(one) for one in counts]
            quantities |= {
                f"g2_heralded.{name}": found[0].g2,
                f"g2_of_pairs.{name}": found[0].by_pairs,
                f"g2_heralded_wide.{name}": found[-1].g2,
                f"wide_window_ps.{name}": Quantity(counts[-1].window_s * 1e12, 0.0, "ps"),
            }
            checks += found[0].checks(name)
            checks += found[-1].checks(f"{name} in the widest window")[1:]
            drawn[f"photon at {name}"] = _curve(counts, found)
            alone = await asyncio.to_thread(unheralded, looks, heralded, width_ps)
            if alone is not None:
                g2, alone_ps = alone
                quantities[f"g2_unheralded.{name}"] = g2
                quantities[f"unheralded_window_ps.{name}"] = Quantity(float(alone_ps), 0.0, "ps")
                away = (g2.value - 1.0) / g2.sigma
                checks.append(
                    Check(f"g2 without heralds of {name} below 1", away, -G2_AWAY_MAX, None, "sigma")
                )
        return Finding(
            quantities=quantities,
            checks=tuple(checks),
            draw=pictures.curves(drawn, title=f"Heralded g2(0) of {work.bench.link} by width of the window"),
        )


def _port(times: Mapping[str, Times], basis: str) -> Times:
    return np.sort(np.concatenate([times[label] for label in BASES[basis]]), kind="stable")


def all_widths(
    looks: Sequence[Together],
    heralds: Sequence[Mapping[str, Times]],
    heralded: Sequence[Mapping[str, Times]],
    width_ps: float,
) -> list[HeraldedCounts]:
    """Of all looks, by width of the window."""
    found: list[HeraldedCounts] = []
    for width in WIDTHS:
        half_ps = round(width * width_ps / 2)
        total = np.zeros(6, dtype=np.int64)
        for one, other in zip(heralds, heralded, strict=True):
            starts = np.sort(np.concatenate(list(one.values())), kind="stable")
            ports = [_port(other, basis) for basis in BASES]
            with_click = [_clicks_at(starts, port, half_ps) for port in ports]
            total += [
                starts.size,
                *(one.sum() for one in with_click),
                with_click[0] @ with_click[1],
                *(port.size for port in ports),
            ]
        duration_s = sum(one.duration_s for one in looks)
        found.append(HeraldedCounts(duration_s, (2 * half_ps + 1) * 1e-12, *(int(one) for one in total)))
    return found


def _clicks_at(heralds: Times, port: Times, half_ps: int) -> Times:
    """Clicks of a port within half a window of each herald, (n_heralds,)."""
    index, _ = pair_indices(heralds, port, -half_ps, half_ps)
    return np.bincount(index, minlength=heralds.size)


def unheralded(
    looks: Sequence[Together], times: Sequence[Mapping[str, Times]], width_ps: float
) -> tuple[Quantity, int] | None:
    """g2 of one receiver alone and the window it took; None: too few coincidences in any window."""
    ports = [tuple(_port(one, basis) for basis in BASES) for one in times]
    per_ps = sum(
        one.size * other.size / (1e12 * look.duration_s)
        for look, (one, other) in zip(looks, ports, strict=True)
    )
    if per_ps * UNHERALDED_MAX_PS < UNHERALDED_MIN:
        return None
    half_ps = round(min(max(width_ps, UNHERALDED / per_ps), UNHERALDED_MAX_PS) / 2)
    span_ps = 2 * half_ps + 1
    away_ps, reach_ps = OFF_PEAK_AWAY * span_ps, OFF_PEAK_WINDOWS // 2 * span_ps
    together = sum(count_pairs(one, other, -half_ps, half_ps) for one, other in ports)
    beside = sum(
        count_pairs(one, other, start_ps, start_ps + reach_ps - 1)
        for one, other in ports
        for start_ps in (half_ps + away_ps, -half_ps - away_ps - reach_ps + 1)
    )
    return unheralded_g2(together, beside, OFF_PEAK_WINDOWS), span_ps


def _curve(counts: Sequence[HeraldedCounts], found: Sequence[HeraldedStatistics]) -> Curve:
    """g2 against the width of the window, and what several pairs leave of it."""
    widths = np.array([one.window_s * 1e9 for one in counts])
    return Curve(
        widths,
        np.array([one.g2.value for one in found]),
        np.array([one.g2.sigma for one in found]),
        widths,
        np.array([one.by_pairs.value for one in found]),
        "window (ns)",
        "g2(0)",
    )
