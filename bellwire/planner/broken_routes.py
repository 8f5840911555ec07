"""BrokenRoutes: plans of this source that use a node or link of which it was told that it is gone.

Owns which nodes are judged lost, and the word to request processing about each plan that they break, once.
Refuses verdicts (of peers the host gives them, of links their side 0), and what becomes of the request.
"""

from collections.abc import Mapping, Set
from typing import Protocol

from bellwire.core.events import PeerChanged
from bellwire.core.ids import LinkId, NodeId
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import LinkStateHeard, PeerLost, PlanActive, RouteBroken
from bellwire.core.plans import RequestPlan, is_pre_distributed
from bellwire.core.settings import LinkSettings, NetworkSettings
from bellwire.planner.advertised import KnowsLinks


class Pursued(Protocol):
    """One version of a plan as its source drives it."""

    plan: RequestPlan | None  # None: it has not been proposed yet


class Pursues(Protocol):
    """Whoever drives plans."""

    def pursued(self) -> tuple[Pursued, ...]:
        """Versions that are not ending."""
        ...


class BrokenRoutes:
    """Part of every source."""

    def __init__(self, network: NetworkSettings, dispatch: Pursues, links: KnowsLinks) -> None:
        self.counters: dict[str, int] = {"broken": 0}
        self.lost: set[NodeId] = set()
        self._links = network.links
        self._dispatch = dispatch
        self._heard = links

    def on_events(self) -> Mapping[type, Handler]:
        """PeerChanged: peers that are back, stations among them."""
        return {PeerChanged: self._on_peer_changed}

    def on_messages(self) -> Mapping[type, Handler]:
        return {}

    def on_notices(self) -> Mapping[type, Handler]:
        """PeerLost: a verdict, or the peer has said that it leaves."""
        return {
            PeerLost: self._on_peer_lost,
            LinkStateHeard: self._on_link_state,
            PlanActive: self._on_plan_active,
        }

    def gives(self) -> frozenset[type]:
        return frozenset({RouteBroken})

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        """Nothing is ever due."""

    def _on_peer_changed(self, step: Step, event: PeerChanged) -> None:
        if event.state == "up":
            self.lost.discard(event.peer)

    def _on_peer_lost(self, step: Step, notice: PeerLost) -> None:
        if notice.peer not in self.lost:
            self.lost.add(notice.peer)
            self._tell(step, frozenset({notice.peer}), {})

    def _on_link_state(self, step: Step, notice: LinkStateHeard) -> None:
        if notice.down:
            self._tell(step, frozenset(), {notice.link: notice.down})

    def _on_plan_active(self, step: Step, notice: PlanActive) -> None:
        """What broke while it was agreed on was told of the plan before."""
        self._judge(step, notice.plan, self.lost, self._heard.down(step.now_ns))

    def _tell(self, step: Step, lost: Set[NodeId], down: Mapping[LinkId, str]) -> None:
        for each in self._dispatch.pursued():
            if each.plan is not None:
                self._judge(step, each.plan, lost, down)

    def _judge(self, step: Step, plan: RequestPlan, lost: Set[NodeId], down: Mapping[LinkId, str]) -> None:
        reason = broken_by(plan, self._links, lost, down)
        if reason is not None and not is_pre_distributed(plan.request):  # a store tries again by itself
            self.counters["broken"] += 1
            step.tell(RouteBroken(request=plan.request, version=plan.version, reason=reason))


def broken_by(
    plan: RequestPlan, links: Mapping[LinkId, LinkSettings], lost: Set[NodeId], down: Mapping[LinkId, str]
) -> str | None:
    """Which of these lost nodes and dark links a plan cannot do without, in words; None: none of them."""
    for name in plan.nodes:
        if name in lost:
            return f"{name} does not answer"
    used = sorted({part.link for node in plan.nodes.values() for part in node.links})
    for link in used:
        if link in down:
            return f"link {link} is down: {down[link]}"
        station = links[link].station
        if station is not None and station in lost:
            return f"link {link} is down: station {station} does not answer"
    return None
