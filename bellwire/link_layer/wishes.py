"""What side 0 of a link wants to agree on next, and what a link can tell planners of itself.

Owns the choice of every term of the next window: the division of lanes, the operating point, the share of
tests, the turns; each is made by its own room. Refuses agreement (agreement.py).
"""

from bellwire.core.link_messages import LinkFigures
from bellwire.link_layer.agreement import QueueKeeper
from bellwire.link_layer.binding import NOBODY
from bellwire.link_layer.division import Division
from bellwire.link_layer.estimation.unit import FidelityEstimation
from bellwire.link_layer.ground import Ground
from bellwire.link_layer.rests import Rests
from bellwire.link_layer.sharing import Sharing
from bellwire.link_layer.terms import TEST_SHARE_WHOLE, Terms


class Wishes:
    """Of one link end; only side 0 acts on them."""

    def __init__(
        self,
        ground: Ground,
        keeper: QueueKeeper,
        division: Division,
        estimation: FidelityEstimation,
    ) -> None:
        self.sharing: Sharing | None = None  # None: the link takes no turns and shares no memory
        self.rests: Rests | None = None  # set by the link end
        self.shift_ends_ns: int | None = None  # None: lanes do not work in shifts at the moment
        self._link = ground.link
        # Memories of a bank are divided by side, whoever works in which lane.
        self._shift_ns = 0 if all(ground.link.shared) else ground.link.shift_ns
        self._delay_ns = ground.delay_ns
        self._book = ground.book
        self._keeper = keeper
        self._division = division
        self._estimation = estimation
        self._requests = ground.requests

    def terms(self, now_ns: int) -> Terms:
        """What side 0 wants to agree on next."""
        point = self.point()
        if self.rests is not None and self.rests.wish is not None:
            granted = () if self.sharing is None else self.sharing.wished(now_ns)
            return Terms((NOBODY,) * self._link.lanes, (), point=point, granted=granted, rest=True)
        first = self._keeper.soonest(self._delay_ns, now_ns)
        shift = now_ns // self._shift_ns if self._shift_ns else None
        owners, cycle, anchored = self._division.shares(self._requests, self._book.run, first, point, shift)
        self.shift_ends_ns = None
        if shift is not None and self._division.in_shifts:
            self.shift_ends_ns = (shift + 1) * self._shift_ns
        return Terms(
            owners,
            cycle,
            point=point,
            test_share=round(self._link.test_share * TEST_SHARE_WHOLE),
            granted=() if self.sharing is None else self.sharing.wished(now_ns),
            anchored=anchored,
        )

    def point(self) -> int:
        """The operating point that serves the most demanding request."""
        wanted = [plan.fidelity_min for plan in self._requests.values() if plan.fidelity_min is not None]
        return self._estimation.point_for(max(wanted, default=None), self.point_in_force())

    def point_in_force(self) -> int | None:
        """The operating point of the newest window, None: nobody wants the link at the moment."""
        return self._book.windows[-1].point if self._book.windows else None

    def other_point(self) -> bool:
        """True when another operating point serves better than the one that was agreed or offered last."""
        newest = self._keeper.offered or (self._book.windows[-1] if self._book.windows else None)
        return newest is not None and newest.point != self.point()

    # ---- what planners are told

    def figures(self) -> tuple[LinkFigures, ...]:
        """How fast and how good the link is, at each operating point."""
        return self._estimation.figures()

    def best_fidelity(self) -> float:
        """The highest fidelity that the link is assured to give at any of its operating points, 0..1."""
        return self._estimation.best_fidelity()

    def duty(self) -> float:
        """Share of the time in which the link may attempt, 0..1."""
        return 1.0 if self.sharing is None else self.sharing.duty()
