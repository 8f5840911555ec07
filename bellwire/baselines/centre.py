"""Centralised GEM: one node has the only ledger and is asked before each choice of a swap (algorithms 6.2).

Owns the questions of a node, the queue of the centre, and where the centre lies. Refuses choices: policies
are those of the swapping layer, over a snapshot instead of a replica.

A question takes the way to the centre, its turn there, and the way back. The answer is what the centre knew
when it spoke. A node that has heard of a change since it asked drops the answer and asks anew; a choice is
made among ends that are still held when the answer comes, so that a stale answer cannot swap what is gone.
Delivery, and clearing away what is dead, go by word that owners of ends send each other, as with replicas.
"""

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from bellwire.core.baseline_messages import LedgerAsked, LedgerTold, ToldEnd
from bellwire.core.bell import Walsh, decay
from bellwire.core.errors import ConfigError, PeerViolation
from bellwire.core.events import Received
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import CENTRAL, ViewReady, ViewWanted
from bellwire.core.settings import NetworkSettings
from bellwire.core.view import Chain, Entanglement, LedgerView, SlotBook

QUEUE_MAX: Final = 4_096
"""Questions that wait at the centre. One more is dropped and counted; its asker asks again."""

OVERTAKEN_MAX: Final = 8
"""Answers in a row that news overtook. The next one is used although it is stale."""

PURPOSE: Final = "centre"


def with_centre(
    network: NetworkSettings, centre: NodeId | None = None, service_ns: int = 0
) -> NetworkSettings:
    """The network with a central ledger.

    centre: None for the node with the least sum of delays to all others.

    Raises:
        ConfigError: the named node does not exist or has no memory.
    """
    able = [name for name, node in network.nodes.items() if node.memory is not None]
    if centre is None:
        centre = min(able, key=lambda name: (sum(network.delay_ns(name, other) for other in able), name))
    elif centre not in able:
        raise ConfigError(f'"{centre}" cannot hold the ledger: name a node with a memory, not a station')
    return msgspec.structs.replace(network, centre=centre, centre_service_ns=service_ns)


@dataclass(slots=True)
class ToldChain:
    """Satisfies core.view.Chain."""

    frame: int
    dead: bool
    taken: bool
    oldest_ns: int
    request: RequestId | None
    tree: int
    hops: int
    claimed_ns: int


class Snapshot:
    """The centre's answer as a view; satisfies core.view.LedgerView.

    What the answer does not tell is taken from the own replica: ends whose half was heralded here and which
    the centre does not know yet, groups of three and more, and rounds of purification.
    """

    def __init__(self, told: LedgerTold, own: LedgerView, network: NetworkSettings) -> None:
        self._as_of_ns = told.as_of_ns
        self._told = {one.end: one for one in told.ends}
        self._own = own
        self._network = network

    def far_end(self, end: End) -> End | None:
        told = self._told.get(end)
        return self._own.far_end(end) if told is None else told.far

    def far_owner(self, end: End) -> NodeId | None:
        far = self.far_end(end)
        return None if far is None else self._network.owner(far.link, far.side)

    def chain(self, end: End) -> Chain | None:
        told = self._told.get(end)
        if told is None:
            return self._own.chain(end)
        return ToldChain(
            told.frame,
            told.dead,
            told.taken,
            told.oldest_ns,
            told.request,
            told.tree,
            told.hops,
            told.claimed_ns,
        )

    def complete(self, end: End) -> bool:
        told = self._told.get(end)
        return self._own.complete(end) if told is None else told.complete

    def state(self, end: End, now_ns: int) -> Walsh:
        """Decayed since the answer at the rates of the two owners' memories."""
        told = self._told.get(end)
        if told is None:
            return self._own.state(end, now_ns)
        state = Walsh(told.signs, told.cost)
        for half in (end, told.far):
            owner = None if half is None else self._network.owner(half.link, half.side)
            memory = None if owner is None else self._network.nodes[owner].memory
            if memory is not None:
                state = decay(state, memory.rates, max(0, now_ns - self._as_of_ns))
        return state

    def members(self, end: End) -> tuple[End, ...]:
        return self._own.members(end)

    def turned(self, end: End, other: End) -> int:
        return self._own.turned(end, other)

    def signs(self, end: End, centres: Collection[End]) -> dict[End, int]:
        return self._own.signs(end, centres)

    def rounds(self, end: End) -> int:
        return self._own.rounds(end)

    def judged(self, end: End, far: End) -> int:
        return self._own.judged(end, far)

    def available(self, now_ns: int) -> Iterator[Entanglement]:
        return self._own.available(now_ns)


class Wish(NamedTuple):
    """What a part of this node wants a view for."""

    purpose: str
    request: RequestId | None


@dataclass(slots=True)
class Question:
    """A wish whose answer is awaited."""

    number: int
    again_ns: int  # when it is asked again
    news: bool = False  # the same was wanted once more since it was asked
    overtaken: int = 0  # answers in a row


class Waiting(NamedTuple):
    """A question at the centre."""

    asker: NodeId
    asked: LedgerAsked
    done_ns: int  # when the centre has worked it off


class CentralLedger:
    """Part of every node with a memory; idle unless the network has a centre."""

    def __init__(self, network: NetworkSettings, node: NodeId, slots: SlotBook) -> None:
        self._network = network
        self._node = node
        self._slots = slots
        self._questions: dict[Wish, Question] = {}
        self._wishes: dict[int, Wish] = {}  # by the number of their question
        self._numbers = 0
        self._answers: deque[tuple[Wish, LedgerTold]] = deque()  # here, waiting for the own replica
        self._queue: deque[Waiting] = deque()
        self.counters: dict[str, int] = dict.fromkeys(
            ("asked", "answered", "overtaken", "repeated", "served", "refused"), 0
        )
        self.waited_ns = 0  # of all questions served here, without their service

    def on_events(self) -> Mapping[type, Handler]:
        return {}

    def on_messages(self) -> Mapping[type, Handler]:
        return {LedgerAsked: self._asked, LedgerTold: self._told}

    def on_notices(self) -> Mapping[type, Handler]:
        return {ViewWanted: self._wanted, ViewReady: self._view_ready}

    def gives(self) -> frozenset[type]:
        return frozenset({ViewWanted, ViewReady})

    # ---- the asker

    def _wanted(self, step: Step, notice: ViewWanted) -> None:
        if self._network.centre is None or not notice.purpose.startswith(CENTRAL):
            return
        wish = Wish(notice.purpose, notice.request)
        question = self._questions.get(wish)
        if question is not None:
            question.news = True
            return
        self._questions[wish] = question = Question(0, 0)
        self._ask(step, wish, question)

    def _ask(self, step: Step, wish: Wish, question: Question) -> None:
        centre = self._network.centre
        assert centre is not None
        self._numbers += 1
        self._wishes.pop(question.number, None)
        self._wishes[self._numbers] = wish
        question.number, question.news = self._numbers, False
        question.again_ns = step.now_ns + self._network.timers.answer_ns
        self.counters["asked"] += 1
        ends = tuple(
            slot.end
            for slot in self._slots.slots()
            if slot.end is not None and slot.state == "held" and slot.request == wish.request
        )
        asked = LedgerAsked(question=question.number, ends=ends)
        if centre == self._node:
            self._enter(step, self._node, asked)
        else:
            step.send(centre, asked, "outcome")

    def _told(self, step: Step, received: Received) -> None:
        told = received.message
        assert isinstance(told, LedgerTold)
        if received.source != self._network.centre:
            raise PeerViolation(
                received.source, f"answers for the ledger, which is kept at {self._network.centre}"
            )
        self._take(step, told)

    def _take(self, step: Step, told: LedgerTold) -> None:
        """An answer to a question that was asked again, or never, is dropped."""
        wish = self._wishes.get(told.question)
        question = None if wish is None else self._questions.get(wish)
        if wish is None or question is None:
            return
        if question.news and question.overtaken < OVERTAKEN_MAX:
            question.overtaken += 1
            self.counters["overtaken"] += 1
            self._ask(step, wish, question)
            return
        del self._wishes[told.question], self._questions[wish]
        self.counters["answered"] += 1
        self._answers.append((wish, told))
        step.tell(ViewWanted(purpose=PURPOSE, request=None))

    # ---- the centre

    def _asked(self, step: Step, received: Received) -> None:
        asked = received.message
        assert isinstance(asked, LedgerAsked)
        if self._network.centre != self._node:
            raise PeerViolation(
                received.source, f"asks {self._node} for the ledger, which is kept at {self._network.centre}"
            )
        self._enter(step, received.source, asked)

    def _enter(self, step: Step, asker: NodeId, asked: LedgerAsked) -> None:
        if len(self._queue) >= QUEUE_MAX:
            self.counters["refused"] += 1
            return
        begins_ns = max(step.now_ns, self._queue[-1].done_ns) if self._queue else step.now_ns
        self.waited_ns += begins_ns - step.now_ns
        self._queue.append(Waiting(asker, asked, begins_ns + self._network.centre_service_ns))

    def _serve(self, step: Step, view: LedgerView) -> None:
        while self._queue and self._queue[0].done_ns <= step.now_ns:
            asker, asked, _ = self._queue.popleft()
            self.counters["served"] += 1
            ends = tuple(told for end in asked.ends if (told := _told_of(view, end, step.now_ns)) is not None)
            answer = LedgerTold(question=asked.question, as_of_ns=step.now_ns, ends=ends)
            if asker == self._node:
                self._take(step, answer)
            else:
                step.send(asker, answer, "outcome")

    # ---- views and time

    def _view_ready(self, step: Step, notice: ViewReady) -> None:
        """The own replica: the ledger of the centre, and what an asker knows of its own halves."""
        if notice.purpose != PURPOSE:
            return
        while self._answers:
            wish, told = self._answers.popleft()
            view = Snapshot(told, notice.view, self._network)
            step.tell(
                ViewReady(
                    purpose=wish.purpose,
                    request=wish.request,
                    view=view,
                    as_of_ns=told.as_of_ns,
                    suspects=notice.suspects,
                )
            )
        self._serve(step, notice.view)

    def deadline_ns(self) -> int | None:
        if self._network.centre is None:
            return None
        due = [question.again_ns for question in self._questions.values()]
        if self._queue:
            due.append(self._queue[0].done_ns)
        return min(due, default=None)

    def on_deadline(self, step: Step) -> None:
        for wish, question in list(self._questions.items()):
            if question.again_ns <= step.now_ns:
                self.counters["repeated"] += 1
                self._ask(step, wish, question)
        if self._queue and self._queue[0].done_ns <= step.now_ns:
            step.tell(ViewWanted(purpose=PURPOSE, request=None))


def _told_of(view: LedgerView, end: End, now_ns: int) -> ToldEnd | None:
    chain = view.chain(end)
    if chain is None:
        return None
    state = view.state(end, now_ns)
    return ToldEnd(
        end=end,
        far=view.far_end(end),
        complete=view.complete(end),
        dead=chain.dead,
        taken=chain.taken,
        frame=chain.frame,
        oldest_ns=chain.oldest_ns,
        request=chain.request,
        tree=chain.tree,
        hops=chain.hops,
        signs=state.signs,
        cost=state.cost,
        claimed_ns=chain.claimed_ns,
    )
