"""The shared queue of a link: both ends hold the same CREATEs under the same numbers (algorithms.md 10.2).

Owns the items of one end, their numbers, and the words by which they come and go. Side 0 is the master: it
gives the numbers, first come first numbered, and decides whether an item ended well or ran out of time.
Refuses pairs and answers to users, which belong to the owner (creates.py), and the repetition of removals
(removals.py).

An item is placed at an end once that end knows that both have it. A CREATE is told to the other end until it
answers, a bounded number of times; the end of an item is told until it is heard. Whatever is lost, doubled or
overtaken on the way, an item never comes back after its end: names of ended items are remembered, and an
answer about an item that is gone is answered with its removal. Neither end may fill more than half of the
queue, so that a busy neighbour cannot shut out the other.

Deadlines travel as durations. Side 0 decides shortly before the deadline, so that its verdict reaches side 1
in time; side 1 decides for itself only when no verdict came. When the channel is dead just then, the two ends
may end one item differently, which no protocol can exclude.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, Protocol

from bellwire.core.errors import PeerViolation
from bellwire.core.ids import NodeId, RequestId, run_number
from bellwire.core.link_messages import (
    QueueAdd,
    QueueAnswer,
    QueueRemove,
    QueueRemoved,
)
from bellwire.core.link_words import LinkCreate, LinkErrorCode, LinkItem, item_name
from bellwire.core.machine import Step
from bellwire.link_layer.feasibility import Refusal
from bellwire.link_layer.ground import Ground
from bellwire.link_layer.removals import Removals
from bellwire.link_layer.uses import LinkHandler

ADD_TRIES_MAX: Final = 6
"""A CREATE is told to the other end so often; then it has failed with NOTIME."""

ENDED_KEPT: Final = 1024
"""Names of ended items that are remembered against late copies."""

VERDICT_DELAYS: Final = 4
"""Side 0 decides this many one-way delays before the deadline, but never before 3/4 of the time is over."""

How = Literal["done", "cancelled", "timeout"]


class Item:
    """A CREATE in the queue of this end."""

    __slots__ = (
        "acknowledged",
        "asked",
        "deadline_ns",
        "decide_ns",
        "here",
        "name",
        "number",
        "origin",
        "placed",
        "repeat_ns",
        "ticket",
        "tries",
    )

    def __init__(self, word: LinkItem, *, here: bool, deadline_ns: int, decide_ns: int) -> None:
        self.name: RequestId = word.request
        self.origin = word.origin
        self.asked: LinkCreate = word.asked
        self.ticket = word.ticket
        self.number = word.number
        self.here = here  # this end is the origin
        self.placed = False  # this end knows that both have the item
        self.acknowledged = False  # the user was told so
        self.deadline_ns = deadline_ns
        self.decide_ns = decide_ns
        self.tries = 0
        self.repeat_ns: int | None = None


class Ending(NamedTuple):
    """How an item ended."""

    code: LinkErrorCode | None  # None: well
    where: Literal["local", "remote"]
    reason: str


class QueueOwner(Protocol):
    """Who serves the items."""

    def refusal(self, asked: LinkCreate) -> Refusal | None:
        """Why this end takes no part in a CREATE of the other end, beside a full queue."""
        ...

    def placed(self, step: Step, item: Item) -> None:
        """Both ends have the item."""
        ...

    def displaced(self, step: Step, item: Item) -> None:
        """The other end forgot the item, of which nothing was told yet; it is asked again."""
        ...

    def ended(self, step: Step, item: Item, ending: Ending) -> None:
        """The item is gone."""
        ...

    def satisfied(self, item: Item) -> bool:
        """True when the item has all that it asked for until now (a rate always has)."""
        ...

    def told(self, item: Item) -> int:
        """Pairs that were ever told with OK."""
        ...


class SharedQueue:
    """The queue of a link as one end has it."""

    def __init__(self, ground: Ground, owner: QueueOwner) -> None:
        self.items: dict[RequestId, Item] = {}
        self._link = ground.link
        self._side = ground.side
        self._node = ground.node
        self._peer = ground.peer
        self._timers = ground.timers
        self._delay_ns = ground.delay_ns
        self._owner = owner
        self._counters = ground.counters
        ground.begin_counters("creates", "creates_refused")
        self.removals = Removals(ground)
        self._ended: OrderedDict[RequestId, None] = OrderedDict()
        self._tickets = 0
        self._numbers = 0

    # ---- own CREATEs

    def full(self, origin: NodeId) -> str | None:
        """Why no further item of an origin has room; None when it has."""
        half = self._link.creates_max // 2
        held = sum(item.origin == origin for item in self.items.values())
        if held < half:
            return None
        return f"{origin} has {held} of {half} places in the queue of {self._link.link}: wait for one to end"

    def uses(self, create: int) -> bool:
        """True while a CREATE of this node has this id."""
        return any(item.here and item.asked.create == create for item in self.items.values())

    def submit(self, step: Step, asked: LinkCreate) -> None:
        """Put a CREATE of this node into the queue and tell the other end of it."""
        self._tickets += 1
        within_ns = self._timers.request_ns if asked.within_ns is None else asked.within_ns
        word = LinkItem(
            origin=self._node,
            asked=asked,
            ticket=run_number(step.incarnation, self._tickets),
            queue=asked.priority,
            number=self._next_number(step),
            left_ns=within_ns,
        )
        self._ask(step, self._keep(step, word, within_ns, here=True))

    def _next_number(self, step: Step) -> int | None:
        """The next place; None at side 1, which asks for one."""
        if self._side == 1:
            return None
        self._numbers += 1
        return run_number(step.incarnation, self._numbers)

    def _keep(self, step: Step, word: LinkItem, left_ns: int, *, here: bool) -> Item:
        margin_ns = min(left_ns // 4, VERDICT_DELAYS * self._delay_ns) if self._side == 0 else 0
        deadline_ns = step.now_ns + left_ns
        item = Item(word, here=here, deadline_ns=deadline_ns, decide_ns=deadline_ns - margin_ns)
        self.items[item.name] = item
        self._counters["creates"] += 1
        return item

    def _ask(self, step: Step, item: Item) -> None:
        item.tries += 1
        item.repeat_ns = step.now_ns + self._timers.answer_ns
        word = LinkItem(
            origin=item.origin,
            asked=item.asked,
            ticket=item.ticket,
            queue=item.asked.priority,
            number=item.number,
            left_ns=max(0, item.deadline_ns - step.now_ns),
        )
        step.send(self._peer, QueueAdd(link=self._link.link, item=word))

    # ---- coming

    def on_messages(self) -> Mapping[type, LinkHandler]:
        return {
            QueueAdd: self._added_there,
            QueueAnswer: self._answered,
            QueueRemove: self._removed_there,
            QueueRemoved: self._removal_heard,
        }

    def _added_there(self, step: Step, source: NodeId, message: QueueAdd) -> None:
        """The other end has a CREATE of its own. Raises PeerViolation for one that is not its to tell."""
        word = message.item
        if (
            word.origin != self._peer
            or word.asked.partner != self._node
            or (word.number is None) != (self._side == 0)
        ):
            raise PeerViolation(
                self._peer,
                f"{message.link}: a CREATE of {word.origin} with {word.asked.partner}, place {word.number}",
            )
        if word.request in self._ended:
            return  # an old copy, or the other end is about to hear of the removal
        item = self.items.get(word.request)
        if item is not None:
            self._answer(step, item)
            return
        full = self.full(word.origin)
        refusal = self._owner.refusal(word.asked) or (None if full is None else Refusal("NORES", full))
        if refusal is not None:
            self._counters["creates_refused"] += 1
            self._say(step, word.origin, word.asked, word.ticket, None, refusal)
            return
        item = self._keep(step, word, max(0, word.left_ns - self._delay_ns), here=False)
        if self._side == 0:
            item.number = self._next_number(step)
        item.placed = True
        self._answer(step, item)
        self._owner.placed(step, item)

    def _answer(self, step: Step, item: Item) -> None:
        self._say(step, item.origin, item.asked, item.ticket, item.number, None)

    def _say(
        self,
        step: Step,
        origin: NodeId,
        asked: LinkCreate,
        ticket: int,
        number: int | None,
        refusal: Refusal | None,
    ) -> None:
        answer = QueueAnswer(
            link=self._link.link,
            origin=origin,
            create=asked.create,
            ticket=ticket,
            accepted=refusal is None,
            queue=asked.priority,
            number=number,
            code=None if refusal is None else refusal.code,
            reason="" if refusal is None else refusal.reason,
        )
        step.send(self._peer, answer)

    def _answered(self, step: Step, source: NodeId, answer: QueueAnswer) -> None:
        """The other end holds our item, or refuses it."""
        if answer.origin != self._node or answer.accepted != (answer.number is not None):
            raise PeerViolation(self._peer, f"{answer.link}: answers about a CREATE of {answer.origin}")
        name = item_name(answer.origin, answer.create, answer.ticket)
        item = self.items.get(name)
        if item is None:
            if answer.accepted and name not in self.removals.leaving:
                self._leave(step, answer.origin, answer.create, answer.ticket, "cancelled", 0)
        elif not item.placed and answer.accepted:
            item.placed = True
            item.repeat_ns = None
            item.number = answer.number
            self._owner.placed(step, item)
        elif not item.placed:
            self._forget(item.name)
            self._owner.ended(step, item, Ending(answer.code or "OTHER", "remote", answer.reason))

    # ---- going

    def end(self, step: Step, item: Item, how: How, ending: Ending) -> None:
        """End an item here and tell the other end."""
        self._forget(item.name)
        pairs = self._owner.told(item)
        self._leave(step, item.origin, item.asked.create, item.ticket, how, pairs)
        self._owner.ended(step, item, ending)

    def _forget(self, name: RequestId) -> None:
        self.items.pop(name, None)
        self._ended[name] = None
        if len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)

    def _leave(self, step: Step, origin: NodeId, create: int, ticket: int, how: How, pairs: int) -> None:
        word = QueueRemove(
            link=self._link.link, origin=origin, create=create, ticket=ticket, ended=how, pairs=pairs
        )
        self.removals.tell(step, word)

    def _removed_there(self, step: Step, source: NodeId, message: QueueRemove) -> None:
        step.send(
            self._peer,
            QueueRemoved(
                link=message.link, origin=message.origin, create=message.create, ticket=message.ticket
            ),
        )
        name = item_name(message.origin, message.create, message.ticket)
        item = self.items.get(name)
        self._forget(name)
        if item is None:
            return
        if message.ended == "done":
            ending = Ending(None, "remote", "")
        elif message.ended == "timeout":
            ending = Ending("TIMEOUT", "remote", "the time allowed is over")
        else:
            ending = Ending("OTHER", "remote", f"{self._peer} withdrew it")
        self._owner.ended(step, item, ending)

    def _removal_heard(self, step: Step, source: NodeId, message: QueueRemoved) -> None:
        self.removals.heard(item_name(message.origin, message.create, message.ticket))

    def peer_restarted(self, step: Step) -> None:
        """The other end forgot everything: what it asked for has ended, what we asked for is asked again
        unless pairs of it were told."""
        self.removals.clear()
        for item in list(self.items.values()):
            if item.here and not self._owner.told(item):
                item.placed = False
                item.tries = 0
                if self._side == 1:
                    item.number = None
                self._owner.displaced(step, item)
                self._ask(step, item)
            else:
                self._forget(item.name)
                self._owner.ended(step, item, Ending("OTHER", "remote", f"{self._peer} restarted"))

    # ---- time

    def deadline_ns(self) -> int | None:
        """The next word to repeat, or verdict to give."""
        if not self.items:
            return self.removals.deadline_ns()
        earliest = [item.decide_ns for item in self.items.values()]
        earliest += [item.repeat_ns for item in self.items.values() if item.repeat_ns is not None]
        removal_ns = self.removals.deadline_ns()
        if removal_ns is not None:
            earliest.append(removal_ns)
        return min(earliest, default=None)

    def on_deadline(self, step: Step) -> None:
        """Do what is due."""
        now_ns = step.now_ns
        self.removals.on_deadline(step)
        for item in list(self.items.values()):
            if item.decide_ns <= now_ns:
                self._decide(step, item)
            elif item.repeat_ns is not None and item.repeat_ns <= now_ns:
                if item.tries < ADD_TRIES_MAX:
                    self._ask(step, item)
                else:
                    tried_ns = ADD_TRIES_MAX * self._timers.answer_ns
                    reason = f"{self._peer} did not answer {ADD_TRIES_MAX} times in {tried_ns} ns"
                    self.end(step, item, "cancelled", Ending("NOTIME", "remote", reason))

    def _decide(self, step: Step, item: Item) -> None:
        """The time of an item is over."""
        if not item.placed:
            reason = f"{self._peer} did not answer in the time allowed"
            self.end(step, item, "timeout", Ending("NOTIME", "remote", reason))
        elif self._owner.satisfied(item):
            self.end(step, item, "done", Ending(None, "local", ""))
        else:
            reason = f"{self._owner.told(item)} pairs were told in the time allowed"
            self.end(step, item, "timeout", Ending("TIMEOUT", "local", reason))
