"""The attempts and edges of the emulated FPGA in the order of their stamps, through the golden models.

Owns which attempt begins when, the trigger input, the pattern generator, and how far everything has been
worked through. Refuses to turn results into records, losses or bounds (`herald_core.py`).

Attempts that nothing can happen in are skipped: they have failed. Where each one counts (fails wanted, first
hits, test pattern, overruns) every attempt is worked through, up to a limit per call; what lies beyond it is
given up as skipped, which is a loss.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from bellwire.simulator_backend.devices.herald_golden import Decision, HeraldGolden, Overrun
from bellwire.simulator_backend.devices.herald_sequencer import AttemptEdge, Sequencer

ATTEMPTS_PER_CALL_MAX = 20_000
"""A device at 20 Hz of bounds works through 400 000 attempts a second; the emulator would never catch up."""


class HeraldEngine:
    """Decision logic with its attempts. `on_accepted(channel, stamp)` is told of every accepted edge."""

    def __init__(self, golden: HeraldGolden) -> None:
        self.golden = golden
        self._aside = HeraldGolden(golden.settings)
        self.sequencer: Sequencer | None = None
        self.skipped: list[tuple[int, int]] = []
        self.on_accepted: Callable[[int, int], None] = lambda channel, stamp: None
        self._running = False
        self._each = False
        self._test: tuple[tuple[int, ...], int] = ((), 0)
        self._pulses: deque[tuple[int, int]] = deque()
        self._next = 0
        self._judged: set[int] = set()
        self._decided_by_trigger: int | None = None

    def begin(
        self,
        sequencer: Sequencer | None,
        *,
        each: bool,
        test_channels: tuple[int, ...] = (),
        test_delay: int = 0,
    ) -> None:
        """A run begins. `sequencer` None: attempts begin with the trigger input. `each`: work through every
        attempt. The pattern generator fires `test_channels`, `test_delay` fine units after each edge.
        """
        self.sequencer = sequencer
        self._running = True
        self._each = each or bool(test_channels)
        self._test = (test_channels, test_delay)
        self._pulses.clear()
        self._next = 0
        self._judged.clear()
        self._decided_by_trigger = None
        self.golden.end()

    def end(self, stamp: int) -> None:
        """The run ends at a stamp; an attempt without decision never has one."""
        self.run_to(stamp)
        self._running = False
        self._pulses.clear()
        self.golden.end()

    @property
    def works_through(self) -> bool:
        """Whether every attempt is worked through."""
        if self._each or self.sequencer is None:
            return True
        spacing = self.sequencer.shortest_spacing()
        return spacing is not None and spacing < self._decide

    @property
    def _decide(self) -> int:
        return self.golden.settings.decide_ticks << self.golden.settings.fine_bits

    def trigger(self, stamp: int) -> None:
        """An edge of the trigger input: the next attempt begins."""
        if self._running and self.sequencer is None:
            self._fire_test_until(stamp)
            self._open(AttemptEdge(self._next, stamp, 0, 0, 0, 0))

    def hit(self, channel: int, stamp: int) -> None:
        """An edge of a detector, not before what was worked through already."""
        self._open_until(stamp)
        self._fire_test_until(stamp)
        if self.golden.hit(channel, stamp):
            self.on_accepted(channel, stamp)

    def run_to(self, stamp: int) -> None:
        """Work through everything up to a stamp."""
        if self.works_through:
            self._open_until(stamp)
        self._fire_test_until(stamp)
        self.golden.advance(stamp)

    def judge(self, edge: AttemptEdge, hits: list[tuple[int, int]]) -> bool:
        """Light of one attempt, decided at once, whatever has been worked through so far.

        Lanes take turns at the station, but the World tells the light of all lanes together. False: the
        decision would come after the next attempt edge, so the attempt is an overrun and is left to run_to.
        """
        assert self.sequencer is not None
        following = self.sequencer.edge_of(edge.attempt + 1)
        if following is not None and following.stamp < edge.stamp + self._decide:
            return False
        aside, golden = self._aside, self.golden
        aside.settings, aside.counts, aside.gated = golden.settings, golden.counts, golden.gated
        first = min(stamp for _, stamp in hits)
        aside.last_accepted = [
            None if last is not None and last >= first else last for last in aside.last_accepted
        ]
        aside.edge(edge.attempt, edge.stamp, edge.bank)
        for channel, stamp in hits:
            aside.hit(channel, stamp)
        aside.advance(edge.stamp + self._decide)
        golden.results += aside.results
        aside.results.clear()
        self._judged.add(edge.attempt)
        return True

    def last_stamp(self, channel: int) -> int:
        """Stamp of the last accepted edge of a channel; 0 before the first."""
        return max(self.golden.last_accepted[channel] or 0, self._aside.last_accepted[channel] or 0)

    def take_results(self) -> list[Decision | Overrun]:
        """Decisions and overruns since the last call."""
        results, self.golden.results = self.golden.results, []
        if self.sequencer is None and results:
            self._decided_by_trigger = results[-1].attempt
        return results

    def decided_by(self, stamp: int) -> int | None:
        """The last attempt whose decision time has come; None before the first."""
        if self.sequencer is None:
            return self._decided_by_trigger
        edge = self.sequencer.last_at(stamp - self._decide)
        return None if edge is None else edge.attempt

    def _open_until(self, stamp: int) -> None:
        if not self._running or self.sequencer is None:
            return
        last = self.sequencer.last_at(stamp)
        if last is None or last.attempt < self._next:
            return
        if not self.works_through:
            if last.attempt not in self._judged:
                self._open(last)
            self._next = last.attempt + 1
            self._judged = {attempt for attempt in self._judged if attempt > last.attempt}
            return
        end = min(last.attempt, self._next + ATTEMPTS_PER_CALL_MAX - 1)
        for attempt in range(self._next, end + 1):
            edge = self.sequencer.edge_of(attempt)
            if edge is None or attempt in self._judged:
                self._judged.discard(attempt)
                self._next = attempt + 1
                continue
            self._fire_test_until(edge.stamp)
            self._open(edge)
        if end < last.attempt:
            self.golden.end()
            self._pulses.clear()
            self.skipped.append((end, last.attempt))
            self._next = last.attempt + 1

    def _open(self, edge: AttemptEdge) -> None:
        self.golden.edge(edge.attempt, edge.stamp, edge.bank)
        self._next = edge.attempt + 1
        channels, delay = self._test
        self._pulses.extend((channel, edge.stamp + delay) for channel in channels)

    def _fire_test_until(self, stamp: int) -> None:
        while self._pulses and self._pulses[0][1] <= stamp:
            channel, at = self._pulses.popleft()
            if self.golden.hit(channel, at):
                self.on_accepted(channel, at)
