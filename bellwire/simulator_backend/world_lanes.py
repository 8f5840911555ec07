"""One lane of a link: who attempts, how many joint attempts are left until the next success, which click is
due.

Owns the leases of the two sides and the geometric gaps between successes (algorithms.md 12.1; architecture.md
section 3, Chance). Attempts are never walked one by one. Refuses qubits: what a click leaves in the memories
is the World's business.
"""

from typing import Final, NamedTuple

from bellwire.simulator_backend.chance import Chance
from bellwire.simulator_backend.world_words import LinkTruth, PlannedClick

RUNS_REMEMBERED: Final = 64
"""Runs per lane whose unfinished gap is kept; an older run that came back would start its gaps anew."""


class Lease(NamedTuple):
    """One side's part: `slot` takes part in attempts start..last of (run, epoch_ns) at an operating point."""

    run: int
    slot: int
    epoch_ns: int
    start: int
    last: int
    point: int = 0


class _Gap:
    """Progress of one run: the `index`-th gap needs `left[point]` more joint attempts at an operating point.

    A point at which nothing was attempted yet is not drawn yet. Attempts are without memory: those at one
    point do not shorten what is left at another, and a success ends the gap at all of them.
    """

    __slots__ = ("index", "left", "next_attempt")

    def __init__(self) -> None:
        self.index = 0
        self.left: dict[int, int] = {}
        self.next_attempt = 0


class Lane:
    """The state machine of one lane. An attempt has started when its start lies before now."""

    __slots__ = (
        "_chance",
        "_changes",
        "_gap",
        "_gaps",
        "_link",
        "_number",
        "_orphans",
        "_rates",
        "_serial",
        "_window",
        "committed",
        "held",
        "leases",
        "plan",
    )

    def __init__(self, link: LinkTruth, number: int, chance: Chance) -> None:
        self._link = link
        self._number = number
        self._chance = chance
        self._rates = tuple(physics.success_probability for physics in link.physics)
        self._changes = 0  # how often these probabilities have changed
        self._gaps: dict[int, _Gap] = {}
        self._gap: _Gap | None = None
        self._serial = 0
        # Joint attempts first..last that nobody has accounted for yet, counted from epoch_ns, at a point.
        self._window: tuple[int, int, int, int] | None = None
        self.leases: list[Lease | None] = [None, None]
        self.plan: PlannedClick | None = None
        # Once the winning attempt has started nothing recalls it; these are the slots that made it,
        # and whether each side has kept its qubit since.
        self.committed: tuple[int, int] | None = None
        self.held: list[bool] = [False, False]
        self._orphans: dict[int, tuple[int, int]] = {}

    def arm(self, side: int, lease: Lease, now_ns: int) -> PlannedClick | None:
        """Start, extend or shorten one side's lease, which starts no earlier than `boundary(now)`.

        Returns: the planned click if this call newly determines one.
        """
        self._account(now_ns)
        self.leases[side] = lease
        return self._replan()

    def disarm(self, side: int, now_ns: int) -> None:
        """End one side's lease. A winning attempt that has started still clicks, without this qubit."""
        self._account(now_ns)
        self.leases[side] = None
        self.held[side] = False
        if self.plan is not None and self.committed is not None and not any(self.held):
            # Nobody waits for this click any more: it still happens, and the sides may attempt again before.
            self._orphans[self.plan.serial] = self.committed
            self._close(self.plan)
        self._replan()

    def change(self, link: LinkTruth, now_ns: int) -> PlannedClick | None:
        """Attempts that have not started yet follow another truth; lanes, period and delay are the same.

        Where the success probability of any point changes, what is left of every gap is drawn anew.

        Returns: the planned click if the change newly determines one.
        """
        self._account(now_ns)
        self._link = link
        for side, lease in enumerate(self.leases):
            if lease is not None:  # what was attempted in the dark was in vain
                start = max(lease.start, self.boundary(lease.epoch_ns, now_ns))
                self.leases[side] = lease._replace(start=start)
        rates = tuple(physics.success_probability for physics in link.physics)
        if rates != self._rates:
            self._rates = rates
            self._changes += 1
            for gap in self._gaps.values():
                gap.left.clear()
        return self._replan()

    def take(self, planned: PlannedClick) -> tuple[tuple[int, int], tuple[bool, bool]] | None:
        """Let the due click happen: (slots that made it, sides that hold it still); None if overtaken."""
        orphan = self._orphans.pop(planned.serial, None)
        if orphan is not None:
            return orphan, (False, False)
        plan = self.plan
        if plan is None or planned.serial != plan.serial:
            return None
        if self.committed is None:
            zero, one = self.leases
            assert zero is not None, "an uncommitted plan needs both leases"
            assert one is not None, "an uncommitted plan needs both leases"
            slots, held = (zero.slot, one.slot), (True, True)
        else:
            slots, held = self.committed, (self.held[0], self.held[1])
        for side in (0, 1):
            if held[side]:
                self.leases[side] = None
        self._close(plan)
        return slots, held

    def _close(self, plan: PlannedClick) -> None:
        gap = self._gaps[plan.run]
        gap.index += 1
        gap.left.clear()
        gap.next_attempt = plan.attempt + 1
        self.plan = self.committed = self._window = None

    def boundary(self, epoch_ns: int, now_ns: int) -> int:
        """The first attempt whose start is not before `now_ns`; negative before the epoch."""
        return -((epoch_ns - now_ns) // self._link.period_ns)

    def _account(self, now_ns: int) -> None:
        """Use up the joint attempts that have started under the window that held until now."""
        if self._window is None or self.committed is not None:
            return
        first, last, epoch_ns, point = self._window
        upto = min(self.boundary(epoch_ns, now_ns), last + 1)
        gap = self._gap
        if upto <= first or gap is None:
            return
        if self.plan is not None and self.plan.attempt < upto:
            zero, one = self.leases
            assert zero is not None, "a window needs both leases"
            assert one is not None, "a window needs both leases"
            self.committed = (zero.slot, one.slot)
            self.held = [True, True]
            return
        gap.left[point] -= upto - first
        gap.next_attempt = upto
        self._window = (upto, last, epoch_ns, point)

    def _replan(self) -> PlannedClick | None:
        if self.committed is not None:
            return None
        before, self.plan = self.plan, None
        zero, one = self.leases
        self._window = None
        if zero is None or one is None:
            return None
        run, _, epoch_ns, start, last, point = zero
        if run != one.run or epoch_ns != one.epoch_ns or point != one.point:
            return None
        link = self._link
        success = self._rates[point]
        gap = self._gap_of(run)
        first, last = max(start, one.start, gap.next_attempt), min(last, one.last)
        if first > last or success <= 0.0:
            return None
        if link.script is not None:
            left = link.script.next_success(self._number, first) - first + 1
        else:
            drawn = gap.left.get(point)
            left = self._draw(success, run, gap.index, point) if drawn is None else drawn
        gap.left[point] = left
        self._window = (first, last, epoch_ns, point)
        attempt = first + left - 1
        if attempt > last:
            return None
        at_ns = epoch_ns + attempt * link.period_ns + link.click_delay_ns
        if before is not None and (before.run, before.attempt, before.at_ns, before.point) == (
            run,
            attempt,
            at_ns,
            point,
        ):
            self.plan = before
            return None
        self._serial += 1
        self.plan = PlannedClick(link.name, self._number, run, attempt, at_ns, self._serial, point)
        return self.plan

    def _draw(self, success: float, run: int, index: int, point: int) -> int:
        chance, name, number = self._chance, self._link.name, self._number
        if point == 0 and self._changes == 0:
            return chance.geometric(success, "gap", name, number, run, index)
        return chance.geometric(success, "gap", name, number, run, index, point, self._changes)

    def _gap_of(self, run: int) -> _Gap:
        gap = self._gaps.get(run)
        if gap is None:
            gap = self._gaps[run] = _Gap()
            if len(self._gaps) > RUNS_REMEMBERED:
                del self._gaps[next(iter(self._gaps))]
        self._gap = gap
        return gap
