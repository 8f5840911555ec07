"""The sequence check on herald reports: no success is missed, none is taken twice.

Owns which numbers of a run have been taken (Dahlberg et al. 2019, sequence check; algorithms.md 10.2).
Refuses to guess: a missing report is asked for again, and what the station cannot say is unknown. Reports
behind a hole are used at once, because successes of different attempts are independent; only the hole is
waited for.
"""

from bellwire.core.link_messages import HeraldReport

REPORTS_AHEAD_MAX = 1024
"""Reports taken beyond a hole; further ones are dropped, counted, and come again with the hole."""


class HeraldSequence:
    """Reports of one run at one end."""

    __slots__ = ("ahead", "dropped", "expected", "heard_ns", "run", "wanted_at_ns")

    def __init__(self) -> None:
        self.run: int | None = None
        self.expected = 1  # every report below this number was taken or given up
        self.ahead: set[int] = set()  # numbers taken beyond `expected`
        self.wanted_at_ns: int | None = None  # when the hole was last asked for
        self.heard_ns = 0
        self.dropped = 0

    def begin(self, run: int, now_ns: int) -> None:
        """A new run counts from 1."""
        self.run = run
        self.expected = 1
        self.ahead.clear()
        self.wanted_at_ns = None
        self.heard_ns = now_ns

    def take(self, report: HeraldReport, now_ns: int) -> bool:
        """True when this report is of the present run and was not taken before."""
        if report.run != self.run:
            return False
        self.heard_ns = now_ns
        number = report.number
        if number == self.expected:
            self.expected += 1
            self._close_up()
            return True
        if number < self.expected or number in self.ahead:
            return False
        if len(self.ahead) >= REPORTS_AHEAD_MAX:
            self.dropped += 1
            return False
        self.ahead.add(number)
        return True

    def hole(self, number: int, now_ns: int, repeat_ns: int) -> int | None:
        """The number to ask for when reports up to `number` exist and one is missing; at most once per
        `repeat_ns`."""
        if number < self.expected:
            return None
        if self.wanted_at_ns is not None and now_ns - self.wanted_at_ns < repeat_ns:
            return None
        self.wanted_at_ns = now_ns
        return self.expected

    def skip_to(self, number: int) -> None:
        """The station cannot repeat reports up to `number`: go on behind them."""
        self.expected = max(self.expected, number + 1)
        self.ahead = {taken for taken in self.ahead if taken >= self.expected}
        self._close_up()

    def _close_up(self) -> None:
        while self.expected in self.ahead:
            self.ahead.remove(self.expected)
            self.expected += 1
        if not self.ahead:
            self.wanted_at_ns = None
