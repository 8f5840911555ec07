"""What comes between a request and its plan: broken routes, nodes that are lost, leave or return, and people
who want it to pause.

Owns which nodes are judged lost, and what follows from each disturbance for the requests of this source.
Refuses verdicts (the host, the links and broken_routes.py give them) and the life cycle itself (requests.py).
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from bellwire.core.effects import Report
from bellwire.core.events import PeerChanged
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import (
    LinkStateHeard,
    NodeLeaving,
    PeerLeft,
    PeerLost,
    PlanFailed,
    ResumptionWanted,
    RouteBroken,
    SuspensionWanted,
)
from bellwire.transport import request_words as words
from bellwire.transport.request_lives import Life
from bellwire.transport.request_records import Outcome

SERVED_IN = frozenset({"planning", "queued", "in_progress", "suspended"})
"""States in which pairs may still arrive: those of a plan that is over were on their way."""


class Requests(Protocol):
    """Request processing, as disturbances act on it."""

    node: NodeId
    lives: dict[RequestId, Life]
    delivered: Callable[[RequestId], int]

    def plan(self, step: Step, life: Life, *, differs: bool = True, strict: bool = False) -> None:
        """Have it planned anew."""
        ...

    def plan_soon(self, step: Step, life: Life) -> None:
        """Bring the next try of one that waits for it nearer."""
        ...

    def suspend(self, step: Step, life: Life, duration_ns: int, reason: str) -> None:
        """Its plan ends, and it is planned anew when the time is over."""
        ...

    def resume(self, step: Step, life: Life) -> None:
        """Its suspension is over."""
        ...

    def keep_suspension(self, step: Step, life: Life, resumes_ns: int | None) -> None:
        """What a person orders outlives a restart."""
        ...

    def serve(self, step: Step, life: Life) -> bool:
        """End it when its count is reached; True when it did."""
        ...

    def reject(self, step: Step, life: Life, happened: str, reason: str) -> None:
        """It gets no plan."""
        ...

    def end(self, step: Step, life: Life, happened: str, outcome: Outcome, reason: str) -> None:
        """It is over."""
        ...


class Disturbances:
    """Of one source."""

    def __init__(self, requests: Requests) -> None:
        self.leaving: str | None = None  # why nothing is taken any more, None: this node stays
        self._requests = requests
        self._lost: dict[NodeId, None] = {}

    def on_events(self) -> Mapping[type, Handler]:
        return {PeerChanged: self._on_peer_changed}

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            RouteBroken: self._on_route_broken,
            LinkStateHeard: self._on_link_state,
            PeerLost: self._on_peer_lost,
            PeerLeft: self._on_peer_left,
            NodeLeaving: self._on_leaving,
            SuspensionWanted: self._on_suspension,
            ResumptionWanted: self._on_resumption,
        }

    def avoided(self, targets: tuple[NodeId, ...]) -> tuple[NodeId, ...]:
        """Lost nodes, but for those without which there is no request."""
        return tuple(name for name in self._lost if name not in targets)

    # ---- routes

    def _on_route_broken(self, step: Step, notice: RouteBroken) -> None:
        """Another way is sought at once; what still works of the present one goes on meanwhile."""
        life = self._requests.lives.get(notice.request)
        if life is None or life.version != notice.version or life.record.outcome is not None:
            return
        step.order(words.broken(notice.request, notice.version, notice.reason))
        life.failure = notice.reason
        if life.state == "in_progress":
            version = life.version
            self._requests.plan(step, life, strict=True)
            life.before = version

    def unreachable(self, step: Step, life: Life, notice: PlanFailed, before: int | None) -> bool:
        """There is no way that is not known to be broken; True when nothing else is to be done about it.

        before: the version in force, None: none is.
        """
        requests = self._requests
        if life.request.when_unreachable == "end":
            if requests.serve(step, life):
                return True
            if life.record.started_ns is None:
                requests.reject(step, life, "unreachable", notice.reason)
            else:
                requests.end(step, life, "unreachable", "failed", notice.reason)
            return True
        if before is None:
            return False
        life.version = before  # its links are tried on, and its nodes keep what they have
        delivered = requests.delivered(life.request.request_id)
        step.tell(words.waiting_for_repair(life.request.request_id, delivered, notice.reason))
        return True

    def _on_link_state(self, step: Step, notice: LinkStateHeard) -> None:
        self._look_again(step)

    def _look_again(self, step: Step) -> None:
        """Something is gone, or back: requests without a plan need not wait as long as after so many failures
        until they have a way, or know that there is none."""
        for life in self._requests.lives.values():
            if life.state == "planning":
                self._requests.plan_soon(step, life)

    # ---- nodes

    def _on_peer_lost(self, step: Step, notice: PeerLost) -> None:
        self._lost[notice.peer] = None
        for life in [each for each in self._requests.lives.values() if each.state in SERVED_IN]:
            request = life.request
            if request.when_unreachable != "end" or notice.peer not in request.target_nodes:
                continue
            if not self._requests.serve(step, life):
                reason = f"{notice.peer} does not answer"
                self._requests.end(step, life, "unreachable", "failed", reason)
        self._look_again(step)

    def _on_peer_changed(self, step: Step, event: PeerChanged) -> None:
        if event.state == "up" and event.peer in self._lost:
            del self._lost[event.peer]
            self._look_again(step)

    def _on_peer_left(self, step: Step, notice: PeerLeft) -> None:
        """Nobody can serve a request for a node that has gone; one that only leads through it is given
        another way, as when the node is lost."""
        for life in self._requests.lives.values():
            if notice.peer in life.request.target_nodes:
                self._give_up(step, life, f"{notice.peer} left the network: {notice.reason}")

    def _on_leaving(self, step: Step, notice: NodeLeaving) -> None:
        self.leaving = f"{self._requests.node} leaves the network: {notice.reason}"
        for life in self._requests.lives.values():
            self._give_up(step, life, self.leaving)

    def _give_up(self, step: Step, life: Life, reason: str) -> None:
        if life.record.outcome is None:
            self._requests.end(step, life, "terminated", "failed", reason)

    # ---- people

    def _on_suspension(self, step: Step, notice: SuspensionWanted) -> None:
        """A person's order. It outlives a restart of the source."""
        life = self._requests.lives.get(notice.request)
        if (
            life is None
            or life.state not in ("planning", "in_progress")
            or life.request.entanglement_sequence
        ):
            reason = "only a request that is being planned or served, and is no sequence, can be suspended"
            step.order(Report(name="suspension_refused", request=notice.request, fields={"reason": reason}))
            return
        self._requests.keep_suspension(step, life, step.now_ns + notice.duration_ns)
        self._requests.suspend(step, life, notice.duration_ns, "an operator wants it to pause")

    def _on_resumption(self, step: Step, notice: ResumptionWanted) -> None:
        life = self._requests.lives.get(notice.request)
        if life is None or life.state != "suspended":
            reason = "it is not suspended"
            step.order(Report(name="resumption_refused", request=notice.request, fields={"reason": reason}))
            return
        if life.record.resumes_ns is not None:
            self._requests.keep_suspension(step, life, None)
        self._requests.resume(step, life)
