"""Timing jitter of every detector, full width at half maximum (procedure 7, step 4).

Where an analyser has a pulsed source on the tagger's clock, each detector is told by itself: its clicks
against the pulses, in light of one way, so that no delay between two ways widens the peak. How wide the
pulses are is taken off.

Where pairs go to two receivers, joint jitters of their detectors are all there is. They tell how the
detectors of one receiver differ, and what all have together. How much of it either receiver has they do not
tell, so that intervals hold every split. A detector's jitter is then with that of its tagger and of its
clock; the error by which one clock is followed against the other belongs to what is split.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bellwire.calibration.bench import LinkBench, Receiver
from bellwire.calibration.estimates.curves import Curve
from bellwire.calibration.estimates.detectors import Jitter, jitter_of
from bellwire.calibration.estimates.jitter_network import JitterShares, jitter_shares
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.estimates.peak import Peak, fit_peak
from bellwire.calibration.estimates.pulse_phase import pulse_phase
from bellwire.calibration.pairing import Times, Together, needs_two, paired
from bellwire.calibration.procedure import Finding, Unfit, unique
from bellwire.calibration.procedures import alignment_light, light, pictures
from bellwire.calibration.procedures.arm_delay import no_arrival_times
from bellwire.calibration.procedures.clicks import heard_clicks
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.work import Work
from bellwire.drivers.tags.pairs import pair_indices

PAIRS_MIN = 300
"""Of two detectors, from which on their peak is looked at."""
REACH_SIGMAS = 12
BINS_PER_SIGMA = 3.0
MISFIT_SIGMAS_MAX = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorJitter:
    """`windows`, `window_s`: of tags; `record_s`: for the clock. `fwhm_max_ps`: of a detector.
    `pulse_fwhm_ps`: known width of pulses and of their clock.
    """

    windows: int = 6
    window_s: float = 1.0
    record_s: float = 3.0
    fwhm_max_ps: float = 200.0
    pulse_fwhm_ps: float = 0.0
    name: str = "detector_jitter"
    meaning: str = "timing jitter of every detector, from pulses, or from pairs as far as these can tell"
    needs: tuple[str, ...] = ("clock", "detector_delays")
    valid_for_s: float = 30 * 24 * 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        return no_arrival_times(bench) if bench.kind == "meeting" else needs_two(bench)

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        lit = alignment_light.source_instruments if bench.kind == "meeting" else light.instruments_of
        return unique(*lit(bench), *(one.tagger for one in bench.receivers))

    async def run(self, work: Work) -> Finding:
        return await (self._by_pulses(work) if work.bench.kind == "meeting" else self._by_pairs(work))

    # -- pulses ---------------------------------------------------------------------------------------------

    async def _by_pulses(self, work: Work) -> Finding:
        (receiver,), source = work.bench.receivers, alignment_light.source_of(work.bench)
        assert source is not None
        assert source.period_ps is not None
        await alignment_light.bring_source(work)
        await alignment_light.light_one(work, 0)
        heard: dict[str, list[Times]] = {label: [] for label in receiver.labels}
        async with work.listen([receiver]) as listening:
            for index in range(self.windows):
                clicks = await heard_clicks(work, listening, receiver, self.window_s)
                for label, times in clicks.times.items():
                    heard[label].append(times)
                work.tell("collecting clicks", (index + 1) / self.windows)
        found = await asyncio.to_thread(self._of_pulses, receiver, heard, source.period_ps)
        quantities = {f"fwhm_ps.{receiver.name}.{label}": one.fwhm for label, one in found.items()}
        checks = [
            Check(f"{one.quantity} of {label}", one.value, one.low, one.high, one.unit)
            for label, jitter in found.items()
            for one in jitter.checks(self.fwhm_max_ps)
        ]
        return Finding(
            quantities=quantities,
            checks=tuple(checks),
            draw=pictures.curves(
                {label: one.peak.curve for label, one in found.items()},
                title=f"Clicks of {receiver.name} against the pulses of its alignment light",
            ),
        )

    def _of_pulses(
        self, receiver: Receiver, heard: Mapping[str, Sequence[Times]], period_ps: int
    ) -> dict[str, Jitter]:
        found: dict[str, Jitter] = {}
        for label, pieces in heard.items():
            try:
                peak = pulse_phase(np.concatenate(pieces), period_ps).peak
                found[label] = jitter_of(peak, self.pulse_fwhm_ps)
            except NoEstimate as problem:
                raise Unfit(f"detector {label} of {receiver.name}: {problem}") from problem
        return found

    # -- pairs ----------------------------------------------------------------------------------------------

    async def _by_pairs(self, work: Work) -> Finding:
        await light.lighten(work)
        looks: list[Together] = []
        async with paired(work) as pairing:
            work.tell("finding the clock", 0.05)
            clock = await pairing.lock(self.record_s)
            for index in range(self.windows):
                looks.append(await pairing.window(self.window_s))
                work.tell("collecting pair delays", 0.1 + 0.8 * (index + 1) / self.windows)
        first, second = work.bench.receivers
        peaks = await asyncio.to_thread(peaks_of, looks, first, second, clock.jitter_ps)
        joint = {pair: variance_of(peak) for pair, peak in peaks.items()}
        shares = jitter_shares(joint, _names(first), _names(second))
        return Finding(
            quantities={f"fwhm_ps.{name}": one for name, one in shares.fwhm.items()}
            | {f"above_mean_ps2.{name}": one for name, one in shares.above_mean.items()},
            checks=self._checks(shares, peaks),
            arrays={
                "joint_fwhm_ps": np.array([peak.fwhm.value for peak in peaks.values()]),
                "joint_fwhm_sigma_ps": np.array([peak.fwhm.sigma for peak in peaks.values()]),
                "pairs": np.array([" ".join(pair) for pair in peaks]),
            },
            draw=pictures.curves(
                {" with ".join(pair): curve for pair, curve in _first_curves(peaks).items()},
                title=f"Delays of pairs of {work.bench.link}",
            ),
        )

    def _checks(self, shares: JitterShares, peaks: Mapping[tuple[str, str], Peak]) -> tuple[Check, ...]:
        worst = max((peak.goodness for peak in peaks.values()), key=lambda one: one.sigmas)
        shape = worst.check(0.4, 1.6, of=len(peaks))
        return (
            *(
                Check(f"least jitter FWHM of {name}", one.interval[0], None, self.fwhm_max_ps, "ps")
                for name, one in shares.fwhm.items()
            ),
            Check("joint jitters as sums of two", shares.misfit_z, None, MISFIT_SIGMAS_MAX, "sigma"),
            replace(shape, quantity="worst reduced deviance of a peak"),
        )


def _names(receiver: Receiver) -> list[str]:
    return [f"{receiver.name}.{label}" for label in receiver.labels]


def variance_of(peak: Peak) -> Quantity:
    """Of the delays in a peak, in ps^2."""
    sigma = peak.sigma
    return Quantity(sigma.value**2, 2.0 * sigma.value * sigma.sigma, "ps^2")


def _first_curves(peaks: Mapping[tuple[str, str], Peak]) -> dict[tuple[str, str], Curve]:
    return {pair: peak.curve for pair, peak in list(peaks.items())[:4]}


def peaks_of(
    looks: Sequence[Together], first: Receiver, second: Receiver, jitter_ps: float
) -> dict[tuple[str, str], Peak]:
    """Of every pair of detectors that has enough pairs."""
    bin_ps = max(1, int(jitter_ps / BINS_PER_SIGMA))
    half = round(REACH_SIGMAS * jitter_ps / bin_ps)
    edges = bin_ps * np.arange(-half, half + 1)
    found: dict[tuple[str, str], Peak] = {}
    for one in first.labels:
        for other in second.labels:
            counts = np.zeros(2 * half, np.int64)
            for look in looks:
                mine, theirs = look.first[one], look.second[other]
                index, partner = pair_indices(mine, theirs, int(edges[0]), int(edges[-1]) - 1)
                counts += np.histogram(theirs[partner] - mine[index], edges)[0]
            if counts.sum() >= PAIRS_MIN:
                # A delay of d whole ps lies about d: bins begin half a ps before their first.
                found[f"{first.name}.{one}", f"{second.name}.{other}"] = fit_peak(edges - 0.5, counts)
    return found
