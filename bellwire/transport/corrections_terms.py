"""One threshold of a request, and how far corrective actions may move it.

Owns the steps down and up and their bounds (algorithms.md 9, floors). Refuses the choice between thresholds
and the ladder (corrections.py).

A threshold goes down for two reasons that must not be mixed up. *Conceded*: it was not reached, so the
request makes do with less until conditions recover. *Released*: it was exceeded, so resources are freed; when
that turns out to cost the request what it asked for, the threshold returns and is not released again.
"""

import msgspec

from bellwire.core.record import Word
from bellwire.core.settings import MonitorSettings

SAME = 1e-9
"""A step that moves a threshold relatively by less is none: it is at its bound already."""


class Term(Word, frozen=True, kw_only=True):
    """A threshold now, beside the one that was asked for."""

    asked: float
    now: float
    conceded: bool = False  # lowered because it was not reached
    needed: bool = False  # a release was taken back: it is not released again
    stood: int = 0  # checks in a row in which the next higher threshold would have stood

    def lowered(self, rules: MonitorSettings, floor: float) -> "Term | None":
        """One step down because it is not reached; None where that would leave the bounds.

        floor: the threshold stays above it.
        """
        target = self._step_down(rules, floor)
        return None if target is None else msgspec.structs.replace(self, now=target, conceded=True, stood=0)

    def looked(self, value: float, rules: MonitorSettings, tolerance: float, floor: float) -> "Term":
        """After a window that reaches the threshold: up, down or where it is.

        A conceded threshold is raised when the higher one would have stood, in so many checks in a row; to
        wait for an excess over the lowered one would keep it down when exactly what was asked for is back.
        """
        if self.conceded:
            target = min(self.asked, self.now * (1.0 + rules.change))
            stood = self.stood + 1 if value >= target else 0
            if stood < rules.recovered_checks:
                return msgspec.structs.replace(self, stood=stood)
            return msgspec.structs.replace(self, now=target, conceded=target < self.asked, stood=0)
        if self.now < self.asked and value < self.asked * (1.0 - tolerance):
            return msgspec.structs.replace(self, now=self.asked, needed=True)
        if value > self.now * (1.0 + rules.excess) and not self.needed:
            lower = self._step_down(rules, floor)
            return self if lower is None else msgspec.structs.replace(self, now=lower)
        return self

    def _step_down(self, rules: MonitorSettings, floor: float) -> float | None:
        target = max(self.now * (1.0 - rules.change), self.asked * (1.0 - rules.reduction_max))
        return target if floor < target < self.now * (1.0 - SAME) else None
