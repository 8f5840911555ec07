"""Rests: times in which a link makes no attempt, so that calibrations have its light to themselves.

Owns the wish for a rest at side 0, the times of rests that are agreed, and what each end does when one begins
and ends: it stops its lanes once nothing of the last attempt before can come any more, and arms them for what
follows. Refuses agreement (a rest is a window like any other, agreement.py) and calibrations, which are told
only from when to when the link rests.

Where the link makes no attempts anyway, a rest is had at once, and no run begins before its end. What has no
place: two wishes at a time, a rest longer than REST_MAX_NS, and a rest that outlives the process of side 0.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from bellwire.core.effects import Report
from bellwire.core.ids import LinkId
from bellwire.core.link_messages import Window
from bellwire.core.machine import Step
from bellwire.core.units import NS_PER_S
from bellwire.link_layer.agreement import WindowBook
from bellwire.link_layer.lanes import Lanes
from bellwire.link_layer.turns import decision_ns

REST_MAX_NS: Final = 120 * NS_PER_S
"""Longer ones would be felt as an outage; a calibration that takes longer asks again."""

LATE_SHARE: Final = 2
"""Where words were late, what is left of a rest must be one in so many parts of what was asked for."""


class Rest(NamedTuple):
    """No attempt is made, and nothing of earlier ones can come, from `begins_ns` to `ends_ns`."""

    number: int
    begins_ns: int
    ends_ns: int


class Wish(NamedTuple):
    """A rest that is asked for, and not agreed yet."""

    number: int
    length_ns: int


class Rests:
    """Of one link end. Satisfies uses.Timed."""

    def __init__(self, book: WindowBook, lanes: Lanes, arm: Callable[[Step], None]) -> None:
        """`arm`: attempt on every lane as far as windows are agreed."""
        self.wish: Wish | None = None  # side 0: what is to be agreed; None: nothing
        self.granted: Rest | None = None  # side 0: the newest that was had
        self.counters: dict[str, int] = dict.fromkeys(("rests", "rests_refused"), 0)
        self._book = book
        self._lanes = lanes
        self._arm = arm
        self._resting: tuple[int, int] | None = None  # fence and run of the rest whose lanes are stopped
        self._due_ns: int | None = None

    # ---- side 0

    def ask(self, number: int, length_ns: int) -> bool:
        """Note a wish; False when it cannot be had: another one waits, or it is too long."""
        if not 0 < length_ns <= REST_MAX_NS or self.wish is not None:
            self.counters["rests_refused"] += 1
            return False
        self.wish = Wish(number, length_ns)
        return True

    def give_up(self, number: int) -> None:
        """Nobody waits for this rest any more; one that is on offer is kept all the same."""
        if self.wish is not None and self.wish.number == number:
            self.wish = None

    def attempts(self) -> int:
        """Attempts that a rest as wished leaves out: its length, and what is on the way before it."""
        assert self.wish is not None
        settings = self._book.settings
        return -(-(self.wish.length_ns + decision_ns(settings)) // settings.period_ns) + 1

    def idle(self, step: Step, link: LinkId) -> None:
        """Nothing is attempted now: whoever waits for a rest has it at once."""
        if self.wish is not None:
            begins_ns = step.now_ns + decision_ns(self._book.settings)
            self._grant(step, link, begins_ns, begins_ns + self.wish.length_ns)

    def held_until_ns(self, now_ns: int) -> int | None:
        """No run may begin before this time; None: one may."""
        if self.granted is None or self.granted.ends_ns <= now_ns:
            return None
        return self.granted.ends_ns

    def _grant(self, step: Step, link: LinkId, begins_ns: int, ends_ns: int) -> None:
        assert self.wish is not None
        self.granted = Rest(self.wish.number, begins_ns, ends_ns)
        self.wish = None
        self.counters["rests"] += 1
        told: dict[str, str | int | float | bool | None] = {
            "link": link,
            "begins_ns": begins_ns,
            "ends_ns": ends_ns,
        }
        step.order(Report(name="link_rests", request=None, fields=told))

    # ---- both sides

    def agreed(self, step: Step, link: LinkId, window: Window) -> None:
        """Both ends have a window, perhaps a rest."""
        if window.rest and self.wish is not None:
            book = self._book
            begins_ns = max(book.starts_ns(window.first), step.now_ns) + decision_ns(book.settings)
            ends_ns = book.starts_ns(window.last + 1)
            if ends_ns - begins_ns >= self.wish.length_ns // LATE_SHARE:
                self._grant(step, link, begins_ns, ends_ns)  # else: agreed too late, and wished again
        self.look(step.now_ns)

    def look(self, now_ns: int) -> None:
        """Windows or the time have changed: find when lanes are to be stopped, or armed again."""
        moments: list[int] = []
        for window in self._book.windows:
            end_ns = self._book.starts_ns(window.last + 1)
            if window.rest and end_ns > now_ns:
                moments.append(end_ns)
                if self._resting != (window.run, window.fence):
                    moments.append(max(now_ns, self._book.decided_ns(window.first - 1)))
        self._due_ns = min(moments, default=None)

    def deadline_ns(self) -> int | None:
        """When a rest begins for the lanes, or is over."""
        return self._due_ns

    def on_deadline(self, step: Step) -> None:
        """A rest begins: nothing is attempted, and what follows is prepared. Or it is over."""
        for window in self._book.windows:
            if (
                window.rest
                and self._resting != (window.run, window.fence)
                and self._book.decided_ns(window.first - 1)
                <= step.now_ns
                < self._book.starts_ns(window.last + 1)
            ):
                self._resting = (window.run, window.fence)
                self._lanes.end_turn(step)
        self._arm(step)
        self.look(step.now_ns)

    def forget_run(self) -> None:
        """The run is left: its windows rule nothing."""
        self._due_ns = None
        self._resting = None
