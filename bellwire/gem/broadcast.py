"""The paper's BroadcastProtocol at one node: own facts, told to whom they concern (stack paper, appendix G).

Records what happened to own qubits, publishes it once a step, wakes the owners of far ends, and answers who
missed something. Owns the GEM's words about own facts. Refuses the meaning of facts (`fold.py`), whom they
concern (`publishing.py`) and choices about qubits.
"""

from collections.abc import Mapping

from bellwire.core.errors import LocalMisuse
from bellwire.core.events import Received, Started
from bellwire.core.facts import Born, Claimed, Fact, Fused, Released, Swapped, Verdict
from bellwire.core.ids import End, NodeId
from bellwire.core.machine import Handler, Step
from bellwire.core.messages import (
    EndNews,
    FactsWanted,
    GroupNews,
)
from bellwire.core.notices import (
    EndChanged,
    EndDied,
    PlanInstalled,
    PlanRemoved,
    UpdatePair,
)
from bellwire.core.settings import NetworkSettings
from bellwire.gem.awaited import HalvesAwaited
from bellwire.gem.news import Forwarding
from bellwire.gem.publishing import Publishing, Wake
from bellwire.gem.replica import Replica

CHUNKS_PER_ANSWER = 8
"""Batches sent for one FactsWanted; the closing Watermark lets the asker ask for the rest."""


class Broadcast:
    """The paper's BroadcastProtocol: own facts, one Publish a step, and word to the owners of far ends."""

    def __init__(
        self,
        settings: NetworkSettings,
        node: NodeId,
        replica: Replica,
        forwarding: Forwarding,
        publishing: Publishing,
        *,
        digests: bool,
    ) -> None:
        self._node = node
        self._replica = replica
        self._forwarding = forwarding
        self._publishing = publishing
        self._digests = digests
        self._interval_ns = settings.timers.answer_ns
        self._facts: list[Fact] = []  # authored in this step
        self._first = 0  # number of the first of them
        self._woken: list[Wake] = []  # who gets word of facts of this step
        self._spoken_ns: int | None = None  # when this stream last said how far it goes; None: not started
        self._awaited: HalvesAwaited | None = None
        if publishing.selective:
            self._awaited = HalvesAwaited(replica, settings.timers.answer_ns)

    def on_events(self) -> Mapping[type, Handler]:
        """Started opens the stream."""
        return {Started: self._on_started}

    def on_messages(self) -> Mapping[type, Handler]:
        """FactsWanted asks for facts that were missed."""
        return {FactsWanted: self._on_facts_wanted}

    def on_notices(self) -> Mapping[type, Handler]:
        """UpdatePair is the paper's first GEM interface; plans say whom facts concern."""
        return {
            UpdatePair: self._on_update_pair,
            PlanInstalled: self._on_plan_installed,
            PlanRemoved: self._on_plan_removed,
        }

    def gives(self) -> frozenset[type]:
        """Word about own ends that an own fact touched, such as a half born into a dead chain."""
        return frozenset({EndChanged, EndDied})

    def deadline_ns(self) -> int | None:
        """The next digest, or look for halves that did not come; None when nothing is due."""
        digest_ns = self._digest_ns()
        look_ns = None if self._awaited is None else self._awaited.deadline_ns()
        return digest_ns if look_ns is None or (digest_ns is not None and digest_ns < look_ns) else look_ns

    def _digest_ns(self) -> int | None:
        if not self._digests or self._spoken_ns is None:
            return None
        return self._spoken_ns + self._interval_ns

    def on_deadline(self, step: Step) -> None:
        """Idle: tell every peer how far this stream goes, so that a lost tail is noticed."""
        if self._awaited is not None:
            self._awaited.on_deadline(step)
        due = self._digest_ns()
        if due is None or step.now_ns < due:
            return
        self._spoken_ns = step.now_ns
        for peer in self._publishing.listeners(step.now_ns):
            step.send(peer, self._publishing.watermark(peer), "digest")

    def flush(self, step: Step) -> None:
        """End of a step: one Publish for all facts of the step, then word to the owners of far ends."""
        self._replica.step_over()
        facts = self._facts
        self._publishing.catch_up(step, self._first - 1 if facts else self._replica.own.last)
        if not facts:
            return
        woken = self._woken
        self._publishing.publish(step, self._first, facts, woken)
        self._facts = []
        if woken:
            self._send_word(step)
        if self._spoken_ns is None or not self._publishing.selective:
            self._spoken_ns = step.now_ns  # else it was said to some only

    def _send_word(self, step: Step) -> None:
        incarnation = self._replica.own.incarnation
        for wake in self._woken:
            known = self._publishing.number(wake.owner, wake.number)
            news: EndNews | GroupNews = (
                GroupNews(incarnation=incarnation, number=known)
                if wake.end is None
                else EndNews(end=wake.end, author=self._node, incarnation=incarnation, number=known)
            )
            step.send(wake.owner, news, "outcome")
        self._woken = []

    def _on_started(self, step: Step, event: Started) -> None:
        began = self._replica.begin(event.incarnation, step.now_ns)
        self._publishing.begin(began)
        self._record(step, began)

    def _on_plan_installed(self, step: Step, notice: PlanInstalled) -> None:
        self._publishing.install(notice.plan, step.now_ns)

    def _on_plan_removed(self, step: Step, notice: PlanRemoved) -> None:
        self._publishing.remove(notice.request, step.now_ns)

    def _on_update_pair(self, step: Step, notice: UpdatePair) -> None:
        fact = notice.fact
        replica = self._replica
        if notice.audience or type(fact) is Fused:
            self._tell_group(step, notice, ())
        elif group := self._group_of(step, fact):
            self._tell_group(step, notice, group)
        elif type(fact) is Swapped:
            replica.refresh(step.now_ns)
            left = replica.fold.concerned(fact.left)
            right = replica.fold.concerned(fact.right)
            number = replica.author(fact)
            self._forwarding.swapped(fact, left, right)
            self._wake(left, number)
            self._wake(right, number)
        elif type(fact) is Released and fact.reason != "delivered":
            replica.refresh(step.now_ns)
            far = replica.fold.concerned(fact.end, release=True)
            self._wake(far, replica.author(fact))
        elif type(fact) is Verdict or type(fact) is Claimed:
            replica.refresh(step.now_ns)
            far = replica.fold.concerned(fact.end)
            self._wake(far, replica.author(fact))
        else:
            replica.author(fact)
        self._record(step, fact)

    def _group_of(self, step: Step, fact: Fact) -> tuple[NodeId, ...]:
        """Whom a swap or a loss within a group of three and more concerns."""
        fold = self._replica.fold
        if not fold.grouped:
            return ()
        self._replica.refresh(step.now_ns)
        if type(fact) is Swapped:
            return fold.audience(fact.left, fact.right)
        return fold.audience(fact.end) if type(fact) is Released and fact.reason != "delivered" else ()

    def _tell_group(self, step: Step, notice: UpdatePair, group: tuple[NodeId, ...]) -> None:
        """A fact that concerns more than two: all who may have a qubit of the group look."""
        replica = self._replica
        replica.refresh(step.now_ns)
        concerned = dict.fromkeys((*notice.audience, *group))
        number = replica.author(notice.fact)
        self._woken += [Wake(number, owner, None) for owner in concerned if owner != self._node]

    def _record(self, step: Step, fact: Fact) -> None:
        if not self._facts:
            self._first = self._replica.own.last
        self._facts.append(fact)
        if self._awaited is not None and type(fact) is Born:
            self._awaited.born(step.now_ns)
        replica = self._replica
        replica.now_ns = step.now_ns  # what is left to tell is due now
        if replica.touched:
            replica.tell(step)

    def _wake(self, far: tuple[End, NodeId] | None, number: int) -> None:
        if far is None or far[1] == self._node:
            return  # nobody holds it any more, or this node was told by its own fold
        self._woken.append(Wake(number, far[1], far[0]))

    def _on_facts_wanted(self, step: Step, event: Received) -> None:
        wanted = event.message
        if not isinstance(wanted, FactsWanted):
            raise LocalMisuse(f"{type(wanted).__name__} was routed to the handler of FactsWanted")
        own = self._replica.own
        if own.incarnation == 0:
            return  # not started: the first Publish will say everything
        self._publishing.asked(step, event.source, wanted.about)
        if wanted.incarnation == own.incarnation:
            for sent, batch in enumerate(self._publishing.chunks(event.source, wanted.first)):
                if sent == CHUNKS_PER_ANSWER:
                    break
                step.send(event.source, batch, "facts")
        # Always last: it tells an asker of a dead incarnation whom it speaks to, and others whether to go on.
        step.send(event.source, self._publishing.watermark(event.source), "facts")
