"""From time tags to outcomes of attempts, as the heralding FPGA decides them, for a station without one.

Owns windows, masks, coincidence, what is lost, and the rates from which a herald's confidence follows. Sans
I/O, on arrays. Times are int64 ps since the run's epoch. Refuses to decide an attempt in whose window a tag
may be missing: it is lost, never failed, and never heralded either, because what is missing may have been a
click too many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers.herald_settings import CHANNELS, HeraldSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Times = NDArray[np.int64]

PS_PER_NS = 1_000
WINDOWS = 2
"""Windows in the table of outcomes; only the first is matched."""
ATTEMPTS_REMEMBERED = 1 << 24
"""Rates forget half of what they know after so many attempts, so that they follow drift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchSettings:
    """Attempt n has its edge at `first_ps + n * period_ps` after the epoch; n counts sub-attempts.

    `window_ps`: (start, stop) after the edge, start included, stop not, for times without their delay.
    `coincidence_ps`: largest spread between first clicks. `delays_ps`: by input, taken off its times.
    `outcomes`: by mask of the inputs that clicked, bit k = input k; 0 fails. Raises ConfigError.
    """

    first_ps: int
    period_ps: int
    window_ps: tuple[int, int]
    coincidence_ps: int
    delays_ps: tuple[int, ...] = (0,) * CHANNELS
    outcomes: tuple[int, ...]

    def __post_init__(self) -> None:
        length_ps = self.window_ps[1] - self.window_ps[0]
        if not 0 < length_ps <= self.period_ps:
            raise ConfigError(
                f"a window of {length_ps} ps does not fit into a period of {self.period_ps} ps; "
                "use fewer lanes or a shorter window"
            )
        if len(self.outcomes) != 1 << CHANNELS or len(self.delays_ps) != CHANNELS or self.outcomes[0]:
            raise ConfigError(f"outcomes {self.outcomes} or delays {self.delays_ps} do not fit four inputs")


def match_settings(settings: HeraldSettings, delays_ps: Sequence[int]) -> MatchSettings:
    """What the settings of an analyser mean for time tags; `delays_ps` by input. An offset of the settings is
    added to the times, as the FPGA does. Raises ConfigError for what only an FPGA does.
    """
    if (
        settings.frame is not None
        or settings.second_bank is not None
        or settings.external_trigger
        or settings.attempts_max is not None
        or settings.test_pattern is not None
        or len(settings.windows) != 1
    ):
        raise ConfigError("frames, banks, triggers, ends and test patterns of attempts need a heralding FPGA")
    if settings.link_period_ns % settings.lanes:
        raise ConfigError(
            f"link_period_ns = {settings.link_period_ns} is not a multiple of lanes = {settings.lanes}"
        )
    table = settings.outcome_table(CHANNELS, WINDOWS)
    window = settings.windows[0]
    return MatchSettings(
        first_ps=settings.start_delay_ns * PS_PER_NS,
        period_ps=settings.link_period_ns // settings.lanes * PS_PER_NS,
        window_ps=(window.start_ns * PS_PER_NS, (window.start_ns + window.length_ns) * PS_PER_NS),
        coincidence_ps=settings.coincidence_ns * PS_PER_NS,
        delays_ps=tuple(
            delay_ps - offset_ns * PS_PER_NS
            for delay_ps, offset_ns in zip(delays_ps, settings.offsets_ns, strict=True)
        ),
        outcomes=tuple(_outcome(table, mask) for mask in range(1 << CHANNELS)),
    )


def _outcome(table: Sequence[int], mask: int) -> int:
    return table[sum(1 << channel * WINDOWS for channel in range(CHANNELS) if mask >> channel & 1)]


@dataclass(frozen=True, slots=True)
class Herald:
    """An attempt that succeeded. `confidence`: see WindowRates.confidence."""

    attempt: int
    outcome: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Matches:
    """What a block has decided: every attempt up to `decided_to` that is neither in `heralds` nor in `lost`
    (first, last) has failed. `decided_to`: -1 before the first.
    """

    heralds: tuple[Herald, ...]
    lost: tuple[tuple[int, int], ...]
    decided_to: int


@dataclass(slots=True)
class WindowRates:
    """Clicks in windows and beside them, of attempts in which no tag was missing.

    `masks`: attempts by the set of inputs that clicked in the window. `beside`: clicks outside all windows,
    by input; `beside_ps`: for so long.
    """

    window_ps: int
    attempts: float = 0.0
    masks: list[float] = field(default_factory=lambda: [0.0] * (1 << CHANNELS))
    beside: list[float] = field(default_factory=lambda: [0.0] * CHANNELS)
    beside_ps: float = 0.0

    def background(self, channel: int) -> float:
        """Probability of a background click of an input in one window: 1 - exp(-b W), b from the clicks
        beside the windows, one more than were seen (rule of succession: no clicks are no proof of none).
        """
        if self.beside_ps <= 0.0:
            return 1.0
        return -math.expm1(-(self.beside[channel] + 1.0) / self.beside_ps * self.window_ps)

    def confidence(self, mask: int) -> float:
        """Probability that a herald of this set of inputs is made by photons alone, 0 .. 1.

        With p_c the probability that input c clicks in a window and q_c that of its background, clicks that
        have nothing to do with each other give the set with probability prod p_c, of which
        prod (p_c - q_c) are without background. The difference, over the measured probability of the set,
        is the share of accidental heralds: q / p for one click, the textbook accidental rate
        p_a q_b + q_a p_b - q_a q_b for two.
        """
        if not self.attempts or not self.masks[mask]:
            return 0.0
        every, clean = 1.0, 1.0
        for channel in range(CHANNELS):
            if mask >> channel & 1:
                clicked = sum(count for hit, count in enumerate(self.masks) if hit >> channel & 1)
                probability = clicked / self.attempts
                every *= probability
                clean *= max(0.0, probability - self.background(channel))
        return max(0.0, 1.0 - (every - clean) * self.attempts / self.masks[mask])

    def forget_half(self) -> None:
        """Give the past half its weight."""
        self.attempts /= 2
        self.masks = [count / 2 for count in self.masks]
        self.beside = [count / 2 for count in self.beside]
        self.beside_ps /= 2


class HeraldMatcher:
    """One run. Stretches of tags come in order of time; a hole between two is lost."""

    def __init__(self, settings: MatchSettings, rates: WindowRates | None = None) -> None:
        """rates: of the run before with the same settings, so that confidence needs no learning anew."""
        import numpy as np

        self.settings = settings
        self.rates = rates or WindowRates(settings.window_ps[1] - settings.window_ps[0])
        self.next = 0
        """The first attempt that is not decided."""
        self.known_to_ps: int | None = None
        """Where the last stretch has ended; None before the first."""
        self._times: Times = np.empty(0, np.int64)
        self._inputs: NDArray[np.int8] = np.empty(0, np.int8)
        self._lost: list[tuple[int, int]] = []

    def take(
        self,
        start_ps: int,
        stop_ps: int,
        time_ps: Times,
        inputs: NDArray[np.int8],
        lost: Sequence[tuple[int, int]] = (),
    ) -> Matches:
        """All tags of [start, stop), shape (n,) each, in any order, and intervals in which some may be
        missing. Times before a delay is taken off. Raises LocalMisuse for a stretch that ends before it
        begins.
        """
        import numpy as np

        if stop_ps < start_ps:
            raise LocalMisuse(f"a stretch of tags from {start_ps} to {stop_ps} ps ends before it begins")
        if self.known_to_ps is None:
            self._lose(None, start_ps)
        elif start_ps > self.known_to_ps:
            self._lose(self.known_to_ps, start_ps)
        for since_ps, until_ps in lost:
            self._lose(since_ps, until_ps)
        self.known_to_ps = stop_ps if self.known_to_ps is None else max(stop_ps, self.known_to_ps)
        delays = np.array(self.settings.delays_ps, np.int64)
        self._times = np.concatenate([self._times, time_ps - delays[inputs]])
        self._inputs = np.concatenate([self._inputs, inputs])
        return self._decide()

    def _lose(self, since_ps: int | None, until_ps: int) -> None:
        """Attempts whose window overlaps [since, until), whatever the delay of an input; None: from the
        beginning.
        """
        settings = self.settings
        opens_ps, closes_ps = (settings.first_ps + each for each in settings.window_ps)
        first = self.next
        if since_ps is not None:
            earliest_ps = since_ps - max(settings.delays_ps)
            first = max(first, (earliest_ps - closes_ps) // settings.period_ps + 1)
        latest_ps = until_ps - min(settings.delays_ps)
        last = -(-(latest_ps - opens_ps) // settings.period_ps) - 1
        if first <= last:
            self._lost.append((first, last))

    def _decide(self) -> Matches:
        import numpy as np

        settings, first = self.settings, self.next
        assert self.known_to_ps is not None
        complete_ps = self.known_to_ps - max(settings.delays_ps)
        closes_ps = settings.first_ps + settings.window_ps[1]
        upto = max(first, (complete_ps - closes_ps) // settings.period_ps + 1)
        self.next = upto
        lost = self._lost_up_to(upto)
        # A period begins with its window here, so that each click belongs to the attempt it may herald.
        since_ps = self._times - (settings.first_ps + settings.window_ps[0])
        attempts = since_ps // settings.period_ps
        later = attempts >= upto
        mine = (attempts >= first) & ~later
        if lost:
            begins = np.array([begin for begin, _ in lost], np.int64)
            ends = np.array([end for _, end in lost], np.int64)
            place = np.searchsorted(begins, attempts, side="right") - 1
            mine &= (place < 0) | (attempts > ends[place])
        attempts, inputs = attempts[mine], self._inputs[mine]
        offsets = since_ps[mine] - attempts * settings.period_ps
        self._times, self._inputs = self._times[later], self._inputs[later]
        whole = upto - first - sum(last - begin + 1 for begin, last in lost)
        heralds = self._match(attempts, inputs, offsets, whole)
        return Matches(heralds, tuple(lost), upto - 1)

    def _lost_up_to(self, upto: int) -> list[tuple[int, int]]:
        """Lost ranges before `upto`, apart and in order; the rest stays for later."""
        found: list[tuple[int, int]] = []
        for begin, last in sorted(self._lost):
            if begin >= upto:
                continue
            if found and begin <= found[-1][1] + 1:
                found[-1] = (found[-1][0], max(found[-1][1], min(last, upto - 1)))
            else:
                found.append((begin, min(last, upto - 1)))
        self._lost = [(max(begin, upto), last) for begin, last in self._lost if last >= upto]
        return found

    def _match(
        self, attempts: Times, inputs: NDArray[np.int8], offsets: Times, whole: int
    ) -> tuple[Herald, ...]:
        import numpy as np

        settings, rates = self.settings, self.rates
        length_ps = settings.window_ps[1] - settings.window_ps[0]
        within = offsets < length_ps
        beside = np.bincount(inputs[~within], minlength=CHANNELS)
        attempts, inputs, offsets = attempts[within], inputs[within], offsets[within]
        order = np.lexsort((offsets, inputs, attempts))
        attempts, inputs, offsets = attempts[order], inputs[order], offsets[order]
        is_first = np.ones(len(attempts), np.bool_)
        is_first[1:] = (attempts[1:] != attempts[:-1]) | (inputs[1:] != inputs[:-1])
        attempts, inputs, offsets = attempts[is_first], inputs[is_first], offsets[is_first]
        if rates.attempts > ATTEMPTS_REMEMBERED:
            rates.forget_half()
        rates.attempts += whole
        rates.beside_ps += whole * (settings.period_ps - length_ps)
        for channel in range(CHANNELS):
            rates.beside[channel] += int(beside[channel])
        if not len(attempts):
            return ()
        starts = np.flatnonzero(np.concatenate([[True], attempts[1:] != attempts[:-1]]))
        masks = np.bitwise_or.reduceat(np.left_shift(1, inputs.astype(np.int64)), starts)
        spreads = np.maximum.reduceat(offsets, starts) - np.minimum.reduceat(offsets, starts)
        for mask, count in enumerate(np.bincount(masks, minlength=1 << CHANNELS).tolist()):
            rates.masks[mask] += count
        outcomes = np.where(
            spreads <= settings.coincidence_ps, np.array(settings.outcomes, np.int64)[masks], 0
        )
        told = np.flatnonzero(outcomes)
        if not len(told):
            return ()
        confidences = [rates.confidence(mask) for mask in range(1 << CHANNELS)]
        return tuple(
            Herald(attempt, outcome, confidences[mask])
            for attempt, outcome, mask in zip(
                attempts[starts[told]].tolist(), outcomes[told].tolist(), masks[told].tolist(), strict=True
            )
        )
