"""To whom an author's facts go: to every replica, or to the nodes that they concern.

Owns the orders to publish, answers to who missed something, and digests. Refuses what is written and when
(`protocols.py`).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from bellwire.core.effects import Publish, Recipient
from bellwire.core.facts import Born, Fact, Sacrificed, ends_ended, ends_named
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.machine import Step
from bellwire.core.messages import FactBatch, Watermark
from bellwire.core.plans import NodePlan
from bellwire.core.settings import NetworkSettings
from bellwire.gem.interests import Interests
from bellwire.gem.reader_streams import ReaderStreams
from bellwire.gem.streams import FACTS_KEPT, OwnStream


class Wake(NamedTuple):
    """That somebody is to look at a fact."""

    number: int  # of the fact, as its author counts
    owner: NodeId  # of the far end, or of a qubit of the group
    end: End | None  # which that owner has, None: one of the group


QUIET_ANSWERS: Final = 50
"""A reader who serves nothing with the author any more is sent digests for so many intervals, then none."""


class Publishing(Protocol):
    """One author's way to its readers."""

    selective: bool  # not everybody hears everything

    def begin(self, began: Fact) -> None:
        """The first fact of a new incarnation."""
        ...

    def publish(self, step: Step, first: int, facts: Sequence[Fact], woken: Sequence[Wake]) -> None:
        """Order a step's facts to be sent."""
        ...

    def asked(self, step: Step, reader: NodeId, about: End | None) -> None:
        """Somebody asks for facts, perhaps for those about an own end."""
        ...

    def number(self, reader: NodeId, number: int) -> int:
        """The number by which a reader knows an own fact that was sent to it."""
        ...

    def chunks(self, reader: NodeId, first: int) -> Iterator[FactBatch]:
        """What a reader missed, from its number on."""
        ...

    def watermark(self, reader: NodeId) -> Watermark:
        """How far the stream of a reader goes."""
        ...

    def listeners(self, now_ns: int) -> Iterable[NodeId]:
        """Who is sent digests now."""
        ...

    def hears(self, peer: NodeId) -> bool:
        """True when facts of this peer may concern this node although none has come yet."""
        ...

    def onward(self, number: int) -> int:
        """The number by which word of another author's fact is passed on; 0 where others have their own."""
        ...

    def install(self, plan: NodePlan, now_ns: int) -> None:
        """A plan is in force here."""
        ...

    def remove(self, request: RequestId, now_ns: int) -> None:
        """A plan is no longer in force here."""
        ...

    def catch_up(self, step: Step, through: int) -> None:
        """Order facts up to this number to be sent to whom they concern since lately."""
        ...


class ToEverybody:
    """Every replica hears every fact, by the author's own numbers."""

    selective = False

    def __init__(self, settings: NetworkSettings, node: NodeId, own: OwnStream) -> None:
        self._own = own
        self._settings = settings
        self._peers = tuple(
            name for name, other in settings.nodes.items() if name != node and other.role != "station"
        )

    def begin(self, began: Fact) -> None:
        pass

    def publish(self, step: Step, first: int, facts: Sequence[Fact], woken: Sequence[Wake]) -> None:
        own = self._own
        batch = FactBatch(incarnation=own.incarnation, first=first, facts=tuple(facts), base=own.base)
        step.order(Publish(batch=batch, urgent_to=tuple(dict.fromkeys(wake.owner for wake in woken))))

    def asked(self, step: Step, reader: NodeId, about: End | None) -> None:
        pass

    def number(self, reader: NodeId, number: int) -> int:
        return number

    def chunks(self, reader: NodeId, first: int) -> Iterator[FactBatch]:
        return self._own.chunks(first)

    def watermark(self, reader: NodeId) -> Watermark:
        return Watermark(incarnation=self._own.incarnation, last=self._own.last)

    def listeners(self, now_ns: int) -> Iterable[NodeId]:
        return self._peers

    def hears(self, peer: NodeId) -> bool:
        return self._settings.nodes[peer].memory is not None  # a station owns no qubits and has no facts

    def onward(self, number: int) -> int:
        return number

    def install(self, plan: NodePlan, now_ns: int) -> None:
        pass

    def remove(self, request: RequestId, now_ns: int) -> None:
        pass

    def catch_up(self, step: Step, through: int) -> None:
        pass


class ToThoseConcerned:
    """A fact is sent to the nodes that serve its request; each of them counts what it is sent."""

    selective = True

    def __init__(self, settings: NetworkSettings, node: NodeId, own: OwnStream) -> None:
        self._own = own
        self._interests = Interests(settings, node)
        self._readers = ReaderStreams(own)
        self._began: Fact | None = None
        self._born: dict[End, int] = {}  # number of the birth of every own end whose birth is remembered
        self._interval_ns = settings.timers.answer_ns
        self._age_max_ns = settings.timers.age_max_ns
        self._behind: dict[tuple[RequestId, NodeId], None] = {}  # who serves lately what others served before
        self.remove = self._interests.remove
        self.hears = self._interests.serves_with

    def begin(self, began: Fact) -> None:
        self._began = began
        self._readers.clear()
        self._born.clear()

    def publish(self, step: Step, first: int, facts: Sequence[Fact], woken: Sequence[Wake]) -> None:
        """Facts that follow one another and concern the same nodes go together."""
        runs: list[tuple[tuple[NodeId, ...], int, list[Fact]]] = []
        for number, fact in enumerate(facts, first):
            if type(fact) is Born:
                self._born[fact.end] = number
            concerned = self._interests.concerned(fact, self._readers)
            if woken:
                more = (wake.owner for wake in woken if wake.number == number)
                concerned = tuple(dict.fromkeys((*concerned, *more)))
            if runs and runs[-1][0] == concerned:
                runs[-1][2].append(fact)
            else:
                runs.append((concerned, number, [fact]))
        if len(self._born) > FACTS_KEPT:
            oldest = self._own.base
            self._born = {end: number for end, number in self._born.items() if number >= oldest}
        for concerned, start, some in runs:
            if start > 1:
                self._meet(step, concerned)
            self._order(step, concerned, range(start, start + len(some)), some, woken)

    def install(self, plan: NodePlan, now_ns: int) -> None:
        self._behind |= dict.fromkeys(self._interests.install(plan, now_ns))

    def catch_up(self, step: Step, through: int) -> None:
        """Pairs that may live are older than the plan by which a node serves their request."""
        behind, self._behind = self._behind, {}
        for request, node in behind:
            since_ns = step.now_ns - self._age_max_ns
            self._tell_missed(step, node, *self._own.about(request, since_ns, through))

    def _tell_missed(self, step: Step, reader: NodeId, numbers: Sequence[int], facts: Sequence[Fact]) -> None:
        """What was not sent yet, but for ends of which the reader has heard that they have ended: in its
        ledger nothing is left of them, and a birth that came now would be of an end that never ends."""
        sent = frozenset(self._readers.sent(reader))
        ended = {
            end
            for number, fact in zip(numbers, facts, strict=True)
            if number in sent
            for end in ends_ended(fact)
        }
        missed: list[int] = []
        for place in reversed(range(len(numbers))):
            fact = facts[place]
            if numbers[place] in sent:
                continue
            # A sacrificed pair has ended whatever became of the one that it was spent for.
            about = (fact.end,) if isinstance(fact, Sacrificed) else ends_named(fact)
            if ended.isdisjoint(about):
                missed.append(place)
            else:
                ended.update(ends_ended(fact))
        missed.reverse()
        if missed:
            self._meet(step, (reader,))
            chosen = [numbers[place] for place in missed]
            self._order(step, (reader,), chosen, [facts[place] for place in missed], again=True)

    def _order(
        self,
        step: Step,
        concerned: Sequence[NodeId],
        numbers: Sequence[int],
        facts: Sequence[Fact],
        woken: Sequence[Wake] = (),
        *,
        again: bool = False,
    ) -> None:
        own = self._own
        audience: list[Recipient] = []
        for name in concerned:
            number, base = self._readers.append(name, numbers, step.now_ns)
            audience.append(Recipient(node=name, first=number, base=base))
        batch = FactBatch(incarnation=own.incarnation, first=numbers[0], facts=tuple(facts), base=own.base)
        urgent = tuple(dict.fromkeys(wake.owner for wake in woken if wake.number in numbers))
        step.order(Publish(batch=batch, urgent_to=urgent, audience=tuple(audience), again=again))

    def number(self, reader: NodeId, number: int) -> int:
        return self._readers.number(reader, number)

    def onward(self, number: int) -> int:
        return 0

    def chunks(self, reader: NodeId, first: int) -> Iterator[FactBatch]:
        return self._readers.chunks(reader, first)

    def watermark(self, reader: NodeId) -> Watermark:
        return Watermark(incarnation=self._own.incarnation, last=self._readers.last(reader))

    def asked(self, step: Step, reader: NodeId, about: End | None) -> None:
        """Who asks may hold something of an older incarnation: it learns that this one began, if no more."""
        self._meet(step, (reader,))
        if about is not None and about in self._born:
            self._interests.asked_about(about, reader)
            self._tell_missed(step, reader, *self._own.about_end(about, self._born, self._own.last))

    def _meet(self, step: Step, readers: Sequence[NodeId]) -> None:
        newcomers = [name for name in readers if name not in self._readers]
        if newcomers:
            assert self._began is not None
            self._order(step, newcomers, (1,), (self._began,), again=True)

    def listeners(self, now_ns: int) -> Iterable[NodeId]:
        """Those who were sent nothing for an interval."""
        self._readers.forget()
        silent_ns = {name: now_ns - self._readers.told_ns(name) for name in self._readers}
        return [
            name
            for name, for_ns in silent_ns.items()
            if for_ns >= self._interval_ns
            and (for_ns < QUIET_ANSWERS * self._interval_ns or self._interests.serves_with(name))
        ]
