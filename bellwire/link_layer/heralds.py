"""The sequence check on herald reports: no success is missed, none is taken twice.

Owns the expected number per run and the reports that wait behind a hole (Dahlberg et al. 2019, sequence check;
algorithms.md 10.2). Refuses to guess: a missing report is asked for again, and what the station cannot say is unknown.
"""

from bellwire.core.messages import HeraldReport

REPORTS_WAITING_MAX = 1024
"""Reports kept behind a hole; beyond it the newest are dropped and asked for again later."""


class HeraldSequence:
    """Reports of one run at one end, in order."""

    __slots__ = ("dropped", "expected", "heard_ns", "run", "waiting", "wanted_at_ns")

    def __init__(self) -> None:
        self.run: int | None = None
        self.expected = 1
        self.waiting: dict[int, HeraldReport] = {}
        self.wanted_at_ns: int | None = None  # when the hole was last asked for
        self.heard_ns = 0
        self.dropped = 0

    def begin(self, run: int, now_ns: int) -> None:
        """A new run counts from 1."""
        self.run = run
        self.expected = 1
        self.waiting.clear()
        self.wanted_at_ns = None
        self.heard_ns = now_ns

    def take(self, report: HeraldReport, now_ns: int) -> list[HeraldReport]:
        """Reports that are now in order, the given one among them unless it is early, late or of another run."""
        if report.run != self.run:
            return []
        self.heard_ns = now_ns
        if report.number < self.expected:
            return []
        if report.number > self.expected:
            if len(self.waiting) < REPORTS_WAITING_MAX:
                self.waiting[report.number] = report
            else:
                self.dropped += 1
            return []
        ready = [report]
        self.expected += 1
        while self.waiting and self.expected in self.waiting:
            ready.append(self.waiting.pop(self.expected))
            self.expected += 1
        if not self.waiting:
            self.wanted_at_ns = None
        return ready

    def hole(self, number: int, now_ns: int, repeat_ns: int) -> int | None:
        """The number to ask for when reports up to `number` exist and we lack some; at most once per `repeat_ns`."""
        if number < self.expected and not self.waiting:
            return None
        if self.wanted_at_ns is not None and now_ns - self.wanted_at_ns < repeat_ns:
            return None
        self.wanted_at_ns = now_ns
        return self.expected

    def skip_to(self, number: int) -> list[HeraldReport]:
        """The station cannot repeat reports up to `number`: go on behind them."""
        self.expected = max(self.expected, number + 1)
        self.waiting = {late: report for late, report in self.waiting.items() if late >= self.expected}
        self.wanted_at_ns = None
        ready: list[HeraldReport] = []
        while self.expected in self.waiting:
            ready.append(self.waiting.pop(self.expected))
            self.expected += 1
        return ready
