"""Which detectors of the analyser click together, and whether they do as interference says (procedure 8).

With an alignment source: its photons are alike and diagonal, so that far from the dip all patterns come
alike, and in the dip only those of one port are left; what is left of the others is (1 - V)/(1 + V) of them.
Without one: photons of the memories, of any polarisation, for which forbidden over allowed is (1 - V)/2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bellwire.calibration.bench import LinkBench, Receiver
from bellwire.calibration.estimates.bsm import FORBIDDEN, PSI_MINUS, PSI_PLUS, bell_patterns
from bellwire.calibration.estimates.counting import poisson_rate, weighted_sum
from bellwire.calibration.estimates.hom import CLASSICAL_BOUND
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.listening import Listening
from bellwire.calibration.procedure import Finding, unique
from bellwire.calibration.procedures import alignment_light, light, pictures
from bellwire.calibration.procedures.clicks import (
    OFF_PEAK_PULSES,
    Pattern,
    counted_together,
    detectors_of_bsm,
    heard_clicks,
    no_analyser,
)
from bellwire.calibration.procedures.delay_line import approach, range_of
from bellwire.calibration.procedures.hom import FAR_FWHM, HALF_WINDOW_PS
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.work import Work

PIECE_S = 2.0
"""Tags are counted in pieces of so long."""


@dataclass(frozen=True, slots=True)
class _Counted:
    """Coincidences of one light, by detectors as of `estimates.bsm`, and what efficiencies say of them.

    `accidental_hz`: of each pattern.
    """

    duration_s: float
    counts: Mapping[Pattern, int]
    accidental_hz: Mapping[Pattern, float]
    efficiencies: Mapping[str, Quantity]

    def corrected(self, patterns: tuple[Pattern, ...]) -> Quantity:
        """Their rate by counts, accidentals and efficiencies removed."""
        terms = []
        for one, other in patterns:
            weight = 1.0 / (self.efficiencies[one].value * self.efficiencies[other].value)
            rate = poisson_rate(self.counts[one, other], self.duration_s)
            terms.append((weight, Quantity(rate.value - self.accidental_hz[one, other], rate.sigma)))
        return weighted_sum(terms, unit="1/s")


@dataclass(frozen=True, slots=True, kw_only=True)
class BsmPatterns:
    """`look_s`: of tags, in the dip and far from it; `memories_s`: of the memories' photons instead."""

    look_s: float = 2.0
    memories_s: float = 60.0
    name: str = "bsm_patterns"
    meaning: str = "click patterns of the analyser, alike where they must be, and against the visibility"
    needs: tuple[str, ...] = ("darks", "hom")
    valid_for_s: float = 24 * 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        if (why := alignment_light.does_not_meet(bench)) is not None:
            return why
        if (why := no_analyser(bench)) is not None:
            return why
        if _aligned(bench):
            return None
        if bench.attempts is None:
            return (
                "there is neither alignment light with a delay line nor a word of when memories' photons come"
            )
        return None

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        taggers = (one.tagger for one in bench.receivers)
        if _aligned(bench):
            assert bench.delay is not None
            return unique(*alignment_light.source_instruments(bench), bench.delay.instrument, *taggers)
        pumps = [
            knob.instrument for arm in bench.arms if arm.converter for knob in arm.converter.pump.emission
        ]
        return unique(*light.instruments_of(bench), *pumps, *taggers)

    async def run(self, work: Work) -> Finding:
        (receiver,) = work.bench.receivers
        async with work.listen([receiver]) as heard:
            if _aligned(work.bench):
                return await self._with_alignment(work, heard, receiver)
            return await self._with_memories(work, heard, receiver)

    # -- diagonal photons of the alignment source ---------------------------------------------------------

    async def _with_alignment(self, work: Work, heard: Listening, receiver: Receiver) -> Finding:
        knob, source = work.bench.delay, alignment_light.source_of(work.bench)
        assert knob is not None
        assert source is not None
        low, high = range_of(knob)
        dip, fwhm = work.needed("hom", "dip_ps").value, work.needed("hom", "fwhm_ps").value
        visibility = work.needed("hom", "visibility")
        away = FAR_FWHM * fwhm
        await alignment_light.bring_source(work)
        far_at = await approach(work, knob, dip - away if dip - away >= low else min(dip + away, high))
        work.tell("patterns far from the dip", 0.1, delay_ps=far_at)
        far = await _counted(work, heard, receiver, self.look_s, HALF_WINDOW_PS, source.period_ps)
        dip_at = await approach(work, knob, dip)
        work.tell("patterns in the dip", 0.6, delay_ps=dip_at)
        inside = await _counted(work, heard, receiver, self.look_s, HALF_WINDOW_PS, source.period_ps)
        apart = bell_patterns(
            far.counts, far.efficiencies, far.duration_s, accidental_rates=far.accidental_hz
        )
        same, crossed = inside.corrected(PSI_PLUS), inside.corrected(PSI_MINUS + FORBIDDEN)
        found = _visibility(same, crossed)
        minus, forbidden = inside.corrected(PSI_MINUS), inside.corrected(FORBIDDEN)
        ratio = forbidden.value / same.value
        ratio_sigma = float(np.hypot(forbidden.sigma, ratio * same.sigma)) / same.value
        return Finding(
            quantities={
                "visibility": found,
                "forbidden_ratio": Quantity(ratio, ratio_sigma),
                "asymmetry": apart.asymmetry,
                "psi_plus_far_hz": apart.psi_plus,
                "psi_minus_far_hz": apart.psi_minus,
            },
            checks=(
                Check("Psi+ against Psi- far from the dip", apart.asymmetry_z, -3.0, 3.0, "sigma"),
                Check("visibility against the HOM scan", _apart(found, visibility), -3.0, 3.0, "sigma"),
                Check("forbidden against Psi- in the dip", _apart(forbidden, minus), -3.0, 3.0, "sigma"),
            ),
            arrays=_arrays({"far": far, "dip": inside}),
            draw=pictures.bars(
                {
                    f"{name} {i}{j}": _rate(seen, (i, j))
                    for name, seen in (("far", far), ("dip", inside))
                    for i, j in seen.counts
                },
                title=f"Click patterns of {work.bench.link}, alignment light",
                label="coincidences per s",
            ),
        )

    # -- photons of the memories ----------------------------------------------------------------------------

    async def _with_memories(self, work: Work, heard: Listening, receiver: Receiver) -> Finding:
        attempts = work.bench.attempts
        assert attempts is not None
        await light.lighten(work)
        for arm in work.bench.arms:
            if arm.converter is not None:
                await work.emit(arm.converter.pump, True)
        seen = await _counted(work, heard, receiver, self.memories_s, attempts.window_ps, None)
        scan = work.quantity("hom", "visibility")
        found = bell_patterns(
            seen.counts,
            seen.efficiencies,
            seen.duration_s,
            accidental_rates=seen.accidental_hz,
            hom_visibility=scan,
        )
        checks = [
            Check("Psi+ against Psi-", found.asymmetry_z, -3.0, 3.0, "sigma"),
            Check("visibility", found.visibility.value, CLASSICAL_BOUND),
        ]
        if found.agreement_z is not None:
            # Memories' photons may be less alike than those of the alignment source, never more.
            checks.append(Check("visibility above the HOM scan", found.agreement_z, None, 3.0, "sigma"))
        return Finding(
            quantities={
                "visibility": found.visibility,
                "forbidden_ratio": found.forbidden_ratio,
                "asymmetry": found.asymmetry,
                "psi_plus_hz": found.psi_plus,
                "psi_minus_hz": found.psi_minus,
            },
            checks=tuple(checks),
            arrays=_arrays({"memories": seen}),
            draw=pictures.bars(
                {f"{i}{j}": _rate(seen, (i, j)) for i, j in seen.counts},
                title=f"Click patterns of {work.bench.link}, photons of the memories",
                label="coincidences per s",
            ),
        )


def _aligned(bench: LinkBench) -> bool:
    return alignment_light.cannot_meet(bench) is None and bench.delay is not None


async def _counted(
    work: Work, heard: Listening, receiver: Receiver, duration_s: float, half_ps: int, period_ps: int | None
) -> _Counted:
    names = detectors_of_bsm(receiver)
    peak: dict[Pattern, int] = {}
    beside: dict[Pattern, int] = {}
    singles = dict.fromkeys(names.values(), 0)
    covered_s = 0.0
    while covered_s < 0.99 * duration_s:
        clicks = await heard_clicks(work, heard, receiver, min(PIECE_S, duration_s - covered_s))
        for total, found in zip(
            (peak, beside), await counted_together(clicks, half_ps, period_ps), strict=True
        ):
            for pattern, count in found.items():
                total[_ordered(names, pattern)] = total.get(_ordered(names, pattern), 0) + count
        for label in receiver.labels:
            singles[names[label]] += clicks.singles([label])
        covered_s += clicks.duration_s
    accidental_hz = {pattern: count / OFF_PEAK_PULSES / covered_s for pattern, count in beside.items()}
    darks = {
        names[label]: work.needed("darks", f"dark_hz.{receiver.name}.{label}") for label in receiver.labels
    }
    return _Counted(covered_s, peak, accidental_hz, _efficiencies(singles, covered_s, darks))


def _ordered(names: Mapping[str, str], pattern: Pattern) -> Pattern:
    one, other = sorted((names[pattern[0]], names[pattern[1]]))
    return (one, other) if (one, other) in (*PSI_PLUS, *PSI_MINUS, *FORBIDDEN) else (other, one)


def _efficiencies(
    singles: Mapping[str, int], duration_s: float, darks: Mapping[str, Quantity]
) -> dict[str, Quantity]:
    """Relative, from the light that every detector gets in the same share. Raises NoEstimate for none."""
    net = {
        name: weighted_sum([(1.0, poisson_rate(count, duration_s)), (-1.0, darks[name])])
        for name, count in singles.items()
    }
    mean = sum(one.value for one in net.values()) / len(net)
    unlit = [name for name, one in net.items() if one.value <= 0.1 * mean or one.value <= 0.0]
    if unlit:
        raise NoEstimate(f"detectors {', '.join(unlit)} see no light: look at their bias and the switch")
    return {name: Quantity(one.value / mean, one.sigma / mean) for name, one in net.items()}


def _visibility(same: Quantity, crossed: Quantity) -> Quantity:
    """Of alike diagonal photons: `same` holds half of what leaves by one port, `crossed` all of the rest."""
    whole = 2.0 * same.value + crossed.value
    if whole <= 0.0:
        raise NoEstimate("no coincidences beyond accidentals: count longer, or check the light")
    value = (2.0 * same.value - crossed.value) / whole
    sigma = 4.0 * float(np.hypot(crossed.value * same.sigma, same.value * crossed.sigma)) / whole**2
    return Quantity(value, sigma, "", value - 1.96 * sigma, min(value + 1.96 * sigma, 1.0))


def _apart(one: Quantity, other: Quantity) -> float:
    """In standard deviations of both."""
    return (one.value - other.value) / float(np.hypot(one.sigma, other.sigma))


def _rate(seen: _Counted, pattern: Pattern) -> Quantity:
    return poisson_rate(seen.counts[pattern], seen.duration_s)


def _arrays(seen: Mapping[str, _Counted]) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    return {
        name: np.array([one.counts[pattern] for pattern in (*PSI_PLUS, *PSI_MINUS, *FORBIDDEN)], np.int64)
        for name, one in seen.items()
    }
