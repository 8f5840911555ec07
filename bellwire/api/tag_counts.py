"""Counting time tags, for scripts: singles, coincidences, histograms of delays, and g2.

Owns plain functions over the engine (bellwire.drivers.tags), which is exact and leaves out what a loss
touches: every result tells its live time. What was typed wrong is a ConfigError. Needs the extra `study`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bellwire.api.extras import study_extra
from bellwire.api.tag_work import blocks_of
from bellwire.core.errors import ConfigError, LocalMisuse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bellwire.api.tag_work import Tags
    from bellwire.calibration.estimates.peak import Peak
    from bellwire.drivers.tags.coincidences import Coincidences
    from bellwire.drivers.tags.corrections import Estimate
    from bellwire.drivers.tags.histograms import DelayHistogram
    from bellwire.drivers.time_tags import TagBlock

BINS_MAX: Final = 2_000_000


@contextmanager
def _typed() -> Iterator[None]:
    with study_extra():
        try:
            yield
        except LocalMisuse as problem:
            raise ConfigError(str(problem)) from None


def count_coincidences(
    tags: Tags,
    patterns: Sequence[tuple[int, ...]],
    window_ps: int = 1000,
    *,
    delays_ps: Mapping[int, int] | None = None,
    singles: Sequence[int] = (),
    epoch: int | None = None,
) -> Coincidences:
    """Coincidences of patterns of channels, and the singles of the same live time.

    A coincidence of (a, b) is a tag of `a` with at least one of `b` within half of `window_ps`. `delays_ps`:
    added to the times of a channel before. `singles`: further channels to count.

    >>> found = count_coincidences("run.parquet", [(1, 2)], 2000, delays_ps={2: -2500})  # doctest: +SKIP
    >>> found.coincidences[1, 2], found.live_ps  # doctest: +SKIP
    (39970, 1999920001998)
    """
    with _typed():
        from bellwire.drivers.tags.coincidences import StreamedCoincidences

        counter = StreamedCoincidences(patterns, window_ps, delays_ps, singles=singles)
        for block in _from_zero(tags, epoch):
            counter.take(block)
        return counter.result()


def delay_histogram(
    tags: Tags,
    start: int,
    stop: int,
    *,
    bin_ps: int = 100,
    range_ps: int = 50_000,
    centre_ps: int = 0,
    delays_ps: Mapping[int, int] | None = None,
    epoch: int | None = None,
) -> DelayHistogram:
    """Delays from every tag of `start` to every tag of `stop`, in bins of `bin_ps` up to `range_ps` on either
    side of `centre_ps`.

    >>> histogram = delay_histogram("run.parquet", 1, 2, bin_ps=50, range_ps=10_000)  # doctest: +SKIP
    >>> int(histogram.counts.sum())  # doctest: +SKIP
    40091
    """
    half = -(-range_ps // bin_ps) if bin_ps > 0 else 0
    if not 0 < 2 * half <= BINS_MAX:
        raise ConfigError(f"+-{range_ps} ps in bins of {bin_ps} ps: take 2 to {BINS_MAX} bins")
    with _typed():
        from bellwire.drivers.tags.histograms import Bins, StreamedCorrelation

        bins = Bins(centre_ps - half * bin_ps, bin_ps, 2 * half)
        counter = StreamedCorrelation(start, stop, bins, delays_ps)
        for block in _from_zero(tags, epoch):
            counter.take(block)
        return counter.result()


def fit_peak(histogram: DelayHistogram) -> Peak | None:
    """The peak of a histogram: a Gaussian on a flat background. None: nothing stands out by 6 sigma.

    >>> fit_peak(histogram).fwhm  # doctest: +SKIP
    Quantity(value=707.3, sigma=2.6, unit='ps', low=702.2, high=712.4)
    """
    with _typed():
        from bellwire.calibration.estimates.likelihood import NoEstimate
        from bellwire.calibration.estimates.peak import fit_peak as fitted

        try:
            return fitted(histogram.bins.edges_ps - 0.5, histogram.counts)
        except NoEstimate:
            return None


def g2_by_delay(histogram: DelayHistogram) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """g2 in each bin of a histogram and its sigma: counts over those of unrelated light of the same rates.

    >>> value, sigma = g2_by_delay(histogram)  # doctest: +SKIP
    """
    with _typed():
        from bellwire.drivers.tags.correlation_figures import g2_by_delay as figures

        return figures(histogram)


def heralded_g2(
    tags: Tags,
    herald: int,
    first: int,
    second: int,
    window_ps: int = 1000,
    *,
    delays_ps: Mapping[int, int] | None = None,
) -> Estimate:
    """g2(0) of what a herald announces, behind a splitter with a detector at each output: 0 for one photon.

    >>> heralded_g2("run.parquet", 1, 2, 3, 2000).value < 0.1  # doctest: +SKIP
    True
    """
    patterns = [(herald, first), (herald, second), (herald, first, second)]
    found = count_coincidences(tags, patterns, window_ps, delays_ps=delays_ps)
    with _typed():
        from bellwire.drivers.tags.correlation_figures import heralded_g2 as figure

        pairs, others, triples = (found.coincidences[pattern] for pattern in patterns)
        return figure(found.singles[herald], pairs, others, triples)


def accidentals(found: Coincidences, pattern: tuple[int, int]) -> Estimate:
    """The accidentals among the coincidences of two channels, by their singles: S_a S_b w / T.

    >>> accidentals(found, (1, 2)).value  # doctest: +SKIP
    10.0
    """
    with _typed():
        from bellwire.drivers.tags.corrections import accidentals_of_singles

        first, second = (found.singles[channel] for channel in pattern)
        return accidentals_of_singles(first, second, found.width_ps, found.live_ps)


def _from_zero(tags: Tags, epoch: int | None) -> Iterator[TagBlock]:
    """Blocks whose times count from the beginning of their epoch: only differences matter here, and taggers
    that have run for weeks have long times.
    """
    origins: dict[int, int] = {}
    for block in blocks_of(tags, epoch=epoch):
        origin = origins.setdefault(block.epoch, block.start_ps)
        yield replace(
            block,
            start_ps=block.start_ps - origin,
            stop_ps=block.stop_ps - origin,
            time_ps=block.time_ps - origin,
            lost=tuple((begin - origin, end - origin) for begin, end in block.lost),
        )
