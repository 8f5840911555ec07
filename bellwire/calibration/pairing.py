"""Two receivers on one time: the clock of the second against the first, found once and followed.

Owns the streams of both taggers for the length of a procedure, the clock between them, and windows in which
the tags of both stand on the time of the first. A window in which much was lost is taken anew. Refuses
polarisation: which pairs are right and which are wrong is the procedure's.

Corrections of detectors are applied to the tags before the clock is found: the clock stands on the middle of
the peak of corrected pairs, which is where windows are laid.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from bellwire.calibration.bench import LinkBench, Receiver
from bellwire.calibration.listening import PS_PER_S, EpochChanged, Listening
from bellwire.calibration.procedure import Unfit
from bellwire.calibration.records import Quantity
from bellwire.calibration.trackers.clock_keeper import ClockKeeper, Measure, Search
from bellwire.calibration.work import Work
from bellwire.calibration.worker import in_worker
from bellwire.drivers.clocks.block_offset import OffsetMeasurement, measure_block
from bellwire.drivers.clocks.clock_kinds import MODELS, ClockKind, ClockNoise
from bellwire.drivers.clocks.clock_offset import ClockOffset
from bellwire.drivers.clocks.offset_search import CoarseOffset, search_offset
from bellwire.drivers.clocks.refine import RefinedOffset, refine
from bellwire.drivers.clocks.refusals import NoTiming
from bellwire.drivers.clocks.search_plan import plan_search
from bellwire.drivers.clocks.tracking import Standing
from bellwire.drivers.tag_counting import losses
from bellwire.drivers.tags.pairs import count_pairs
from bellwire.drivers.time_tags import TagBlock

Times = NDArray[np.int64]

LATENCY_PS = 150_000_000_000
"""The host clock knows the offset of two streams to their latency, which is below this."""
RATE_OPEN_E15 = 10_000_000_000
"""10 ppm: two quartzes that nobody has compared."""
RATE_KNOWN_SIGMAS = 6.0
RECORD_KNOWN_S = 1.0
"""Enough for a search where the rate is known, unless light is low."""
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
PIECE_PS = PS_PER_S // 4
"""Within so long a quartz wanders by less than the jitter of a pair."""
PIECE_SHARES = (1, 4, 16)
"""After a pause the rate is not known so well: where it smears the peak of a piece, less of it is taken."""


class ClockLost(NoTiming):
    """The clock was followed until now, and is not where it must be: it is to be found again."""


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
    """Both streams, open. `keeper`: of the clock between them, which may be known from an earlier pairing.

    `refined`, `coarse`: how the clock was found, None until `lock`.
    """

    def __init__(
        self, work: Work, first: Receiver, second: Receiver, listening: Listening, keeper: ClockKeeper
    ) -> None:
        self.keeper = keeper
        self.refined: RefinedOffset | None = None
        self.coarse: CoarseOffset | None = None
        self._work = work
        self._first = first
        self._second = second
        self._listening = listening
        self._record_s = 0.0
        self._joined = False
        self._delays = {
            receiver.name: {one.channel: _delay_ps(work, receiver, one.label) for one in receiver.detectors}
            for receiver in (first, second)
        }

    async def lock(self, record_s: float) -> RefinedOffset:
        """Find the clock of the second receiver in `record_s` of tags. Raises NoTiming."""
        known = _newest(self._work, ("clock", "keep_clock"), "rate_e9")
        rate_e15 = 0 if known is None else round(known.value * 1e6)
        open_e15 = RATE_OPEN_E15
        if known is not None:
            aged = 2 * MODELS[ClockKind(self._first.clock)].noise.wander_e15 * 60
            open_e15 = min(open_e15, round(RATE_KNOWN_SIGMAS * known.sigma * 1e6) + aged)
        self._joined = False
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
        self.coarse, self.refined, self._joined = coarse, refined, True
        self.keeper.found(refined.clock, noise, refined.jitter_ps)
        return refined

    async def join(self, record_s: float) -> bool:
        """Go on with the clock that its keeper knows, where the pairs are still found by it; else find it, in
        less than `record_s` of tags where its rate is known. Returns whether it went on. Raises NoTiming.
        """
        self._record_s = record_s
        first, second = await self._blocks(PIECE_PS / PS_PER_S)
        with suppress(ClockLost):
            self._followed(first, second)
        if self.keeper.standing is Standing.TRACKING:
            self._joined = True
            return True
        if _newest(self._work, ("clock", "keep_clock"), "rate_e9") is not None and record_s > RECORD_KNOWN_S:
            with suppress(NoTiming):
                await self.lock(RECORD_KNOWN_S)
                return False
        await self.lock(record_s)
        return False

    async def window(self, duration_s: float) -> Together:
        """The tags of the next `duration_s`; a clock that began anew meanwhile, or was lost, is found anew.

        Raises Unfit, EpochChanged, NoTiming.
        """
        for _ in range(RELOCKS_MAX):
            try:
                return await self._window(duration_s)
            except (EpochChanged, ClockLost):
                await self.lock(self._record_s)
        return await self._window(duration_s)

    async def _window(self, duration_s: float) -> Together:
        if not self._joined:
            raise Unfit("the clock of the second receiver was not found yet")
        first, second = await self._blocks(duration_s)
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
            if max(_lost_share(first), _lost_share(second)) <= LOST_SHARE_MAX:
                return (
                    _corrected(first, self._delays[self._first.name]),
                    _corrected(second, self._delays[self._second.name]),
                )
        raise Unfit(
            f"more than {LOST_SHARE_MAX:g} of the time was lost in each of {WINDOW_TRIES} windows of "
            f"{duration_s:g} s: too much light for the line"
        )

    def _followed(self, first: TagBlock, piece: TagBlock) -> ClockOffset:
        """The clock, brought up to date by the pairs of this piece where they tell it. Raises ClockLost."""
        at_ps = (piece.start_ps + piece.stop_ps) // 2
        order = self.keeper.order(at_ps, first.epoch, piece.epoch)
        if isinstance(order, Search):
            raise ClockLost(order.reason)
        measured = _measured(first, piece, order)
        if measured is not None:  # light may be low for the moment: then the line found before goes on
            self.keeper.take(measured)
            at_ps = max(at_ps, measured.at_ps)
        if self.keeper.standing is Standing.LOST:
            raise ClockLost(self.keeper.reason)
        return self.keeper.clock(at_ps, piece.start_ps - VALID_PS, piece.stop_ps + VALID_PS)

    def _by_label(
        self, receiver: Receiver, times: Times, channel: NDArray[np.int16], start_ps: int, stop_ps: int
    ) -> dict[str, Times]:
        found: dict[str, Times] = {}
        for one in receiver.detectors:
            own = times[channel == one.channel]
            found[one.label] = own[(own >= start_ps) & (own < stop_ps)]
        return found


@asynccontextmanager
async def paired(work: Work, keeper: ClockKeeper | None = None) -> AsyncIterator[Pairing]:
    """Both receivers of a link, listening. The clock is not found yet: `lock`, or `join` where a `keeper` may
    know it.
    """
    first, second = work.bench.receivers
    async with work.listen(work.bench.receivers) as heard:
        yield Pairing(work, first, second, heard, keeper or ClockKeeper())


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


def has_one_delay(bench: LinkBench) -> str | None:
    """Why delays of detectors against each other cannot be told, or None."""
    if needs_two(bench) is None and all(len(one.detectors) == 1 for one in bench.receivers):
        return "every receiver has one detector, which has nothing to be late against"
    return needs_two(bench)


def needs_two(bench: LinkBench) -> str | None:
    """Why pairs between two receivers cannot be seen, or None."""
    has = len(bench.receivers)
    return None if has == 2 else f"it compares two receivers, this link has {has or 'none'}"


def _measured(first: TagBlock, piece: TagBlock, order: Measure) -> OffsetMeasurement | None:
    """The offset in the middle of a piece, from as much of it as shows a peak; None: too few pairs."""
    for share in PIECE_SHARES:
        half_ps = (piece.stop_ps - piece.start_ps) // (2 * share)
        part = _part(piece, order.at_ps - half_ps, order.at_ps + half_ps)
        try:
            return measure_block(
                first.time_ps,
                part.time_ps,
                epoch=piece.epoch,
                at_ps=order.at_ps,
                offset_ps=order.offset_ps,
                rate_e15=order.rate_e15,
                window_ps=max(order.window_ps, ceil(8 * order.jitter_ps)),
                jitter_ps=order.jitter_ps,
            )
        except NoTiming:
            continue
    return None


def _part(block: TagBlock, start_ps: int, stop_ps: int) -> TagBlock:
    low, high = np.searchsorted(block.time_ps, [start_ps, stop_ps])
    return TagBlock(block.epoch, start_ps, stop_ps, block.time_ps[low:high], block.channel[low:high])


def _lost_share(block: TagBlock) -> float:
    lost = losses(block)
    return float((lost[:, 1] - lost[:, 0]).sum()) / (block.stop_ps - block.start_ps)


def _corrected(block: TagBlock, delays_ps: Mapping[int, int]) -> TagBlock:
    """With what is to be added to the tags of each channel, in order again, and within the same bounds."""
    if not any(delays_ps.values()):
        return block
    times = block.time_ps.copy()
    for channel, delay_ps in delays_ps.items():
        times[block.channel == channel] += delay_ps
    order = np.argsort(times, kind="stable")
    order = order[(times[order] >= block.start_ps) & (times[order] < block.stop_ps)]
    return replace(block, time_ps=times[order], channel=block.channel[order])


def _delay_ps(work: Work, receiver: Receiver, label: str) -> int:
    """What is added to the tags of a detector, by the newest record in force."""
    found = correction_in_force(work, receiver.name, label)
    return 0 if found is None else round(found.value)


def correction_in_force(work: Work, receiver: str, label: str) -> Quantity | None:
    """That of a detector: as it was kept since, else as it was measured; None: it was never measured."""
    return _newest(work, ("detector_delays", "keep_delay"), f"correction_ps.{receiver}.{label}")


def _newest(work: Work, procedures: Sequence[str], quantity: str) -> Quantity | None:
    """A quantity by the newest record in force of several procedures that has it."""
    records = [work.known[name] for name in procedures if name in work.known]
    for record in sorted(records, key=lambda one: one.ended_ns, reverse=True):
        found = record.quantities.get(quantity)
        if found is not None:
            return found
    return None
