"""The Hong-Ou-Mandel dip of alignment light against the delay line, and the line set to it (procedure 3).

Coincidences are normalised by the product of singles as it drifts in time, told by the points outside the
dip: inside it, bunching takes from the singles themselves (two photons in one detector are one click), and
that must not be normalised away. Accidentals are those of other pulses.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bellwire.calibration.bench import LinkBench, Receiver
from bellwire.calibration.estimates.delay import optical_checks
from bellwire.calibration.estimates.hom import HomDip, hom_dip
from bellwire.calibration.estimates.hom_plan import scan_points
from bellwire.calibration.listening import Listening
from bellwire.calibration.procedure import Finding, Unfit, unique
from bellwire.calibration.procedures import alignment_light, pictures
from bellwire.calibration.procedures.clicks import (
    OFF_PEAK_PULSES,
    counted_together,
    crossing,
    heard_clicks,
    no_analyser,
    port_of,
    ports_of,
)
from bellwire.calibration.procedures.delay_line import approach, range_of
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.work import Work

Floats = NDArray[np.float64]

HALF_WINDOW_PS = 1000
"""Wider than the jitter of two detectors and any delay of the scan, narrower than half a pulse period."""
FAR_FWHM = 2.0
"""So far from the dip nothing is left of it."""
DRIFT_ORDER, DRIFT_POINTS_MIN = 2, 8


@dataclass(frozen=True, slots=True)
class _Point:
    """What was seen at one place of the line, in the order of time. `crossed`: one click in each port."""

    delay_ps: float
    duration_s: float
    crossed: int
    beside: int
    singles: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hom:
    """`points`: of the scan, over +-`widths` FWHM of the dip, shared by chance among `passes` from below: a
    drift looks like no dip, and a slow motor goes no long ways. `dwell_s`: at each point. `check_s`: in the
    dip, and far from it, at the end.

    `fwhm_guess_ps`: of the dip, within a factor of 5. `expected_fwhm_ps`: what filters say; None: not judged.
    """

    points: int = 25
    widths: float = 2.0
    passes: int = 3
    dwell_s: float = 0.5
    check_s: float = 1.0
    fwhm_guess_ps: float = 50.0
    expected_fwhm_ps: float | None = None
    visibility_min: float = 0.9
    name: str = "hom"
    meaning: str = "Hong-Ou-Mandel dip against the delay line, its visibility, and the line set to it"
    needs: tuple[str, ...] = ("darks", "arm_delay")
    valid_for_s: float = 24 * 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        if (why := alignment_light.cannot_meet(bench)) is not None:
            return why
        if (why := no_analyser(bench)) is not None:
            return why
        return None if bench.delay is not None else "no delay line is named"

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        assert bench.delay is not None
        return unique(
            *alignment_light.source_instruments(bench),
            bench.delay.instrument,
            *(one.tagger for one in bench.receivers),
        )

    async def run(self, work: Work) -> Finding:
        knob, (receiver,) = work.bench.delay, work.bench.receivers
        assert knob is not None
        low, high = range_of(knob)
        expected = work.needed("arm_delay", "place_ps").value
        reach = self.widths * self.fwhm_guess_ps
        if not low + self.fwhm_guess_ps <= expected <= high - self.fwhm_guess_ps:
            raise Unfit(
                f"the dip is expected at {expected:.0f} ps, which leaves no room for a scan within "
                f"{low:.0f} to {high:.0f} ps: change the length of a fibre in front of the splitter"
            )
        places = scan_points(
            expected, self.fwhm_guess_ps, work.chance, points=self.points, widths=self.widths
        )
        await alignment_light.bring_source(work)
        seen: list[_Point] = []
        async with work.listen([receiver]) as heard:
            for index, place in enumerate(_in_passes(np.clip(places, low, high), self.passes)):
                seen.append(await self._at(work, heard, receiver, float(place), self.dwell_s))
                work.tell("scanning the delay line", 0.9 * (index + 1) / self.points, delay_ps=float(place))
            found = await asyncio.to_thread(_fitted, seen, self.fwhm_guess_ps)
            if not low <= found.centre.value <= high:
                raise Unfit(
                    f"the fitted dip lies at {found.centre.value:.0f} ps, outside the line",
                    draw=_draw(work, found),
                )
            far_ps = _far(found, expected - reach, low, high)
            far = await self._at(work, heard, receiver, far_ps, self.check_s)
            inside = await self._at(work, heard, receiver, found.centre.value, self.check_s)
        return self._finding(work, found, seen, far, inside, (low, high))

    def _finding(
        self,
        work: Work,
        found: HomDip,
        seen: list[_Point],
        far: _Point,
        inside: _Point,
        span: tuple[float, float],
    ) -> Finding:
        knob = work.bench.delay
        assert knob is not None
        residual = Quantity(inside.delay_ps - found.centre.value, found.centre.sigma, "ps")
        seen_there = _depth(inside, far)
        fitted = found.visibility
        apart = (seen_there.value - fitted.value) / float(np.hypot(seen_there.sigma, fitted.sigma))
        return Finding(
            quantities={
                "dip_ps": found.centre,
                "fwhm_ps": found.fwhm,
                "visibility": found.visibility,
                "visibility_raw": found.visibility_raw,
                "visibility_there": seen_there,
            },
            checks=(
                *found.checks(visibility_min=self.visibility_min, expected_fwhm=self.expected_fwhm_ps),
                *optical_checks(residual, found.fwhm.value, inside.delay_ps, *span),
                Check(
                    "uncertainty of the dip over its width", found.centre.sigma / found.fwhm.value, None, 0.1
                ),
                Check("visibility where the line stands against the fit", apart, -3.5, None, "sigma"),
            ),
            settings={knob: round(found.centre.value, 3)},
            arrays=_arrays(seen),
            draw=_draw(work, found),
        )

    async def _at(
        self, work: Work, heard: Listening, receiver: Receiver, delay_ps: float, duration_s: float
    ) -> _Point:
        knob, source = work.bench.delay, work.bench.alignment
        assert knob is not None
        assert source is not None
        assert source.source is not None
        stands_ps = await approach(work, knob, delay_ps)
        clicks = await heard_clicks(work, heard, receiver, duration_s)
        peak, beside = await counted_together(clicks, HALF_WINDOW_PS, source.source.period_ps)
        each = [
            clicks.singles([label for label in receiver.labels if port_of(label) == port])
            for port in ports_of(receiver)
        ]
        return _Point(stands_ps, clicks.duration_s, crossing(peak), crossing(beside), (each[0], each[1]))


def _in_passes(places: Floats, passes: int) -> Floats:
    """Places in random order, as so many random shares, each from the lowest to the highest."""
    return np.concatenate([np.sort(share) for share in np.array_split(places, passes)])


def _fitted(seen: list[_Point], fwhm_guess_ps: float) -> HomDip:
    """First without drift, to know which points lie outside the dip."""
    dwell = np.array([one.duration_s for one in seen])
    coarse = _fit(seen, dwell, fwhm_guess_ps)
    apart = np.abs([one.delay_ps - coarse.centre.value for one in seen])
    return _fit(seen, dwell * _drift(seen, apart > coarse.fwhm.value), fwhm_guess_ps)


def _fit(seen: list[_Point], exposure: Floats, fwhm_guess_ps: float) -> HomDip:
    order = np.argsort([one.delay_ps for one in seen], kind="stable")
    return hom_dip(
        np.array([one.delay_ps for one in seen])[order],
        np.array([one.crossed for one in seen])[order],
        singles_product=exposure[order],
        off_peak_counts=sum(one.beside for one in seen),
        off_peak_windows=OFF_PEAK_PULSES,
        width_guess=fwhm_guess_ps / 2.3548,
    )


def _drift(seen: list[_Point], outside: NDArray[np.bool_]) -> Floats:
    """The product of both singles along the scan, in equal steps of time, relative; 1 where unknown."""
    rates = np.array([one.singles[0] * one.singles[1] / one.duration_s**2 for one in seen])
    if rates.min() <= 0.0:
        raise Unfit("a port of the analyser sees no light: look at the switch and the detectors")
    if outside.sum() < DRIFT_POINTS_MIN:
        return np.ones(len(seen))
    when = np.linspace(-1.0, 1.0, len(seen))
    curve = np.polynomial.Polynomial.fit(
        when[outside], np.log(rates[outside]), DRIFT_ORDER, domain=[-1.0, 1.0]
    )
    return np.asarray(np.exp(curve(when) - curve(0.0)))


def _far(found: HomDip, start_ps: float, low: float, high: float) -> float:
    """A place without any dip, on the side where there is room."""
    away = FAR_FWHM * found.fwhm.value
    below = min(start_ps, found.centre.value - away)
    return below if below >= low else min(found.centre.value + away, high)


def _depth(inside: _Point, far: _Point) -> Quantity:
    """1 - coincidences in the dip over those far from it, accidentals removed."""
    net, noise = [], []
    for one in (inside, far):
        accidental = one.beside / OFF_PEAK_PULSES
        net.append((one.crossed - accidental) / one.duration_s)
        variance = max(one.crossed, 1) + max(one.beside, 1) / OFF_PEAK_PULSES**2
        noise.append(float(np.sqrt(variance)) / one.duration_s)
    if net[1] <= 0.0:
        raise Unfit("no coincidences far from the dip: the light has gone")
    ratio = net[0] / net[1]
    return Quantity(1.0 - ratio, float(np.hypot(noise[0], ratio * noise[1])) / net[1])


def _arrays(seen: list[_Point]) -> dict[str, NDArray[np.float64]]:
    return {
        "delay_ps": np.array([one.delay_ps for one in seen]),
        "duration_s": np.array([one.duration_s for one in seen]),
        "crossed": np.array([float(one.crossed) for one in seen]),
        "beside": np.array([float(one.beside) for one in seen]),
        "singles": np.array([[float(each) for each in one.singles] for one in seen]),
    }


def _draw(work: Work, found: HomDip) -> pictures.Draw:
    title = f"Hong-Ou-Mandel dip of {work.bench.link}: visibility {found.visibility.value:.3f}"
    return pictures.curve(found.curve, title=title, mark=found.centre.value)
