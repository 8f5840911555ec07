"""PlanDispatch: how a plan comes to be in force at every node of a route (stack paper, appendix C).

Owns the talk about plans between source and destination: the destination computes, the source dispatches,
renews, replaces and ends; each node's own part is with messaging.py. Refuses the computation itself, which is
handed in.

Dispatch is a reservation: a plan is in force when every node of it has accepted, each against what it has
left. A refusal ends the plan everywhere and says what is left, and the next plan knows it (experience.py).
A newer version takes the older one's place node by node; nodes that it does not touch are told to end
theirs, and a node that hears nothing goes on with the older version until its lease lapses, which makes
pairs of the same request.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from bellwire.core.effects import Report
from bellwire.core.errors import PeerViolation
from bellwire.core.events import Received
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.machine import Handler, Step
from bellwire.core.messages import (
    PlanAnswer,
    PlanInstall,
    PlanProposed,
    PlanWanted,
    PlanWithdrawn,
)
from bellwire.core.notices import (
    PeerRestarted,
    PlanActive,
    PlanEnded,
    PlanFailed,
    PlanFault,
    PlanRequested,
    ViewReady,
    ViewWanted,
)
from bellwire.core.path_words import PATH_TRAITS
from bellwire.core.plans import (
    BestOffer,
    Circumstances,
    EntanglementRequest,
    LinkRoom,
    PresentPair,
    RequestPlan,
    StoreNews,
)
from bellwire.core.settings import NetworkSettings
from bellwire.planner.advertised import KnowsLinks, gone, with_down
from bellwire.planner.entangled_topology import present_pairs
from bellwire.planner.experience import Experience
from bellwire.planner.messaging import Messaging

__all__ = ["Compute", "Messaging", "PlanDispatch"]

Compute = Callable[[EntanglementRequest, int, Circumstances], RequestPlan | str]
"""(request, version, circumstances) -> plan, or the reason why there is none. Pure."""

Offering = Callable[[EntanglementRequest, Circumstances], BestOffer | None]
"""The best that could be promised instead of a plan that there is not. Pure."""

NOTHING_KNOWN: Final = Circumstances()

PATHS: Final = "paths"
"""Purpose of the question which pairs there are."""

SILENCES_MAX: Final = 5
"""Questions without an answer before a node counts as silent."""

WITHDRAWALS_MAX: Final = 3
"""A withdrawal is said this often; a node that hears none of them lets its lease lapse."""


@dataclass(slots=True)
class Dispatch:
    """One version of one request's plan, as its source drives it."""

    request: EntanglementRequest
    version: int
    circumstances: Circumstances
    due_ns: int
    strict: bool = False  # a way that is known to be broken is none
    state: Literal["asking", "installing", "active", "ending"] = "asking"
    tries: int = 0
    plan: RequestPlan | None = None
    heard_ns: dict[NodeId, int] = field(default_factory=dict[NodeId, int])  # last word of each node
    pending: dict[NodeId, None] = field(default_factory=dict[NodeId, None])  # owes a word

    @property
    def key(self) -> tuple[RequestId, int]:
        return (self.request.request_id, self.version)


class PlanDispatch:
    """The source asks for plans, dispatches, renews and ends them; the destination computes."""

    def __init__(
        self,
        settings: NetworkSettings,
        node: NodeId,
        compute: Compute,
        messaging: Messaging,
        advertised: KnowsLinks | None = None,
        stores: Callable[[], tuple[StoreNews, ...]] = tuple,
        offer: Offering = lambda request, circumstances: None,
    ) -> None:
        """`advertised`: what links have told of themselves; None: plans rest on the lab file. `stores`: what
        heads of super-links have told of their stores. `offer`: what is told where there is no plan."""
        self.advertised = advertised
        self.stores = stores
        self.offer = offer
        self.timers = settings.timers
        self.node = node
        self.compute = compute
        self.messaging = messaging
        self.dispatches: dict[tuple[RequestId, int], Dispatch] = {}
        self.experience: dict[RequestId, Experience] = {}
        self.hears_all = settings.ledgers == "network"  # else heads of stores tell what there is
        # Questions whose answer waits for the ledger: within a step, so they are few.
        self._unread: dict[tuple[RequestId, int], tuple[NodeId, PlanWanted]] = {}

    def on_events(self) -> Mapping[type, Handler]:
        return {}

    def on_messages(self) -> Mapping[type, Handler]:
        return {PlanWanted: self._on_wanted, PlanProposed: self._on_proposed, PlanAnswer: self._on_answer}

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            PlanRequested: self._on_requested,
            PlanEnded: self._on_ended,
            PeerRestarted: self._on_peer_restarted,
            ViewReady: self._on_view,
        }

    def gives(self) -> frozenset[type]:
        return frozenset((PlanActive, PlanFailed, ViewWanted)) | self.messaging.gives()

    def deadline_ns(self) -> int | None:
        earliest: int | None = None
        for dispatch in self.dispatches.values():
            if earliest is None or dispatch.due_ns < earliest:
                earliest = dispatch.due_ns
        return earliest

    def on_deadline(self, step: Step) -> None:
        for dispatch in [each for each in self.dispatches.values() if each.due_ns <= step.now_ns]:
            if dispatch.state == "active":
                self._renew(step, dispatch)
            elif dispatch.state == "ending":
                self._withdraw_again(step, dispatch)
            elif dispatch.tries < SILENCES_MAX:
                self._ask_again(step, dispatch)
            else:
                silent = tuple(dispatch.pending)
                self._fail(step, dispatch, f"no answer from {' '.join(silent)}", silent)

    # ---- destination

    def _on_wanted(self, step: Step, received: Received) -> None:
        wanted = received.message
        assert isinstance(wanted, PlanWanted)
        request = wanted.request
        if request.target_nodes[0] != received.source or request.target_nodes[-1] != self.node:
            raise PeerViolation(received.source, f"asks for a plan of {request.request_id} between others")
        if self._reads_ledger(request):
            self._unread[(request.request_id, wanted.version)] = (received.source, wanted)
            step.tell(ViewWanted(purpose=PATHS, request=None))  # answered in this step
        else:
            self._propose(step, received.source, wanted, None)

    def _reads_ledger(self, request: EntanglementRequest) -> bool:
        """Its path is computed on the pairs that there are, and this node hears of all of them. An unknown
        way to compute paths is the planner's to refuse."""
        traits = PATH_TRAITS.get(request.paths)
        return traits is not None and traits.reads_ledger and self.hears_all

    def _on_view(self, step: Step, notice: ViewReady) -> None:
        if notice.purpose != PATHS:
            return
        unread, self._unread = self._unread, {}
        for source, wanted in unread.values():
            rows = notice.view.available(step.now_ns)
            self._propose(step, source, wanted, present_pairs(rows, wanted.request.request_id))

    def _propose(
        self, step: Step, source: NodeId, wanted: PlanWanted, pairs: tuple[PresentPair, ...] | None
    ) -> None:
        request = wanted.request
        # Figures of links are the destination's own: every planner is told them, whoever asks. Of a link that
        # is down the source may have heard first.
        links = () if self.advertised is None else self.advertised.news(step.now_ns)
        links = with_down(links, wanted.circumstances.down)
        circumstances = msgspec.structs.replace(
            wanted.circumstances, links=links, stores=self.stores(), pairs=pairs
        )
        found = self._compute(request, wanted.version, circumstances, strict=wanted.strict)
        plan, reason = (None, found) if isinstance(found, str) else (found, "")
        final = plan is None and isinstance(self.compute(request, wanted.version, NOTHING_KNOWN), str)
        broken = gone(circumstances) if plan is None and wanted.strict and not final else ""
        proposed = PlanProposed(
            request=request.request_id,
            version=wanted.version,
            plan=plan,
            reason=f"no way round {broken}: {reason}" if broken else reason,
            final=final,
            offer=self.offer(request, circumstances) if plan is None else None,
            unreachable=bool(broken),
        )
        step.send(source, proposed)

    def _compute(
        self, request: EntanglementRequest, version: int, circumstances: Circumstances, *, strict: bool
    ) -> RequestPlan | str:
        found = self.compute(request, version, circumstances)
        if isinstance(found, str) and not strict and gone(circumstances):
            # A way through what is judged lost is better than none: it may be back by now.
            links = tuple(msgspec.structs.replace(each, down="") for each in circumstances.links)
            found = self.compute(
                request, version, msgspec.structs.replace(circumstances, avoid=(), links=links)
            )
        if isinstance(found, str):
            return found
        nodes = {
            name: msgspec.structs.replace(
                plan,
                consumption=request.consumption,
                bases=request.bases,
                use=request.use,
                hold_ns=request.hold_ns,
                part_of=request.part_of,
            )
            for name, plan in found.nodes.items()
        }
        return msgspec.structs.replace(found, nodes=nodes)

    # ---- source

    def _on_requested(self, step: Step, notice: PlanRequested) -> None:
        request_id = notice.request.request_id
        experience = self._experience_of(request_id)
        for older in self._of(request_id):
            if older.state != "active":
                self._end(step, older)
            elif older.plan is not None and notice.differs:
                # It goes on until the new one takes its place, and must differ from it.
                experience.failed(older.plan.shape, step.now_ns)
        circumstances = experience.circumstances(notice.avoid, step.now_ns)
        if self.advertised is not None:
            down = tuple(self.advertised.down(step.now_ns))
            circumstances = msgspec.structs.replace(circumstances, down=down)
        dispatch = Dispatch(notice.request, notice.version, circumstances, step.now_ns, strict=notice.strict)
        dispatch.pending = {notice.request.target_nodes[-1]: None}
        self.dispatches[dispatch.key] = dispatch
        self._ask_again(step, dispatch)

    def pursued(self) -> tuple[Dispatch, ...]:
        """Versions of all requests that are not ending."""
        return tuple(each for each in self.dispatches.values() if each.state != "ending")

    def _experience_of(self, request: RequestId) -> Experience:
        known = self.experience.get(request)
        if known is None:
            known = self.experience[request] = Experience(self.timers.plan_lease_ns)
        return known

    def _of(self, request: RequestId) -> list[Dispatch]:
        """Dispatches of a request that are not ending, the oldest first."""
        return [
            each for each in self.dispatches.values() if each.key[0] == request and each.state != "ending"
        ]

    def _ask_again(self, step: Step, dispatch: Dispatch) -> None:
        dispatch.tries += 1
        dispatch.due_ns = step.now_ns + self.timers.answer_ns
        if dispatch.state == "asking":
            wanted = PlanWanted(
                request=dispatch.request,
                version=dispatch.version,
                circumstances=dispatch.circumstances,
                strict=dispatch.strict,
            )
            step.send(dispatch.request.target_nodes[-1], wanted)
            return
        assert dispatch.plan is not None
        for name in dispatch.pending:  # before an offer of a pair from store, which this very step may make
            step.send(name, PlanInstall(plan=dispatch.plan.nodes[name]), "delivery")

    def _on_proposed(self, step: Step, received: Received) -> None:
        proposed = received.message
        assert isinstance(proposed, PlanProposed)
        dispatch = self.dispatches.get((proposed.request, proposed.version))
        if dispatch is None or dispatch.state != "asking":
            return  # heard twice or late
        if received.source != dispatch.request.target_nodes[-1]:
            raise PeerViolation(received.source, f"proposes a plan for {proposed.request} unasked")
        plan = proposed.plan
        if plan is None:
            final, offer = proposed.final, proposed.offer
            cause: PlanFault = "unreachable" if proposed.unreachable else "planner"
            self._fail(step, dispatch, proposed.reason, (), final=final, cause=cause, offer=offer)
            return
        if plan.request != proposed.request or plan.version != proposed.version:
            raise PeerViolation(received.source, f"proposes {plan.request} version {plan.version}")
        own = plan.nodes.get(self.node)
        if own is None or any(
            part.request != plan.request or part.version != plan.version or part.source != self.node
            for part in plan.nodes.values()
        ):
            raise PeerViolation(received.source, f"proposes a plan that is not one of {self.node}")
        dispatch.plan = plan
        dispatch.state = "installing"
        dispatch.tries = 0
        dispatch.pending = {name: None for name in plan.nodes if name != self.node}
        dispatch.heard_ns = dict.fromkeys(dispatch.pending, step.now_ns)
        lack = self.messaging.install(step, own)
        for older in self._of(plan.request):
            if older is not dispatch:
                self._replace(step, older, plan)
        if lack is not None:
            self._refused(step, dispatch, self.node, lack.reason, lack.room)
        else:
            self._ask_again(step, dispatch)

    def _on_answer(self, step: Step, received: Received) -> None:
        answer = received.message
        assert isinstance(answer, PlanAnswer)
        dispatch = self.dispatches.get((answer.request, answer.version))
        if dispatch is None or dispatch.plan is None or received.source not in dispatch.plan.nodes:
            return  # heard twice or late
        withdrawn = not answer.accepted and answer.reason == "withdrawn"
        if dispatch.state == "ending":
            if withdrawn:
                self._forget_node(dispatch, received.source)
        elif not answer.accepted:
            self._refused(step, dispatch, received.source, answer.reason, answer.room)
        else:
            dispatch.heard_ns[received.source] = step.now_ns
            dispatch.pending.pop(received.source, None)
            if dispatch.state == "installing" and not dispatch.pending:
                dispatch.state = "active"
                dispatch.due_ns = step.now_ns + self.timers.plan_renew_ns
                step.tell(PlanActive(plan=dispatch.plan))
                step.order(_report_active(dispatch.plan))

    def _renew(self, step: Step, dispatch: Dispatch) -> None:
        plan = dispatch.plan
        assert plan is not None
        oldest_ns = step.now_ns - self.timers.plan_lease_ns - SILENCES_MAX * self.timers.answer_ns
        silent = tuple(name for name, heard_ns in dispatch.heard_ns.items() if heard_ns < oldest_ns)
        if silent:
            self._fail(step, dispatch, f"lease not renewed by {' '.join(silent)}", silent)
            return
        lack = self.messaging.install(step, plan.nodes[self.node])
        if lack is not None:
            self._refused(step, dispatch, self.node, lack.reason, lack.room)
            return
        dispatch.due_ns = step.now_ns + self.timers.plan_renew_ns
        for name in dispatch.heard_ns:
            step.send(name, PlanInstall(plan=plan.nodes[name]))

    def _on_peer_restarted(self, step: Step, notice: PeerRestarted) -> None:
        for dispatch in self.dispatches.values():
            if dispatch.state == "active" and notice.peer in dispatch.heard_ns:
                assert dispatch.plan is not None
                step.send(notice.peer, PlanInstall(plan=dispatch.plan.nodes[notice.peer]))

    def _on_ended(self, step: Step, notice: PlanEnded) -> None:
        self.experience.pop(notice.request, None)
        for dispatch in self._of(notice.request):
            if dispatch.version <= notice.version:
                self._end(step, dispatch)

    def _refused(
        self, step: Step, dispatch: Dispatch, by: NodeId, reason: str, room: tuple[LinkRoom, ...]
    ) -> None:
        self._experience_of(dispatch.request.request_id).refused(room, step.now_ns)
        self._fail(step, dispatch, f"{by}: {reason}", (), cause="room" if room else "other")

    def _fail(
        self,
        step: Step,
        dispatch: Dispatch,
        reason: str,
        silent: tuple[NodeId, ...],
        *,
        final: bool = False,
        cause: PlanFault = "other",
        offer: BestOffer | None = None,
    ) -> None:
        """End a version that is not to be. An older one that is still in force goes on while nothing replaces
        it."""
        targets = dispatch.request.target_nodes
        experience = self._experience_of(dispatch.request.request_id)
        experience.silent = tuple(name for name in silent if name not in targets)
        if dispatch.plan is not None and cause != "room":
            experience.failed(dispatch.plan.shape, step.now_ns)
        self._end(step, dispatch)
        step.tell(
            PlanFailed(
                request=dispatch.request.request_id,
                version=dispatch.version,
                reason=reason,
                final=final,
                cause=cause,
                offer=offer,
            )
        )

    def _end(self, step: Step, dispatch: Dispatch) -> None:
        if dispatch.plan is None:
            del self.dispatches[dispatch.key]
            return
        self.messaging.withdraw(step, *dispatch.key)
        self._withdraw(step, dispatch, dispatch.heard_ns)

    def _replace(self, step: Step, older: Dispatch, plan: RequestPlan) -> None:
        """A newer version is being installed: nodes that have no part in it are told to end the older one."""
        self._withdraw(step, older, [name for name in older.heard_ns if name not in plan.nodes])

    def _withdraw(self, step: Step, dispatch: Dispatch, nodes: Iterable[NodeId]) -> None:
        dispatch.state = "ending"
        dispatch.tries = 0
        dispatch.pending = dict.fromkeys(nodes)
        self._withdraw_again(step, dispatch)

    def _withdraw_again(self, step: Step, dispatch: Dispatch) -> None:
        if dispatch.tries >= WITHDRAWALS_MAX or not dispatch.pending:
            del self.dispatches[dispatch.key]
            return
        dispatch.tries += 1
        dispatch.due_ns = step.now_ns + self.timers.answer_ns
        for name in dispatch.pending:
            step.send(name, PlanWithdrawn(request=dispatch.key[0], version=dispatch.version))

    def _forget_node(self, dispatch: Dispatch, name: NodeId) -> None:
        dispatch.pending.pop(name, None)
        if not dispatch.pending:
            del self.dispatches[dispatch.key]


def _report_active(plan: RequestPlan) -> Report:
    """What the planner promises, for those who compare it with what happens."""
    return Report(
        name="plan_active",
        request=plan.request,
        fields={
            "version": plan.version,
            "rate_hz": plan.rate_hz,
            "latency_ns": plan.latency_ns,
            "fidelity": plan.fidelity,
            "tree": plan.tree,
            "measured_links": " ".join(plan.measured),
        },
    )
