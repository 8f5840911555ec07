"""Who runs on what, and what that takes: the accounts of one planner on one network.

Owns running plans with their versions, their entries in the account book, trees that begin with stored
pairs, and what was learnt about capacities. Refuses decisions (admission.py).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from bellwire.core.ids import NodeId
from bellwire.planner.assessment import PairPlan
from bellwire.planner.batch.admission_values import AdmissionRule, Remaining, RunningPlan
from bellwire.planner.batch.learnt import Learnt
from bellwire.planner.batch.leftover import Leftover
from bellwire.planner.batch.offers import Offer, Trees
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.methods import DEFAULT_METHOD, plan_pair
from bellwire.planner.requests import PairRequest
from bellwire.planner.topology import Pair, Topology


@dataclass(slots=True)
class PlanAccounts:
    """Running plans by request, in the order of admission, and the book of what they take.

    residual: over the network as it is believed to be. version: of all requests together, so that those of
    one request only grow, even when it ends and comes again.
    """

    topology: Topology
    rule: AdmissionRule
    plans: dict[str, RunningPlan] = field(default_factory=dict[str, RunningPlan])
    version: int = 0
    learnt: Learnt = field(init=False)
    residual: Residual = field(init=False)

    def __post_init__(self) -> None:
        self.learnt = Learnt(self.topology)
        self.residual = Residual(self.topology)

    # --- plans -------------------------------------------------------------------------------------------

    def enter(self, request: PairRequest, trees: Trees, refusals: int = 0) -> RunningPlan:
        """A request runs on these trees, with a version of its own, and with an opening where that helps."""
        rate_hz = Offer(trees).rate_hz
        self.version += 1
        plan = RunningPlan(
            request=request,
            version=self.version,
            trees=trees,
            guaranteed_hz=rate_hz if request.rate_hz is None else min(rate_hz, request.rate_hz),
            refusals=refusals,
        )
        self.residual.claim(plan.key, plan.use)
        plan = replace(plan, opening=self._opening(plan))
        if plan.opening is not None:
            self.residual.claim(plan.opening_key, plan.opening.use)
        self.plans[request.request] = plan
        return plan

    def put_back(self, plan: RunningPlan) -> None:
        """Enter a plan that was struck out a moment ago, as it was, whatever was learnt since."""
        self.residual.taken[plan.key] = plan.use
        if plan.opening is not None:
            self.residual.taken[plan.opening_key] = plan.opening.use
        self.plans[plan.request.request] = plan

    def strike(self, request: str) -> RunningPlan:
        """A plan ends and gives back all that it took."""
        plan = self.plans.pop(request)
        self.residual.give_back(plan.key)
        if plan.opening is not None:
            self.residual.give_back(plan.opening_key)
        return plan

    def exchange(self, trees: Mapping[str, Trees]) -> tuple[str, ...]:
        """Running requests change to other trees, all at once; those whose trees stay keep their version.

        Promises stay what they were. Returns the requests whose plan changed.
        """
        changed = [name for name, plan in self.plans.items() if trees[name] != plan.trees]
        for name in changed:
            self.residual.give_back(self.plans[name].key)
        for name in changed:
            self.version += 1
            self.plans[name] = replace(self.plans[name], version=self.version, trees=trees[name])
            self.residual.claim(self.plans[name].key, self.plans[name].use)
        return tuple(changed)

    def current(self, request: str, version: int) -> RunningPlan | None:
        """The plan of a request if that is its version now."""
        plan = self.plans.get(request)
        return plan if plan is not None and plan.version == version else None

    # --- stored pairs ------------------------------------------------------------------------------------

    def _opening(self, plan: RunningPlan) -> PairPlan | None:
        """A tree with stored pairs beside the lasting trees, where its one pair comes sooner than theirs."""
        taken = {pair for use in self.residual.taken.values() for pair in use.stored}
        free = tuple(leaf for leaf in plan.request.stored if leaf.pair not in taken)
        if not free:
            return None
        try:
            found = plan_pair(
                Leftover.of(self.residual),
                replace(plan.request, stored=free, rate_hz=None),
                DEFAULT_METHOD,
                self.rule.options,
            )
        except NoPlan:
            return None
        sooner = found.latency_s < min(tree.latency_s for tree in plan.trees)
        return found if found.use.stored and sooner else None

    def opened(self, request: str) -> bool:
        """The stored pairs of an opening are spent; whether there was one, whose links are free again."""
        plan = self.plans.get(request)
        if plan is None or plan.opening is None:
            return False
        self.residual.give_back(plan.opening_key)
        left = tuple(leaf for leaf in plan.request.stored if leaf.pair not in plan.opening.use.stored)
        self.plans[request] = replace(plan, opening=None, request=replace(plan.request, stored=left))
        return True

    def openings_only(self) -> Residual:
        """A book over the believed network that holds nothing but the openings of running plans."""
        return Residual(
            self.residual.topology,
            {plan.opening_key: plan.opening.use for plan in self.plans.values() if plan.opening is not None},
        )

    # --- beliefs -----------------------------------------------------------------------------------------

    def hear(self, remaining: Remaining, until_ns: int) -> None:
        """A node said what it has left beside all reservations."""
        self.learnt.hear(remaining, self.residual, until_ns)
        self._look_again()

    def lose(self, nodes: Collection[NodeId], links: Collection[Pair], until_ns: int) -> None:
        """Nodes and links are believed to have nothing."""
        self.learnt.lose(nodes, links, until_ns)
        self._look_again()

    def regain(self, nodes: Collection[NodeId], links: Collection[Pair]) -> None:
        """Nodes and links have again what the topology says."""
        self.learnt.regain(nodes, links)
        self._look_again()

    def forget(self, now_ns: int) -> None:
        """Drop what is believed no longer."""
        if self.learnt.forget(now_ns):
            self._look_again()

    def _look_again(self) -> None:
        self.residual = Residual(self.learnt.seen(), self.residual.taken)
