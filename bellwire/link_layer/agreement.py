"""How two ends of a link agree on attempt windows.

Owns the window book of one end, the offer in flight at side 0 and the acceptance rule at side 1. Refuses
slots, hardware and heralds. Side 0 keeps the queue of the link; side 1 answers; a window is in force at an
end once that end knows that both have it, so an attempt without agreement is an attempt that nobody makes.
"""

from collections.abc import Callable
from math import lcm

from bellwire.core.ids import RequestId, run_number
from bellwire.core.link_messages import Window
from bellwire.core.settings import LinkSettings
from bellwire.core.units import NS_PER_S
from bellwire.link_layer.binding import covering, lets_rest
from bellwire.link_layer.terms import Terms, terms_of
from bellwire.link_layer.turns import Segment, decision_ns, segments_of, span_in_turns

WINDOWS_KEPT = 4
"""Windows remembered per run: the ruling one, its predecessors whose heralds may be on their way, its
successor."""


TURNS = "turns"
"""Reason of a refusal: side 1 cannot grant the turns of the offer."""

START_DOUBLINGS_MAX = 4
"""The start margin of a run grows to at most 2 ** this times its setting."""


class WindowBook:
    """The windows of the present run that this end has agreed to."""

    __slots__ = (
        "_by_first",
        "bound_to",
        "epoch_ns",
        "newest_run",
        "run",
        "settings",
        "turned_down",
        "windows",
    )

    def __init__(self, settings: LinkSettings) -> None:
        self.settings = settings
        self.run: int | None = None  # None: no run, nothing may be attempted
        self.newest_run = 0  # begun last, closed or not: a stray copy of its first offer must not reopen it
        self.epoch_ns = 0
        self.bound_to = -1  # the latest attempt whose pair this end has bound to somebody
        # (run, fence) of the latest offer that was refused for its turns; late copies of it stay refused.
        self.turned_down: tuple[int, int] | None = None
        self.windows: list[Window] = []
        self._by_first: list[Window] = []  # the same, in the order of their first attempts

    def begin(self, run: int, epoch_ns: int) -> None:
        """A new run: windows of the old one rule nothing any more."""
        self.run = self.newest_run = run
        self.epoch_ns = epoch_ns
        self.bound_to = -1
        self.windows = []
        self._by_first = []

    def close(self) -> None:
        """No run."""
        self.run = None
        self.windows = []
        self._by_first = []

    def add(self, window: Window) -> None:
        """Agree to a window of the present run. Windows that begin no earlier and have no higher fence rule
        nothing any more and give way, or a few changes of the next window would push out the present one."""
        self.windows = [
            kept for kept in self.windows if kept.fence < window.fence and kept.first < window.first
        ][1 - WINDOWS_KEPT :]
        self.windows.append(window)
        self._by_first = sorted(self.windows, key=lambda one: one.first)

    def fence(self) -> int:
        """The highest fence agreed to in this run, 0 when there is none."""
        return self.windows[-1].fence if self.windows else 0

    def attempt_at(self, now_ns: int) -> int:
        """The first attempt that starts at or after now."""
        elapsed = now_ns - self.epoch_ns
        return 0 if elapsed <= 0 else -(-elapsed // self.settings.period_ns)

    def ruling(self, attempt: int) -> Window | None:
        """The window that binds an attempt."""
        return covering(self.windows, attempt)

    def point_at(self, attempt: int) -> int:
        """The operating point of an attempt; that of the newest window where none rules."""
        window = self.ruling(attempt) or self.windows[-1]
        return window.point

    def lets_rest(self, lane: int, attempt: int) -> bool:
        """True when no window from this attempt on has a use for a lane: it need not attempt."""
        return all(lets_rest(window, lane) for window in self.windows if window.last >= attempt)

    def span_from(self, attempt: int) -> tuple[int, int] | None:
        """First and last attempt that may be made from `attempt` on without a gap and at one operating
        point, or None. Nothing is attempted in a rest, nor by the window that it has ended."""
        if self.settings.turn_ns:
            return span_in_turns(self.settings, self._by_first, self.epoch_ns, attempt)
        if any(window.rest for window in self._by_first):
            return self._span_beside_rests(attempt)
        last = attempt - 1
        first: int | None = None
        point = 0
        for window in self._by_first:
            if window.last < attempt:
                continue
            if first is None or (window.point != point and window.first <= first):
                first = window.first if window.first > attempt else attempt
                last = window.last
                point = window.point
            elif window.first <= last + 1:
                if window.point != point:
                    return (first, window.first - 1)
                last = max(last, window.last)
        return None if first is None else (first, last)

    def _span_beside_rests(self, attempt: int) -> tuple[int, int] | None:
        for segment in self.segments():
            if segment.last >= attempt:
                return max(attempt, segment.first), segment.last
        return None

    def switch_after(self, attempt: int) -> int | None:
        """The first attempt after this one from which on another operating point rules; None: none is
        agreed."""
        before: int | None = None
        for window in self._by_first:
            if window.first > attempt and before is not None and window.point != before:
                return window.first
            before = window.point
        return None

    def segments(self) -> list[Segment]:
        """What each agreed window rules, in order of time."""
        return segments_of(self._by_first)

    def starts_ns(self, attempt: int) -> int:
        """When an attempt starts."""
        return self.epoch_ns + attempt * self.settings.period_ns

    def decided_ns(self, attempt: int) -> int:
        """When nothing of an attempt can come any more."""
        return self.starts_ns(attempt) + decision_ns(self.settings)

    def ends_ns(self) -> int:
        """When the last agreed attempt is over (start of the next one)."""
        last = max(window.last for window in self.windows)
        return self.epoch_ns + (last + 1) * self.settings.period_ns


def frame_attempts(link: LinkSettings) -> int:
    """Length of one schedule step. Where a link takes turns, a step is whole cycles of turns: a shorter one
    could meet the turns of the link always with the same request in place. By a network schedule a step is a
    turn: its calendar says whose."""
    if link.turns_granted is not None:
        return max(1, link.turn_ns // link.period_ns)
    cycle_ns = link.turn_ns * link.turns
    cycles = -(-link.frame_ns // cycle_ns) if cycle_ns else 0
    return max(1, -(-cycles * cycle_ns // link.period_ns) if cycles else link.frame_ns // link.period_ns)


class QueueKeeper:
    """Side 0: proposes windows, one offer in flight at a time, and starts runs."""

    __slots__ = (
        "_doubt_before",
        "_refused_fence",
        "book",
        "doubt_from",
        "doubts",
        "lead_ns",
        "offered",
        "offered_at_ns",
        "repeat_at_ns",
        "runs",
        "settings",
        "silent_runs",
        "whole_frames",
    )

    def __init__(self, settings: LinkSettings, book: WindowBook) -> None:
        self.settings = settings
        self.book = book
        self.runs = 0
        self.whole_frames = False  # windows begin and end with frames, for a scheduler that keeps account
        self.silent_runs = 0  # runs in a row of which the station never said a word
        self.offered: Window | None = None
        self.offered_at_ns = 0
        self.lead_ns = (
            0  # changed terms rule so much later than two delays from now; grows when that was late
        )
        # Attempts that side 1 may have bound by an offer which was given up here for a later one.
        self.doubt_from: int | None = (
            None  # first attempt of the earliest offer not yet overtaken, None: no offer
        )
        self.doubts: tuple[tuple[int, int], ...] = ()  # (first, last) from before the newest agreement
        self._doubt_before: int | None = None  # what `doubt_from` was before the offer in flight
        self._refused_fence = 0  # of this run: side 1 takes no offer up to it
        self.repeat_at_ns: int | None = None

    def start_run(self, incarnation: int, now_ns: int) -> None:
        """Begin a new run whose attempt 0 is near; hardware armed by PPS starts on a whole second, and by a
        network schedule runs start with a cycle of turns.

        A station that is too slow to be armed in time would miss every run: the margin doubles with each run
        in a row that stayed silent, up to START_DOUBLINGS_MAX times.
        """
        self.runs += 1
        margin_ns = self.settings.start_margin_ns << min(self.silent_runs, START_DOUBLINGS_MAX)
        epoch_ns = now_ns + margin_ns
        step_ns = NS_PER_S if self.settings.whole_second else 1
        if self.settings.turns_granted is not None:
            step_ns = lcm(step_ns, self.settings.turn_ns * self.settings.turns)
        epoch_ns = -(-epoch_ns // step_ns) * step_ns
        self.book.begin(run_number(incarnation, self.runs), epoch_ns)
        self.offered = None
        self.lead_ns = 0
        self.doubt_from = None
        self.doubts = ()
        self._refused_fence = 0

    def agreed(self) -> None:
        """Side 1 took the offer in flight: it rules at both ends, from its first attempt on."""
        window, doubt_from = self.offered, self.doubt_from
        assert window is not None
        if doubt_from is not None and doubt_from < window.first:
            self.doubts = (*self.doubts, (doubt_from, window.first - 1))[-WINDOWS_KEPT:]
        self.doubt_from = None
        self.offered = None
        self.repeat_at_ns = None

    def turned_down(self) -> None:
        """Side 1 has refused the offer in flight for good, for its turns, and will take no copy of it."""
        if self.offered is not None:
            self._refused_fence = self.offered.fence
            self.doubt_from = self._doubt_before
        self.offered = None

    def was_late(self, now_ns: int) -> None:
        """Side 1 heard the offer when it had bound pairs of its attempts: give the next one more time."""
        round_trip_ns = now_ns - self.offered_at_ns
        self.lead_ns = min(self.settings.lease_ns // 4, 2 * max(self.lead_ns, round_trip_ns))

    def in_doubt(self, attempt: int) -> bool:
        """True when side 1 may bind this attempt by a window that is not agreed here."""
        if self.doubt_from is not None and attempt >= self.doubt_from:
            return True
        return any(first <= attempt <= last for first, last in self.doubts)

    def differs(self, terms: Terms) -> bool:
        """True when the terms are not those that were agreed or offered last."""
        newest = self.offered or (self.book.windows[-1] if self.book.windows else None)
        if terms.rest and self.offered is None:
            return True  # another rest than the one that was agreed
        return newest is None or terms_of(newest) != terms

    def soonest(self, delay_ns: int, now_ns: int) -> int:
        """The first attempt that changed terms can rule: both ends hear of them before."""
        book = self.book
        if book.run is None:
            return 0
        if not book.windows:
            return book.attempt_at(now_ns)
        present = book.windows[-1]
        first = max(book.attempt_at(now_ns + 2 * delay_ns + self.lead_ns) + 1, present.first)
        if present.rest:
            first = max(first, present.last + 1)  # a rest that was promised is not cut short
        if self.whole_frames and first <= present.last:
            first += (present.first - first) % present.frame_attempts
        return first

    def propose(self, terms: Terms, delay_ns: int, now_ns: int, rest_attempts: int | None = None) -> Window:
        """The next window. Unchanged terms continue without a gap; changed ones rule after both could hear
        of them, and so do the old terms where an offer of others was given up for them: side 1 may follow
        that offer, and all its attempts would stay in doubt. rest_attempts: length of a rest, None: the terms
        are of none."""
        book, settings = self.book, self.settings
        assert book.run is not None
        period_ns = settings.period_ns
        attempts = max(1, settings.lease_ns // period_ns) if rest_attempts is None else rest_attempts
        if self.whole_frames:
            frame = frame_attempts(settings)
            attempts -= attempts % frame if rest_attempts is None else -(-attempts % frame)
            attempts = max(attempts, frame)
        present = book.windows[-1] if book.windows else None
        fence = max(book.fence(), self.offered.fence if self.offered else 0, self._refused_fence) + 1
        continued = present is not None and terms_of(present) == terms and not terms.rest
        if continued and present is not None and self.doubt_from is None:
            first = max(present.last + 1, book.attempt_at(now_ns))
        else:
            first = self.soonest(delay_ns, now_ns)
        window = Window(
            run=book.run,
            epoch_ns=book.epoch_ns,
            fence=fence,
            first=first,
            last=first + attempts - 1,
            frame_attempts=frame_attempts(settings),
            schedule=terms.cycle,
            owners=terms.owners,
            point=terms.point,
            test_share=terms.test_share,
            granted=terms.granted,
            anchored=terms.anchored,
            rest=terms.rest,
        )
        self.offered = window
        self.offered_at_ns = now_ns
        self._doubt_before = self.doubt_from
        self.doubt_from = first if self.doubt_from is None else min(self.doubt_from, first)
        return window


def fault_of(window: Window, lanes: int) -> str | None:
    """What is wrong with a window that no honest side 0 of a link would offer; None when nothing is."""
    if window.frame_attempts < 1 or len(window.owners) > lanes:
        return f"owners of {len(window.owners)} lanes and steps of {window.frame_attempts} attempts"
    if not window.schedule and len(window.owners) < lanes:
        return f"nobody for {lanes - len(window.owners)} of {lanes} lanes"
    if not 0 <= window.first <= window.last or window.fence < 1:
        return f"attempts {window.first} to {window.last} under fence {window.fence}"
    return None


def refusal(book: WindowBook, window: Window, known: Callable[[RequestId], bool]) -> str:
    """Why side 1 cannot take an offered window; "" when it can.

    "reset" asks side 0 for a new run: side 1 has not followed this run from its first window, or left it.
    """
    if window.run < book.newest_run:
        return "old run"
    turned_down, fence_refused = book.turned_down if book.turned_down is not None else (None, 0)
    followed = window.fence == 1 or window.run == turned_down
    if window.run == turned_down and window.fence <= fence_refused:
        return TURNS
    if book.run != window.run and (not followed or window.run == book.newest_run):
        return "reset"
    if book.run == window.run and window.fence < book.fence():
        return "old fence"
    if book.run == window.run and window.first <= book.bound_to and window not in book.windows:
        # A pair of these attempts is bound already, by the window before. Side 0 has not bound it: it knows
        # that its offer was on the way.
        return "late"
    for entry in (*window.owners, *window.schedule):
        if entry.request and not known(entry.request):
            return f"unknown request {entry.request}"
    return ""
