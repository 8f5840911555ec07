"""Messaging: a node's own part of every plan, checked, held under a lease, ended (stack paper, appendix C).

Owns the installed plans of one node and their leases; what they take is summed in reservations.py. Refuses
plans of a source that is not the sender, and everything that a plan does. A node executes one version of a
request at a time: installing a newer one replaces the older in the same step.
"""

from collections.abc import Mapping
from typing import Final

from bellwire.core.effects import Report
from bellwire.core.errors import PeerViolation
from bellwire.core.events import Received
from bellwire.core.ids import LinkId, NodeId, RequestId
from bellwire.core.machine import Handler, Step
from bellwire.core.messages import PlanAnswer, PlanInstall, PlanWithdrawn
from bellwire.core.modes import is_foreign
from bellwire.core.notices import (
    LinkRequested,
    LinkWithdrawn,
    NodeLeaving,
    PlanInstalled,
    PlanRemoved,
    SettingWanted,
)
from bellwire.core.plans import WEIGHTS_MAX, NodePlan
from bellwire.core.settings import NetworkSettings
from bellwire.core.view import SlotBook
from bellwire.planner.reservations import Lack, Reservations, banks_at
from bellwire.planner.switch_leases import NOTHING_DOWN, SwitchLeases

ENDED_MAX: Final = 4096
"""Withdrawn versions remembered, so that an installation that was overtaken stays without effect."""


class Messaging:
    """A node's own part of every plan: checked, held under a lease, ended."""

    def __init__(
        self,
        settings: NetworkSettings,
        node: NodeId,
        slots: SlotBook | None = None,
        down: Mapping[LinkId, str] = NOTHING_DOWN,
    ) -> None:
        """`down`: links through a switch that could not be brought up, and why."""
        self.settings = settings
        self.node = node
        self.plans: dict[RequestId, NodePlan] = {}
        lanes = {link: settings.links[link].lanes for link in settings.nodes[node].links}
        self.reservations = Reservations(lanes, slots, self.plans, banks_at(settings, node))
        self.switches = SwitchLeases(settings, node, self.plans, down)
        self._lapses_ns: dict[RequestId, int] = {}
        self._first_lapse_ns: int | None = None  # asked for in every step; None: no plan
        self._ended: dict[RequestId, int] = {}
        self._leaving: str | None = None  # why no part is taken or renewed any more, None: the node stays

    def on_events(self) -> Mapping[type, Handler]:
        return {}

    def on_messages(self) -> Mapping[type, Handler]:
        return {PlanInstall: self._on_install, PlanWithdrawn: self._on_withdrawn}

    def on_notices(self) -> Mapping[type, Handler]:
        return {NodeLeaving: self._on_leaving}

    def gives(self) -> frozenset[type]:
        told = frozenset((PlanInstalled, PlanRemoved, LinkRequested, LinkWithdrawn))
        return told | frozenset((SettingWanted,)) if self.switches.any() else told

    def deadline_ns(self) -> int | None:
        return self._first_lapse_ns

    def on_deadline(self, step: Step) -> None:
        for request in [name for name, due_ns in self._lapses_ns.items() if due_ns <= step.now_ns]:
            plan = self.plans[request]
            self._remove(step, plan)
            step.order(Report(name="plan_expired", request=request, fields={"version": plan.version}))

    def install(self, step: Step, plan: NodePlan) -> Lack | None:
        """Take or renew this node's part; returns why not, or None when it is in force.

        A refused part changes nothing: an older version stays in force until it is withdrawn or lapses.
        """
        if self._leaving is not None:
            return Lack(f"{self.node} leaves the network: {self._leaving}", ())
        known = self.plans.get(plan.request)
        if known is not None and plan.version == known.version:
            if plan != known:
                return Lack(f"version {plan.version} is in force with other contents", ())
            lack = self.switches.lack(plan)
            if lack is not None:
                return lack  # a link of it has gone down since
            self._lease(plan, step.now_ns)
            return None
        if known is not None and known.source != plan.source:
            return Lack(f"{plan.request} is a request of {known.source}", ())
        newest = max(known.version if known is not None else 0, self._ended.get(plan.request, 0))
        if plan.version <= newest:
            return Lack(f"version {plan.version} is older than {newest}", ())
        fault = self._fault_of(plan)
        lack = (
            Lack(fault, ()) if fault is not None else self.switches.lack(plan) or self.reservations.lack(plan)
        )
        if lack is not None:
            return lack
        if known is not None:
            kept = {link_plan.link for link_plan in plan.links}
            for link_plan in known.links:
                if link_plan.link not in kept:
                    step.tell(LinkWithdrawn(request=plan.request, link=link_plan.link))
        self.plans[plan.request] = plan
        self._lease(plan, step.now_ns)
        step.tell(PlanInstalled(plan=plan))
        for link_plan in () if plan.gathers else plan.links:
            if self.switches.governs(link_plan.link):
                fence = self.switches.taken(link_plan)
                step.tell(SettingWanted(plan=link_plan, waits=_waits(plan), fence=fence))
            else:
                step.tell(LinkRequested(plan=link_plan, waits=_waits(plan)))
        step.order(
            Report(
                name="plan_installed",
                request=plan.request,
                fields={
                    "version": plan.version,
                    "role": plan.role,
                    "route": " + ".join(map(" ".join, plan.routes)),
                },
            )
        )
        return None

    def withdraw(self, step: Step, request: RequestId, version: int) -> None:
        """End this node's part if it is of this version or an older one."""
        self._ended[request] = max(version, self._ended.pop(request, 0))
        if len(self._ended) > ENDED_MAX:
            del self._ended[next(iter(self._ended))]
        plan = self.plans.get(request)
        if plan is not None and plan.version <= version:
            self._remove(step, plan)

    def _lease(self, plan: NodePlan, now_ns: int) -> None:
        """The plan is in force from now on for the length of its lease."""
        self._lapses_ns[plan.request] = now_ns + plan.lease_ns
        self._first_lapse_ns = min(self._lapses_ns.values())

    def _remove(self, step: Step, plan: NodePlan) -> None:
        del self.plans[plan.request]
        del self._lapses_ns[plan.request]
        self._first_lapse_ns = min(self._lapses_ns.values(), default=None)
        for link_plan in plan.links:
            step.tell(LinkWithdrawn(request=plan.request, link=link_plan.link))
        step.tell(PlanRemoved(request=plan.request, version=plan.version))

    def _fault_of(self, plan: NodePlan) -> str | None:
        own = self.settings.nodes[self.node].links
        if not plan.routes:
            return f"no route for {self.node}"
        for route in plan.routes:
            if self.node not in route:
                return f"{self.node} is not on the route {' '.join(route)}"
        links = [(link_plan.link, link_plan.partner) for link_plan in plan.links]
        for link, partner in links:
            if link not in own:
                return f"{self.node} has no link {link}"
            if {self.node, partner} != set(self.settings.links[link].nodes):
                return f"link {link} does not lead from {self.node} to {partner}"
        for swap in plan.swaps:
            for link in (swap.left_link, swap.right_link):
                if link not in own:
                    return f"{self.node} has no link {link} to swap"
        for link_plan in plan.links:
            if link_plan.lanes < 0 or not 1 <= link_plan.weight <= WEIGHTS_MAX:
                lanes, weight = link_plan.lanes, link_plan.weight
                return f"link {link_plan.link}: {lanes} lanes, weight {weight} outside 1..{WEIGHTS_MAX}"
        for end in plan.stored:
            if end.link not in own or self.settings.owner(end.link, end.side) != self.node:
                return f"stored pair {end} has no end at {self.node}"
        return None

    def _on_leaving(self, step: Step, notice: NodeLeaving) -> None:
        """Sources hear of it when they renew, and plan without this node."""
        self._leaving = notice.reason

    def _on_install(self, step: Step, received: Received) -> None:
        message = received.message
        assert isinstance(message, PlanInstall)
        plan = message.plan
        if plan.source != received.source:
            raise PeerViolation(received.source, f"installs a plan of {plan.source} for {plan.request}")
        lack = self.install(step, plan)
        if lack is not None:
            step.order(
                Report(
                    name="plan_refused",
                    request=plan.request,
                    fields={"version": plan.version, "reason": lack.reason},
                )
            )
        step.send(
            received.source,
            PlanAnswer(
                request=plan.request,
                version=plan.version,
                accepted=lack is None,
                reason="" if lack is None else lack.reason,
                room=() if lack is None else lack.room,
            ),
        )

    def _on_withdrawn(self, step: Step, received: Received) -> None:
        message = received.message
        assert isinstance(message, PlanWithdrawn)
        known = self.plans.get(message.request)
        if known is not None and known.source != received.source:
            raise PeerViolation(received.source, f"withdraws {message.request}, a plan of {known.source}")
        self.withdraw(step, message.request, message.version)
        step.send(
            received.source,
            PlanAnswer(request=message.request, version=message.version, accepted=False, reason="withdrawn"),
        )


def _waits(plan: NodePlan) -> bool:
    """True when link pairs of a plan are held until the swapping layer has their partners. Textbook rounds,
    fusions and protocols of their own have other rules for when pairs are given up."""
    if plan.rounds or plan.fusion is not None or (plan.mode and is_foreign(plan.mode)):
        return False
    return any(len(route) > 2 for route in plan.routes)
