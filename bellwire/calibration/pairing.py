"""Two receivers on one time: the clock of the second against the first, found once and followed.

Owns the streams of both taggers for the length of a procedure, the clock between them, and windows in which
the tags of both stand on the time of the first. A window in which much was lost is taken anew. Refuses
polarisation: which pairs are right and which are wrong is the procedure's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bellwire.calibration.bench import LinkBench, Receiver
from bellwire.calibration.listening import PS_PER_S, EpochChanged, Listening
from bellwire.calibration.procedure import Unfit
from bellwire.calibration.work import Work
from bellwire.calibration.worker import in_worker
from bellwire.drivers.clocks.clock_kinds import MODELS, ClockKind, ClockNoise
from bellwire.drivers.clocks.clock_offset import ClockOffset
from bellwire.drivers.clocks.offset_search import CoarseOffset, search_offset
from bellwire.drivers.clocks.pair_fit import Candidates, candidates, fit_pairs
from bellwire.drivers.clocks.refine import RefinedOffset, refine
from bellwire.drivers.clocks.refusals import NoTiming
from bellwire.drivers.clocks.search_plan import plan_search
from bellwire.drivers.tag_counting import losses
from bellwire.drivers.tags.pairs import count_pairs
from bellwire.drivers.time_tags import TagBlock

Times = NDArray[np.int64]

LATENCY_PS = 150_000_000_000
"""The host clock knows the offset of two streams to their latency, which is below this."""
RATE_OPEN_E15 = 10_000_000_000
"""10 ppm: two quartzes that nobody has compared."""
RATE_KNOWN_SIGMAS = 6.0
VALID_PS = 600 * PS_PER_S
PAIR_SHARES = (0.1, 0.02, 0.004)
"""A search is laid out for pairs in so large a share of the rarer singles; dim ones take longer."""
SPANS_PS = (PS_PER_S, PS_PER_S // 2, PS_PER_S // 4, PS_PER_S // 8)
"""A quartz is a straight line for a second or less, to the precision of the pairs that come meanwhile."""
RELOCKS_MAX = 2
LOST_SHARE_MAX = 1e-3
"""Some taggers are blind for a moment at each transfer; time is counted without it, and pairs at its edges
are not missed by more than this."""
WINDOW_TRIES = 4
FOLLOW_PAIRS_MIN = 60
PIECE_PS = PS_PER_S // 4
"""Within so long a quartz wanders by less than the jitter of a pair."""
RATE_GAIN = 0.5


@dataclass(frozen=True, slots=True)
class Together:
    """Tags of both receivers on the first one's time. By label, int64 ps. `duration_s`: in which neither
    tagger was blind.
    """

    duration_s: float
    first: Mapping[str, Times]
    second: Mapping[str, Times]

    def pairs(self, one: str, other: str, low_ps: int, high_ps: int) -> int:
        """Pairs whose second tag comes `low_ps` to `high_ps` after the first, both ends included."""
        return count_pairs(self.first[one], self.second[other], low_ps, high_ps)

    def all_pairs(self, low_ps: int, high_ps: int) -> int:
        """The same, of any detector with any other."""
        return count_pairs(merged(self.first), merged(self.second), low_ps, high_ps)


def merged(times: Mapping[str, Times]) -> Times:
    """The tags of several detectors, in order."""
    return np.sort(np.concatenate(list(times.values())), kind="stable")


class Pairing:
    """Both streams, open. `clock`: None until `lock`; `refined`, `coarse`: how it was found."""

    def __init__(self, work: Work, first: Receiver, second: Receiver, listening: Listening) -> None:
        self.clock: ClockOffset | None = None
        self.refined: RefinedOffset | None = None
        self.coarse: CoarseOffset | None = None
        self._work = work
        self._first = first
        self._second = second
        self._listening = listening
        self._record_s = 0.0
        self._delays = {
            receiver.name: {label: _delay_ps(work, receiver, label) for label in receiver.labels}
            for receiver in (first, second)
        }

    async def lock(self, record_s: float) -> RefinedOffset:
        """Find the clock of the second receiver in `record_s` of tags. Raises NoTiming."""
        known = self._work.quantity("clock", "rate_e9")
        rate_e15 = 0 if known is None else round(known.value * 1e6)
        open_e15 = RATE_OPEN_E15
        if known is not None:
            aged = 2 * MODELS[ClockKind(self._first.clock)].noise.wander_e15 * 60
            open_e15 = min(open_e15, round(RATE_KNOWN_SIGMAS * known.sigma * 1e6) + aged)
        self.clock = None
        self._record_s = record_s
        first, second = await self._blocks(record_s)
        reference, stream = first.time_ps, second.time_ps
        rates_hz = [len(times) / record_s for times in (reference, stream)]
        if min(rates_hz) == 0.0:
            raise NoTiming(f"{self._first.name} and {self._second.name} see {rates_hz} tags/s: no light")
        search = _Search(first, second, rates_hz, rate_e15, open_e15)
        coarse = await in_worker(search.coarse)
        noise = MODELS[ClockKind(self._first.clock)].noise + MODELS[ClockKind(self._second.clock)].noise
        refined = await in_worker(search.refined, coarse, noise)
        self.coarse, self.refined, self.clock = coarse, refined, refined.clock
        return refined

    async def window(self, duration_s: float) -> Together:
        """The tags of the next `duration_s`; a clock that began anew meanwhile is found anew.

        Raises Unfit, EpochChanged, NoTiming.
        """
        for _ in range(RELOCKS_MAX):
            try:
                return await self._window(duration_s)
            except EpochChanged:
                await self.lock(self._record_s)
        return await self._window(duration_s)

    async def _window(self, duration_s: float) -> Together:
        first, second = await self._blocks(duration_s)
        if self.clock is None:
            raise Unfit("the clock of the second receiver was not found yet")
        on_first: list[Times] = []
        bounds_ps: list[int] = []
        for start_ps in range(second.start_ps, second.stop_ps, PIECE_PS):
            stop_ps = min(start_ps + PIECE_PS, second.stop_ps)
            piece = _part(second, start_ps, stop_ps)
            clock = self._followed(first, piece)
            on_first.append(clock.all_to_reference(piece.time_ps, second.epoch))
            bounds_ps += [
                clock.to_reference(start_ps, second.epoch),
                clock.to_reference(stop_ps, second.epoch),
            ]
        start_ps, stop_ps = max(first.start_ps, bounds_ps[0]), min(first.stop_ps, bounds_ps[-1])
        if stop_ps <= start_ps:
            raise Unfit(f"{self._first.name} and {self._second.name} tagged no time in common")
        live = (1.0 - _lost_share(first)) * (1.0 - _lost_share(second))
        moved = np.concatenate(on_first)
        return Together(
            (stop_ps - start_ps) / PS_PER_S * live,
            self._by_label(self._first, first.time_ps, first.channel, start_ps, stop_ps),
            self._by_label(self._second, moved, second.channel, start_ps, stop_ps),
        )

    async def _blocks(self, duration_s: float) -> tuple[TagBlock, TagBlock]:
        for _ in range(WINDOW_TRIES):
            heard = await self._listening.window(duration_s)
            first, second = heard[self._first.tagger], heard[self._second.tagger]
            if self.clock is not None and (first.epoch, second.epoch) != (
                self.clock.reference_epoch,
                self.clock.epoch,
            ):
                raise EpochChanged(self._second.tagger, "its time began anew: its clock is to be found again")
            if max(_lost_share(first), _lost_share(second)) <= LOST_SHARE_MAX:
                return first, second
        raise Unfit(
            f"more than {LOST_SHARE_MAX:g} of the time was lost in each of {WINDOW_TRIES} windows of "
            f"{duration_s:g} s: too much light for the line"
        )

    def _followed(self, first: TagBlock, piece: TagBlock) -> ClockOffset:
        """The clock, brought up to date by the pairs of this piece where there are enough of them."""
        assert self.clock is not None
        assert self.refined is not None
        clock, jitter_ps = self.clock, self.refined.jitter_ps
        middle_ps = (piece.start_ps + piece.stop_ps) // 2
        offset_ps, sigma_ps = clock.at(middle_ps, piece.epoch)
        half_ps = 8 * jitter_ps + 6 * sigma_ps
        found = candidates(first.time_ps, piece.time_ps, middle_ps, offset_ps, clock.rate_e15, half_ps)
        if found.since_ps.size < FOLLOW_PAIRS_MIN:
            return clock
        try:
            fit = fit_pairs(found, jitter_ps, beside_ps=_fullest(found, jitter_ps), line=False)
        except NoTiming:  # light that is low for the moment: the line found before goes on
            return clock
        if fit.pairs < FOLLOW_PAIRS_MIN:
            return clock
        passed_s = max(abs(middle_ps - clock.at_ps) / PS_PER_S, 0.1)
        turn_e15 = round(RATE_GAIN * fit.beside_ps / passed_s * 1000)
        self.clock = replace(
            clock,
            at_ps=middle_ps,
            offset_ps=offset_ps + round(fit.beside_ps),
            rate_e15=clock.rate_e15 + turn_e15,
            sigma_ps=max(1, round(fit.sigma_ps)),
            fitted_from_ps=piece.start_ps,
            fitted_until_ps=piece.stop_ps,
            valid_from_ps=piece.start_ps - VALID_PS,
            valid_until_ps=piece.stop_ps + VALID_PS,
        )
        return self.clock

    def _by_label(
        self, receiver: Receiver, times: Times, channel: NDArray[np.int16], start_ps: int, stop_ps: int
    ) -> dict[str, Times]:
        found: dict[str, Times] = {}
        for one in receiver.detectors:
            own = times[channel == one.channel]
            own = own[(own >= start_ps) & (own < stop_ps)]
            found[one.label] = own + self._delays[receiver.name][one.label]
        return found


@asynccontextmanager
async def paired(work: Work) -> AsyncIterator[Pairing]:
    """Both receivers of a link, listening. The clock is not found yet: `lock`."""
    first, second = work.bench.receivers
    async with work.listen(work.bench.receivers) as heard:
        yield Pairing(work, first, second, heard)


@dataclass(frozen=True, slots=True)
class _Search:
    """The clock of one pair of blocks."""

    first: TagBlock
    second: TagBlock
    rates_hz: Sequence[float]
    rate_e15: int
    open_e15: int

    def coarse(self) -> CoarseOffset:
        """Bright links are found quickly, dim ones at last. Raises NoTiming as the last search did."""
        problem: NoTiming | None = None
        for share in PAIR_SHARES:
            try:
                plan = plan_search(
                    self.rates_hz[0],
                    self.rates_hz[1],
                    share * min(self.rates_hz),
                    record_ps=self.first.stop_ps - self.first.start_ps,
                    uncertainty_ps=LATENCY_PS,
                    rate_uncertainty_e15=self.open_e15,
                    expected_rate_e15=self.rate_e15,
                )
                expected_ps = self.first.start_ps - self.second.start_ps
                return search_offset(self.first.time_ps, self.second.time_ps, plan, expected_ps=expected_ps)
            except NoTiming as refusal:
                problem = refusal
        assert problem is not None
        raise problem

    def refined(self, coarse: CoarseOffset, noise: ClockNoise) -> RefinedOffset:
        """Over the longest stretch on which the clock is a straight line. Raises NoTiming."""
        problem: NoTiming | None = None
        for span_ps in SPANS_PS:
            try:
                return refine(
                    self.first.time_ps,
                    self.second.time_ps,
                    coarse,
                    epoch=self.second.epoch,
                    reference_epoch=self.first.epoch,
                    noise=noise,
                    valid_ps=VALID_PS,
                    span_ps=span_ps,
                )
            except NoTiming as refusal:
                problem = refusal
        assert problem is not None
        raise problem


def needs_two(bench: LinkBench) -> str | None:
    """Why pairs between two receivers cannot be seen, or None."""
    return None if len(bench.receivers) == 2 else "it compares two receivers, this link has one"


def _fullest(found: Candidates, jitter_ps: int) -> float:
    """Where most candidates lie, to a few jitters: the fit climbs from there."""
    half = found.half_ps // (2 * jitter_ps) + 1
    counts, edges = np.histogram(found.beside_ps, 2 * jitter_ps * np.arange(-half, half + 1))
    both = counts[1:] + counts[:-1]
    return float(edges[int(np.argmax(both)) + 1])


def _part(block: TagBlock, start_ps: int, stop_ps: int) -> TagBlock:
    low, high = np.searchsorted(block.time_ps, [start_ps, stop_ps])
    return TagBlock(block.epoch, start_ps, stop_ps, block.time_ps[low:high], block.channel[low:high])


def _lost_share(block: TagBlock) -> float:
    lost = losses(block)
    return float((lost[:, 1] - lost[:, 0]).sum()) / (block.stop_ps - block.start_ps)


def _delay_ps(work: Work, receiver: Receiver, label: str) -> int:
    """What is added to the tags of a detector, by the record in force."""
    found = work.quantity("detector_delays", f"correction_ps.{receiver.name}.{label}")
    return 0 if found is None else round(found.value)
