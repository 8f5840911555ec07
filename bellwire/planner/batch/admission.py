"""One request beside running plans: on what is left, after waiting for others, or by planning all anew.

Owns `PlanBook`: the events, and the decisions by the rule of `AdmissionRule`. Refuses clocks (every event
brings its time), the accounts (accounts.py), dispatch, and knowledge of what other planners sold, except
what a refusal taught.

Capacity is claimed when a decision is made and given back when a plan ends; nothing is ever promised twice
out of this book. Other planners may promise the same node at the same moment: the node refuses one of the
two, and that planner learns what is left there and plans again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId
from bellwire.core.registry import nearest
from bellwire.planner.batch.accounts import PlanAccounts
from bellwire.planner.batch.admission_values import (
    ROUNDING,
    AdmissionRule,
    Admitted,
    Decision,
    Kept,
    Refused,
    Remaining,
    Replanned,
    RunningPlan,
    Waiting,
)
from bellwire.planner.batch.anew import Newcomer, planned_anew, together
from bellwire.planner.batch.offers import Offer, Trees, offer_alone, offer_to, other_offer, same_ways
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import PairRequest, check_requests
from bellwire.planner.structures import route_of
from bellwire.planner.topology import Pair, Topology, pair_of

Decisions = tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class _InLine:
    """A request that waits."""

    newcomer: Newcomer
    until_ns: int


class PlanBook:
    """Running plans of one planner on one network. The same events in the same order give the same book.

    Times are of the caller's clock and never run backwards.
    """

    def __init__(self, topology: Topology, rule: AdmissionRule | None = None) -> None:
        self.rule = AdmissionRule() if rule is None else rule
        self.rule.options.check(topology)
        self.topology = topology
        self._accounts = PlanAccounts(topology, self.rule)
        self._line: dict[str, _InLine] = {}  # by request, in the order of arrival
        self._anew_ns: int | None = None  # when all was planned anew last
        self._now_ns: int | None = None

    @property
    def plans(self) -> dict[str, RunningPlan]:
        """What runs, by request, in the order of admission; a copy."""
        return dict(self._accounts.plans)

    @property
    def residual(self) -> Residual:
        """What the plans take, over the network as it is believed to be; a copy."""
        return self._accounts.residual.copy()

    @property
    def waiting(self) -> tuple[str, ...]:
        """Requests that wait, in the order of arrival."""
        return tuple(self._line)

    @property
    def deadline_ns(self) -> int | None:
        """When `due` wants to be called next; None: never."""
        times = [each.until_ns for each in self._line.values()]
        believed_ns = self._accounts.learnt.until_ns()
        return min([*times, *([] if believed_ns is None else [believed_ns])], default=None)

    # --- events ------------------------------------------------------------------------------------------

    def decide(self, request: PairRequest, now_ns: int) -> Decision:
        """A request came.

        Raises:
            ConfigError: an unknown node, or a request of that id runs or waits already. Nothing changed.
        """
        check_requests([request], self.topology)
        if request.request in self._accounts.plans or request.request in self._line:
            raise NoPlan(f'two requests are called "{request.request}"')
        self._pass(now_ns)
        alone = offer_alone(self._accounts.residual.topology, request, self.rule)
        newcomer = Newcomer(request, alone.rate_hz)
        if not (newcomer.is_content(alone.rate_hz, self.rule) or self._is_reached_alone(newcomer)):
            return _refusal(newcomer, alone, "even alone on the network")
        offer = offer_to(self._accounts.residual, request, self.rule)
        if newcomer.is_content(offer.rate_hz, self.rule):
            return Admitted(self._accounts.enter(request, offer.trees))
        if self.rule.wait_ns > 0 and len(self._line) < self.rule.waiting_max:
            open_ns = [each.until_ns for each in self._line.values() if each.until_ns > now_ns]
            until_ns = min(open_ns, default=now_ns + self.rule.wait_ns)
            self._line[request.request] = _InLine(newcomer, until_ns)
            return Waiting(request.request, until_ns)
        (decision,) = self._settle([newcomer], now_ns)
        return decision

    def due(self, now_ns: int) -> Decisions:
        """Time passed: decides on all whose wait is over, and forgets what is believed no longer."""
        self._pass(now_ns)
        over = [each.newcomer for each in self._line.values() if each.until_ns <= now_ns]
        for newcomer in over:
            del self._line[newcomer.request.request]
        return (*self._settle(over, now_ns), *self._serve_line())

    def end(self, request: str, now_ns: int) -> Decisions:
        """A request is over, or nobody wants it any more. What comes back may serve those who wait."""
        self._pass(now_ns)
        self._line.pop(request, None)
        if request not in self._accounts.plans:
            return ()
        self._accounts.strike(request)
        return self._serve_line()

    def opened(self, request: str, version: int, now_ns: int) -> Decisions:
        """The stored pairs of a plan's opening were used, whether a pair came of it or not."""
        self._pass(now_ns)
        if self._accounts.current(request, version) is None or not self._accounts.opened(request):
            return ()
        return self._serve_line()

    def capacity_back(
        self, now_ns: int, nodes: Collection[NodeId] = (), links: Collection[Pair] = ()
    ) -> Decisions:
        """Nodes or links have again what the network says, whatever was learnt about them."""
        pairs = self._check_known(nodes, links)
        self._pass(now_ns)
        self._accounts.regain(nodes, pairs)
        return self._serve_line()

    def accepted(self, request: str, version: int, now_ns: int) -> None:
        """All nodes took a plan: refusals from now on are counted from 0."""
        self._pass(now_ns)
        plan = self._accounts.current(request, version)
        if plan is not None:
            self._accounts.plans[request] = replace(plan, refusals=0)

    def refused(self, request: str, version: int, remaining: Remaining, now_ns: int) -> Decision | None:
        """A node refused a plan and said what it has left: that is learnt, and another plan is made.

        The new plan differs in route, tree, policy or rate. None: the version is not the current one, so what
        the node refused is given back already; what it said is learnt all the same.
        """
        self.topology.node(remaining.node)
        self._pass(now_ns)
        plan = self._accounts.current(request, version)
        if plan is not None:
            self._accounts.strike(request)
        self._accounts.hear(remaining, now_ns + self.rule.believed_ns)
        if plan is None:
            return None
        if plan.refusals >= self.rule.refusals_max:
            return Refused(
                request, f"request {request}: {plan.refusals + 1} plans in a row were refused", 0.0
            )
        return self._instead(replace(plan, refusals=plan.refusals + 1), now_ns, may_slow=True)

    def replan_after_failure(
        self,
        request: str,
        now_ns: int,
        nodes: Collection[NodeId] = (),
        links: Collection[Pair] = (),
    ) -> Decision:
        """A plan failed: nodes or links of it are gone, or (none named) it fell short of its promises.

        The new plan differs in route, tree or policy. Where nothing else exists, a plan that still can run
        is kept, and one whose nodes or links are gone is refused.

        Raises:
            ConfigError: the request does not run, or a node or link is unknown. Nothing changed.
        """
        pairs = self._check_known(nodes, links)
        if request not in self._accounts.plans:
            raise NoPlan(f'request "{request}" does not run{nearest(request, self._accounts.plans)}')
        self._pass(now_ns)
        plan = self._accounts.strike(request)
        self._accounts.lose(nodes, pairs, now_ns + self.rule.believed_ns)
        decision = self._instead(plan, now_ns, may_slow=False)
        if isinstance(decision, Refused) and not _touches(plan, nodes, pairs):
            self._accounts.put_back(plan)
            return Kept(plan, decision.reason)
        return decision

    # --- decisions ---------------------------------------------------------------------------------------

    def _settle(self, newcomers: Sequence[Newcomer], now_ns: int) -> Decisions:
        """Those who found too little or waited: together on what is left, else by planning all anew."""
        if not newcomers:
            return ()
        found, left_out = self._on_what_is_left(newcomers)
        if not all(self._is_content(each, found) for each in newcomers):
            anew = self._all_anew(newcomers, found, now_ns)
            if anew is not None:
                return anew
        admitted = [
            Admitted(self._accounts.enter(each.request, found[each.request.request]))
            for each in newcomers
            if each.request.request in found
        ]
        refused: list[Refused] = []
        for each in newcomers:
            name = each.request.request
            if name not in found:
                offer = left_out.get(name) or offer_to(self._accounts.residual, each.request, self.rule)
                refused.append(_refusal(each, offer, "beside the running plans"))
        return (*admitted, *refused)

    def _on_what_is_left(self, newcomers: Sequence[Newcomer]) -> tuple[dict[str, Trees], dict[str, Offer]]:
        """Trees of newcomers on what is left. Who misses its own rate is left out, the last to come first."""
        asking = list(newcomers)
        left_out: dict[str, Offer] = {}
        while True:
            found = together(self._accounts.residual, asking, self.rule)
            short = [
                each
                for each in asking
                if each.request.rate_hz is not None and not self._is_content(each, found)
            ]
            if not short:
                return found, left_out
            asking.remove(short[-1])
            name = short[-1].request.request
            if name in found:
                left_out[name] = Offer(found[name])

    def _all_anew(
        self,
        newcomers: Sequence[Newcomer],
        found: dict[str, Trees],
        now_ns: int,
        failed: Trees = (),
    ) -> Decisions | None:
        """Everything planned anew, if it is time for that and it pays; else None.

        Where not all newcomers can have enough, the later half of those that found too little is left out,
        again and again; planning anew is costly.
        failed: trees that none of them may get again.
        """
        if self._anew_ns is not None and now_ns - self._anew_ns < self.rule.replan_every_ns:
            return None
        asking = list(newcomers)
        while asking:
            base = self._accounts.openings_only()
            joint = planned_anew(base, tuple(self._accounts.plans.values()), asking, self.rule)
            if joint is not None and self._pays(asking, joint, found, failed):
                self._anew_ns = now_ns
                changed = self._accounts.exchange(joint)
                for each in asking:
                    self._accounts.enter(each.request, joint[each.request.request])
                new = tuple(each.request.request for each in asking)
                replanned = Replanned(tuple(self._accounts.plans.values()), (*changed, *new))
                rest = [each for each in newcomers if each not in asking]
                return (replanned, *self._settle(rest, now_ns))
            poor = [each for each in asking if not self._is_content(each, found)]
            if not poor:
                return None
            late = poor[len(poor) // 2 :]
            asking = [each for each in asking if each not in late]
        return None

    def _pays(
        self, newcomers: Sequence[Newcomer], joint: dict[str, Trees], found: dict[str, Trees], failed: Trees
    ) -> bool:
        """Newcomers get enough more by planning anew than on what is left, and nothing that failed."""
        if failed and any(same_ways(joint[each.request.request], failed) for each in newcomers):
            return False
        gained_hz = sum(_rate_hz(joint, each) for each in newcomers)
        left_hz = sum(_rate_hz(found, each) for each in newcomers)
        return gained_hz >= self.rule.replan_gain * left_hz

    def _instead(self, plan: RunningPlan, now_ns: int, *, may_slow: bool) -> Decision:
        """Another plan for a request whose plan, struck out already, failed or was refused."""
        request = plan.request
        residual = self._accounts.residual
        offer = other_offer(residual, request, self.rule, plan.trees, may_slow=may_slow)
        if offer.trees and (request.rate_hz is None or _reaches(offer.rate_hz, request.rate_hz)):
            return Admitted(self._accounts.enter(request, offer.trees, plan.refusals))
        newcomer = Newcomer(request, plan.guaranteed_hz)
        anew = self._all_anew([newcomer], {}, now_ns, plan.trees)
        if anew is not None:
            (decision,) = anew
            return decision
        return _refusal(newcomer, offer, "instead of the plan that failed")

    def _is_reached_alone(self, newcomer: Newcomer) -> bool:
        """A batch method may reach a rate that one tree after the other does not."""
        if newcomer.request.rate_hz is None or self.rule.batch_method == "iterative":
            return False
        found = together(Residual(self._accounts.residual.topology), [newcomer], self.rule)
        return self._is_content(newcomer, found)

    def _serve_line(self) -> Decisions:
        """Whoever waits and now finds enough, in the order of arrival."""
        served: list[Decision] = []
        for each in tuple(self._line.values()):
            request = each.newcomer.request
            offer = offer_to(self._accounts.residual, request, self.rule)
            if each.newcomer.is_content(offer.rate_hz, self.rule):
                del self._line[request.request]
                served.append(Admitted(self._accounts.enter(request, offer.trees)))
        return tuple(served)

    def _is_content(self, newcomer: Newcomer, found: dict[str, Trees]) -> bool:
        return newcomer.is_content(_rate_hz(found, newcomer), self.rule)

    def _pass(self, now_ns: int) -> None:
        """Note the time."""
        if self._now_ns is not None and now_ns < self._now_ns:
            raise LocalMisuse(f"time runs backwards: {now_ns} ns after {self._now_ns} ns")
        self._now_ns = now_ns
        self._accounts.forget(now_ns)

    def _check_known(self, nodes: Collection[NodeId], links: Collection[Pair]) -> list[Pair]:
        """The links as sorted pairs. Raises ConfigError for a node or link that does not exist."""
        for name in nodes:
            self.topology.node(name)
        for pair in links:
            if self.topology.link(*pair) is None:
                known = (f"{a}-{b}" for a, b in self.topology.links)
                raise NoPlan(f"there is no link {pair[0]}-{pair[1]}{nearest('-'.join(pair), known)}")
        return [pair_of(*pair) for pair in links]


def _refusal(newcomer: Newcomer, offer: Offer, where: str) -> Refused:
    request = newcomer.request
    if not offer.trees:
        return Refused(request.request, f"request {request.request}, {where}: {offer.reason}", 0.0)
    asked = "" if request.rate_hz is None else f" of the {request.rate_hz:.6g}/s that it asks for"
    return Refused(
        request.request,
        f"request {request.request} would get at most {offer.rate_hz:.6g}/s{asked} {where}",
        offer.rate_hz,
    )


def _rate_hz(found: dict[str, Trees], newcomer: Newcomer) -> float:
    return Offer(found.get(newcomer.request.request, ())).rate_hz


def _reaches(rate_hz: float, wanted_hz: float) -> bool:
    return rate_hz >= wanted_hz * (1.0 - ROUNDING)


def _touches(plan: RunningPlan, nodes: Collection[NodeId], links: Collection[Pair]) -> bool:
    """A plan runs over one of these nodes or links."""
    used = {name for tree in plan.trees for name in route_of(tree.tree)}
    return not used.isdisjoint(nodes) or any(
        pair in tree.use.links_hz for tree in plan.trees for pair in links
    )
