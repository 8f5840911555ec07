"""RequestProcessing: a request from its arrival to its one final report (stack paper, appendix B).

Owns the life cycle at the source. Refuses to count pairs itself: the delivery records are the only count, so
that a restart, a void pair or a repeated report cannot make two truths. A final report goes out when it is
durable.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec

from bellwire.core.effects import Persist, Report
from bellwire.core.events import Persisted, Started
from bellwire.core.graph_states import with_node_edges
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import (
    CorrectiveAction,
    EntanglementReported,
    PlanActive,
    PlanEnded,
    PlanFailed,
    PlanRequested,
    ReplanWanted,
    RequestGenerated,
    RequestNotified,
    RequestWithdrawn,
    SequenceDropped,
    SequenceTold,
    SequenceWanted,
)
from bellwire.core.path_words import path_traits
from bellwire.core.plans import BestOffer, EntanglementRequest
from bellwire.core.settings import NetworkSettings
from bellwire.transport import request_words as words
from bellwire.transport.admission import admission_report, refusal_text, verdict
from bellwire.transport.alarms import Alarms
from bellwire.transport.request_disturbances import SERVED_IN, Disturbances
from bellwire.transport.request_lives import Life as Life
from bellwire.transport.request_records import (
    REQUEST_ROWS,
    Outcome,
    RequestRecord,
    fault_of,
    newest,
    to_record,
)
from bellwire.transport.request_times import LIMITS, Limit, allowed_ns, due_times_ns, turn_ns
from bellwire.transport.transitions import Transitions

UNFINISHED_MAX: Final = 1024
"""Requests under way at one source; more are refused with a reason."""

VERSIONS_PER_INCARNATION: Final = 1 << 16
"""A plan version is incarnation * this + counter, so that a restarted source outbids its older plans."""

PATIENCE: Final = 4
"""A path that serves one pair is given up when it took so many times what was expected."""

PROGRESS_NS: Final = 1_000_000_000
PROGRESS_SHARE: Final = 10
"""Progress is notified after a tenth of the count, or after a second if a pair was delivered in it."""

Duty = Limit | Literal["replan", "resume"]
DUTIES: Final[tuple[Duty, ...]] = (*LIMITS, "replan", "resume")


class RequestProcessing:
    """The request part of a source.

    delivered: settled pairs of a request, which is Delivery.delivered_count of the same node.
    terms: a request with the thresholds that are in force for it, which is ExecutionMonitoring.terms.
    """

    def __init__(
        self,
        settings: NetworkSettings,
        node: NodeId,
        delivered: Callable[[RequestId], int],
        terms: Callable[[EntanglementRequest], EntanglementRequest] = lambda request: request,
    ) -> None:
        self.settings = settings
        self.node = node
        self.delivered = delivered
        self.terms = terms
        self.transitions = Transitions("request", REQUEST_ROWS)
        self.lives: dict[RequestId, Life] = {}
        self.unfinished = 0
        self._alarms: Alarms[tuple[RequestId, Duty]] = Alarms()
        self._tokens: dict[int, tuple[Life, RequestRecord]] = {}
        self._version = 0
        self._disturbances = Disturbances(self)

    def on_events(self) -> Mapping[type, Handler]:
        return {
            Started: self._on_started,
            Persisted: self._on_persisted,
            **self._disturbances.on_events(),
        }

    def on_messages(self) -> Mapping[type, Handler]:
        return {}

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            RequestGenerated: self._on_generated,
            RequestWithdrawn: self._on_withdrawn,
            ReplanWanted: self._on_replan,
            CorrectiveAction: self._on_correction,
            PlanActive: self._on_plan_active,
            PlanFailed: self._on_plan_failed,
            EntanglementReported: self._on_entanglement,
            SequenceTold: self._on_sequence,
            **self._disturbances.on_notices(),
        }

    def gives(self) -> frozenset[type]:
        return frozenset((PlanRequested, PlanEnded, RequestNotified, SequenceWanted, SequenceDropped))

    def deadline_ns(self) -> int | None:
        return self._alarms.earliest_ns()

    def on_deadline(self, step: Step) -> None:
        for request_id, duty in self._alarms.take_due(step.now_ns):
            life = self.lives[request_id]
            # One that was due at the same moment may have ended it: a limit, and the end of a suspension.
            if life.record.outcome is not None or self.serve(step, life):
                continue
            if duty == "replan":
                self.plan(step, life)
            elif duty == "resume":
                self._move(life, "resumed")
                self.plan(step, life)
            elif duty == "duration":
                self.end(step, life, "duration_over", "completed", "")
            elif duty == "queue":
                reason = f"waited {life.record.waited_ns(step.now_ns) / 1e9:g} s for room: {life.failure}"
                self.reject(step, life, "queue_over", reason)
            else:
                allowed = allowed_ns(life.record, self.settings.timers)
                assert allowed is not None, "without a deadline there is no alarm"
                reason = words.deadline_missed(
                    life.request, allowed, self.delivered(request_id), life.failure
                )
                self.end(step, life, "deadline_over", "failed", reason)

    @property
    def writing(self) -> bool:
        """True while a record of a request is on its way to the store."""
        return bool(self._tokens)

    def status(self, request_id: RequestId) -> str | None:
        """The state of a request by the names of the table; None: never seen here."""
        life = self.lives.get(request_id)
        return None if life is None else life.state

    # ---- arrival

    def _on_started(self, step: Step, event: Started) -> None:
        self._version = event.incarnation * VERSIONS_PER_INCARNATION
        for request_id, known in newest(event.records).items():
            if known.outcome is not None:
                self.lives[request_id] = Life(known, known.outcome)
                continue
            life = self._open(known)
            self._move(life, "restored")
            self._set_alarms(life)
            if known.resumes_ns is not None and known.resumes_ns > step.now_ns:
                self.suspend(step, life, known.resumes_ns - step.now_ns, words.RESTARTED)
            else:
                self.plan(step, life)

    def _on_generated(self, step: Step, notice: RequestGenerated) -> None:
        request = notice.request
        known = self.lives.get(request.request_id)
        if known is not None:
            if known.request != request:
                step.order(words.refused(request.request_id, "this request_id names another request"))
            elif known.record.outcome is not None and not self._being_written(known):
                step.tell(words.outcome(known.record))  # told again to whoever asks again
            return
        fault = fault_of(request, self.settings, self.node)
        if fault is None and self.unfinished >= UNFINISHED_MAX:
            fault = f"{self.unfinished} requests are under way here, the limit is {UNFINISHED_MAX}: try later"
        fault = fault or self._disturbances.leaving
        if fault is not None:
            step.order(words.refused(request.request_id, fault))
            step.tell(words.refusal(request.request_id, fault))
            return
        record = RequestRecord(
            request=request, submitted_ns=step.now_ns, started_ns=None, outcome=None, delivered=0, reason=""
        )
        life = self._open(record)
        self._move(life, "submitted")
        self._set_alarms(life)
        self._persist(step, life)

    def _open(self, record: RequestRecord) -> Life:
        life = Life(record, "absent", told=record.admission)
        self.lives[record.request.request_id] = life
        self.unfinished += 1
        return life

    def _set_alarms(self, life: Life) -> None:
        due_ns = due_times_ns(life.record, self.settings.timers)
        for limit in LIMITS:
            if limit in due_ns:
                self._alarms.set((life.request.request_id, limit), due_ns[limit])
            else:
                self._alarms.clear((life.request.request_id, limit))

    # ---- planning

    def plan(self, step: Step, life: Life, *, differs: bool = True, strict: bool = False) -> None:
        """Have it planned. strict: a way that is known to be broken is none; so it always is for a request
        that does not wait."""
        self._version += 1
        life.version = self._version
        if life.request.entanglement_sequence:
            step.tell(SequenceWanted(request=life.request))
            return
        avoid = self._disturbances.avoided(life.request.target_nodes)
        asked = with_node_edges(self.terms(life.request))
        step.tell(
            PlanRequested(
                request=asked,
                version=life.version,
                avoid=avoid,
                differs=differs,
                strict=strict or asked.when_unreachable == "end",
            )
        )

    def _on_plan_active(self, step: Step, notice: PlanActive) -> None:
        life = self.lives.get(notice.plan.request)
        if life is None or life.version != notice.plan.version or life.record.outcome is not None:
            return
        self._begun(step, life)
        if path_traits(life.request.paths).renews:
            # A path that brings nothing gives way to another one: a link of it may be dark.
            patience_ns = max(self.settings.timers.answer_ns, PATIENCE * notice.plan.latency_ns)
            self._alarms.set((life.request.request_id, "replan"), step.now_ns + patience_ns)

    def _begun(self, step: Step, life: Life) -> None:
        self._move(life, "plan_active")
        life.active = life.version
        life.failures, life.failure, life.before = 0, "", None
        if life.record.started_ns is None:
            life.record = msgspec.structs.replace(
                life.record, started_ns=step.now_ns, admission="accepted", offer=None
            )
            self._persist(step, life)
            self._set_alarms(life)
        self._notify_progress(step, life)

    def _on_sequence(self, step: Step, notice: SequenceTold) -> None:
        """A sequence is served by requests of its own (sequences.py); what counts is what was consumed."""
        life = self.lives.get(notice.request)
        if life is None or life.record.outcome is not None:
            return
        if notice.happened == "begun":
            self._begun(step, life)
        elif notice.happened == "advanced":
            self._notify_progress(step, life)
        elif notice.happened == "done":
            self.end(step, life, "served", "completed", "")
        else:
            life.failure = notice.reason
            self.reject(step, life, "plan_impossible", notice.reason)

    def _on_plan_failed(self, step: Step, notice: PlanFailed) -> None:
        life = self.lives.get(notice.request)
        if life is None or life.version != notice.version or life.record.outcome is not None:
            return
        life.failure = notice.reason
        before, life.before = life.before, None
        if notice.cause == "unreachable" and self._disturbances.unreachable(step, life, notice, before):
            return
        life.refusals += notice.cause == "room"
        if life.record.started_ns is None:
            said = verdict(life.request, notice, life.refusals, self._queued_before(life))
        else:
            said = "reject" if notice.final else "later"
        if said == "reject":
            life.record = msgspec.structs.replace(life.record, offer=notice.offer)
            happened = "plan_impossible" if notice.final else "no_room"
            self.reject(step, life, happened, notice.reason)
            return
        step.order(words.plan_failure(notice))
        if said == "queue":
            self._queue(step, life, notice.offer)
        else:
            self._move(life, "plan_failed")
        if said == "again":
            self.plan(step, life)
        else:
            delay_ns = self.settings.timers.plan_renew_ns << min(life.failures, 5)
            life.failures += 1
            self._alarms.set(
                (notice.request, "replan"),
                step.now_ns + delay_ns + turn_ns(notice.request, notice.version, self.settings.timers),
            )

    def _queued_before(self, life: Life) -> int:
        """Requests that wait for room already; 0 for one of them, which is not turned away."""
        if life.record.admission == "queued":
            return 0
        return sum(1 for other in self.lives.values() if other.state == "queued")

    def _queue(self, step: Step, life: Life, offer: BestOffer | None) -> None:
        """There is no room: it waits and is planned again, whether or not others end meanwhile."""
        self._move(life, "room_awaited")
        first = life.record.admission != "queued"
        queued_ns = step.now_ns if life.record.queued_ns is None else life.record.queued_ns
        life.record = msgspec.structs.replace(
            life.record, admission="queued", queued_ns=queued_ns, offer=offer
        )
        if first:
            self._persist(step, life)
            self._set_alarms(life)

    def reject(self, step: Step, life: Life, happened: str, reason: str) -> None:
        """It gets no plan; one that was accepted once has failed."""
        offer = life.record.offer
        if life.record.started_ns is None:
            life.record = msgspec.structs.replace(life.record, admission="rejected")
        self.end(step, life, happened, "failed", refusal_text(reason, offer))

    def _on_replan(self, step: Step, notice: ReplanWanted) -> None:
        """The pairs of the present plan go on coming while the new one is sought."""
        life = self.lives.get(notice.request)
        if life is None or life.state != "in_progress" or life.request.entanglement_sequence:
            reason = "no plan of this request is in force here"
            step.order(Report(name="replan_refused", request=notice.request, fields={"reason": reason}))
            return
        self.plan(step, life)

    def _on_correction(self, step: Step, notice: CorrectiveAction) -> None:
        """The execution monitor's orders are carried out by plans: lower layers know nothing else."""
        life = self.lives.get(notice.request)
        if life is None or life.state not in ("planning", "in_progress"):
            return  # it has come to its end in the same step
        if notice.action == "terminate":
            self.end(step, life, "terminated", "failed", notice.reason)
        elif notice.action == "suspend":
            assert notice.suspended_ns is not None
            self.suspend(step, life, notice.suspended_ns, notice.reason)
        else:
            self._alarms.clear((notice.request, "replan"))
            self.plan(step, life, differs=notice.action == "replan")

    def suspend(self, step: Step, life: Life, duration_ns: int, reason: str) -> None:
        """Its plan ends, and it is planned anew when the time is over."""
        request_id = life.request.request_id
        self._alarms.clear((request_id, "replan"))
        self._move(life, "suspended")
        self._alarms.set((request_id, "resume"), step.now_ns + duration_ns)
        step.tell(PlanEnded(request=request_id, version=life.version))
        self._version += 1
        life.version = self._version  # an answer that is still on its way is to the plan that has ended
        step.tell(words.suspension(request_id, self.delivered(request_id), reason, duration_ns))

    def resume(self, step: Step, life: Life) -> None:
        """Its suspension is over."""
        self._alarms.set((life.request.request_id, "resume"), step.now_ns)

    def keep_suspension(self, step: Step, life: Life, resumes_ns: int | None) -> None:
        """What a person orders outlives a restart; None: no suspension any more."""
        life.record = msgspec.structs.replace(life.record, resumes_ns=resumes_ns)
        self._persist(step, life)

    def plan_soon(self, step: Step, life: Life) -> None:
        """Bring the next try of one that waits for it nearer."""
        request_id = life.request.request_id
        if self._alarms.is_set((request_id, "replan")):
            soon_ns = step.now_ns + turn_ns(request_id, life.version, self.settings.timers)
            self._alarms.set((request_id, "replan"), soon_ns)

    # ---- progress and end

    def _on_entanglement(self, step: Step, notice: EntanglementReported) -> None:
        life = self.lives.get(notice.request)
        if life is None or life.record.outcome is not None or self.serve(step, life):
            return
        if life.state != "in_progress":
            return
        if path_traits(life.request.paths).renews and life.active == life.version:
            self.plan(step, life, differs=False)  # the present plan stays until the next path takes over
        fresh = self.delivered(notice.request) - life.notified_count
        count = life.request.count
        enough = count is not None and fresh * PROGRESS_SHARE >= count
        if fresh > 0 and (enough or step.now_ns >= life.notified_ns + PROGRESS_NS):
            self._notify_progress(step, life)

    def serve(self, step: Step, life: Life) -> bool:
        """End a request whose count is reached; True when it did."""
        count = life.request.count
        if count is None or life.state not in SERVED_IN:
            return False
        if self.delivered(life.request.request_id) < count:
            return False
        self.end(step, life, "served", "completed", "")
        return True

    def _on_withdrawn(self, step: Step, notice: RequestWithdrawn) -> None:
        life = self.lives.get(notice.request)
        if life is None or life.record.outcome is not None:
            return
        if life.request.until_cancelled and life.record.started_ns is not None:
            self.end(step, life, "closed", "completed", "")  # as it was meant to end
        else:
            self.end(step, life, "cancelled", "cancelled", "cancelled")

    def end(self, step: Step, life: Life, happened: str, outcome: Outcome, reason: str) -> None:
        request_id = life.request.request_id
        self._move(life, happened)
        self.unfinished -= 1
        for duty in DUTIES:
            self._alarms.clear((request_id, duty))
        life.record = msgspec.structs.replace(
            life.record, outcome=outcome, delivered=self.delivered(request_id), reason=reason
        )
        self._tokens = {token: each for token, each in self._tokens.items() if each[0] is not life}
        self._persist(step, life)
        if life.request.entanglement_sequence:
            step.tell(SequenceDropped(request=request_id))
        elif life.version > 0:
            step.tell(PlanEnded(request=request_id, version=life.version))

    def _persist(self, step: Step, life: Life) -> None:
        token = step.operation()
        self._tokens[token] = (life, life.record)
        step.order(Persist(token=token, record=to_record(life.record)))

    def _being_written(self, life: Life) -> bool:
        return any(life is other for other, _ in self._tokens.values())

    def _on_persisted(self, step: Step, event: Persisted) -> None:
        """What is durable is told: the word about its admission, and its end."""
        life, record = self._tokens.pop(event.token, (None, None))
        if life is None or record is None:
            return
        if record.admission not in ("pending", life.told):
            life.told = record.admission
            reason = "" if record.admission == "accepted" else life.failure
            step.order(admission_report(life.request.request_id, record.admission, reason, record.offer))
        if life.state == "recording":
            self._move(life, "recorded")
            self.plan(step, life)
        elif record.outcome is not None:
            step.tell(words.outcome(record))

    # ---- notifications

    def _notify_progress(self, step: Step, life: Life) -> None:
        life.notified_ns = step.now_ns
        life.notified_count = self.delivered(life.request.request_id)
        step.tell(words.progress(life.request.request_id, life.notified_count))

    def _move(self, life: Life, happened: str) -> None:
        life.state = self.transitions.after(life.state, happened)
