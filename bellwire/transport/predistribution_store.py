"""One store: the pairs of a super-link that wait at its head, and when more of them are made.

Owns the pairs, their limits of age and fidelity, and the filling: a request of the lowest priority under the
reserved id, which is planned while pairs are missing and ended when there are enough. Refuses claims
(predistribution_claims.py), and the tail's side, which only follows (predistribution.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bellwire.core.bell import fidelity_of
from bellwire.core.effects import Report
from bellwire.core.ids import End, NodeId
from bellwire.core.machine import Step
from bellwire.core.messages import StoreTold
from bellwire.core.notices import PlanEnded, PlanRequested
from bellwire.core.plans import EntanglementRequest
from bellwire.core.settings import NetworkSettings, StoreSettings, SuperLinkSettings
from bellwire.core.view import LedgerView

LIFE_STEPS: Final = 40
"""Halvings of the interval in which a pair becomes too bad: to a part in 1e12 of its maximum age."""

BACKOFFS_MAX: Final = 5
"""Doublings of the wait after a plan that failed."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A pair in store, as its head knows it."""

    end: End
    born_ns: int  # of its oldest constituent
    until_ns: int  # it is let go then


class Store:
    """Of one super-link, at its head."""

    def __init__(
        self,
        network: NetworkSettings,
        settings: StoreSettings,
        link: SuperLinkSettings,
        next_version: Callable[[], int],
    ) -> None:
        self.link = link
        self.pairs: dict[End, Kept] = {}  # in the order in which they came
        self.made = 0
        self.aged = 0
        self._network = network
        self._settings = settings
        self._next_version = next_version
        self._planners = network.hears_of_links(link.route[0])
        self._filled = False  # it was full once
        self._version: int | None = None  # of the plan that is wanted or in force, None: nothing is made
        self._failures = 0
        self._retry_ns: int | None = None
        self._told = 0  # pairs, as planners were told last
        self._number = 0

    @property
    def tail(self) -> NodeId:
        """The other end."""
        return self.link.route[-1]

    @property
    def filling(self) -> bool:
        """Pairs are being made, or will be as soon as a plan is asked for again."""
        return self._version is not None or self._retry_ns is not None

    def wants(self) -> bool:
        """Another pair has a place."""
        return len(self.pairs) < self.link.target and (self._settings.continuous or not self._filled)

    # ---- pairs

    def keep(self, step: Step, view: LedgerView, end: End) -> None:
        """A pair that reaches from end to end has come into store."""
        chain = view.chain(end)
        assert chain is not None
        self.pairs[end] = Kept(end, chain.oldest_ns, self._limit_ns(view, end, chain.oldest_ns, step.now_ns))
        self.made += 1
        self.look(step)

    def gone(self, step: Step, end: End) -> bool:
        """A pair has left the store, whoever had a use for it. False: it was not there."""
        if self.pairs.pop(end, None) is None:
            return False
        self.look(step)
        return True

    def best(self) -> End | None:
        """The youngest pair; None: the store is empty."""
        return max(self.pairs.values(), key=lambda kept: kept.born_ns).end if self.pairs else None

    def overdue(self, now_ns: int) -> list[End]:
        """Pairs that are too old or too bad."""
        return [kept.end for kept in self.pairs.values() if kept.until_ns <= now_ns]

    def _limit_ns(self, view: LedgerView, end: End, born_ns: int, now_ns: int) -> int:
        """When a pair is let go: too old, or by then no better than the least that is wanted."""
        age_ns = self.link.age_max_ns
        late_ns = born_ns + (self._network.timers.age_max_ns if age_ns is None else age_ns)
        least = self.link.fidelity_min

        def good(at_ns: int) -> bool:
            return least is None or fidelity_of(view.state(end, at_ns)) >= least

        if good(late_ns):
            return late_ns
        early_ns = now_ns
        for _ in range(LIFE_STEPS):
            middle_ns = (early_ns + late_ns) // 2
            early_ns, late_ns = (middle_ns, late_ns) if good(middle_ns) else (early_ns, middle_ns)
        return early_ns

    # ---- filling

    def look(self, step: Step) -> None:
        """Begin to make pairs, or end it, as the store needs; and tell planners what there is."""
        missing = self.link.target if not self._filled else self.link.threshold
        if not self.wants():
            self._filled = True
            self._stop(step)
        elif self._version is None and self._retry_ns is None and len(self.pairs) < missing:
            self._version = self._next_version()
            step.tell(PlanRequested(request=self._request(), version=self._version, avoid=()))
        self.tell(step)

    def _request(self) -> EntanglementRequest:
        return EntanglementRequest(
            request_id=self.link.request,
            target_nodes=(self.link.route[0], self.link.route[-1]),
            generation_mode=self._settings.mode,
            route=self.link.route,
            tree=self.link.tree,
        )

    def _stop(self, step: Step) -> None:
        self._retry_ns = None
        if self._version is not None:
            step.tell(PlanEnded(request=self.link.request, version=self._version))
            self._version = None

    def plan_failed(self, step: Step, version: int, reason: str) -> None:
        """There is no plan now: it is asked for again later."""
        if version != self._version:
            return
        self._version = None
        self._retry_ns = step.now_ns + (self._network.timers.plan_renew_ns << self._failures)
        self._failures = min(BACKOFFS_MAX, self._failures + 1)
        step.order(Report(name="store_plan_failed", request=self.link.request, fields={"reason": reason}))

    def plan_active(self) -> None:
        """Pairs are being made."""
        self._failures = 0

    def tell(self, step: Step) -> None:
        """Planners are told of every change."""
        pairs = len(self.pairs)
        if pairs == self._told:
            return
        self._told = pairs
        self._number += 1
        word = StoreTold(super_link=self.link.request, number=self._number, pairs=pairs)
        for name in self._planners:
            step.send(name, word)

    # ---- time

    def deadline_ns(self) -> int | None:
        """When the first pair is too old, or a plan is asked for again."""
        limits = [kept.until_ns for kept in self.pairs.values()]
        if self._retry_ns is not None:
            limits.append(self._retry_ns)
        return min(limits, default=None)

    def on_deadline(self, step: Step) -> None:
        """Ask again for a plan that failed. Pairs that are too old are let go by whoever owns the slots."""
        if self._retry_ns is not None and self._retry_ns <= step.now_ns:
            self._retry_ns = None
            self.look(step)
