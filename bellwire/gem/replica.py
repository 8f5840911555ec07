"""One node's replica of the GEM: streams in, fold, and which of the node's own ends were touched.

Owns the fold, the streams and the list of own ends whose holders are to be told. Refuses messages and effects
(`protocols.py`).
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from bellwire.core.errors import LocalMisuse, PeerViolation
from bellwire.core.facts import Began, Born, Corrected, Fact, ends_named
from bellwire.core.ids import End, LinkId, NodeId
from bellwire.core.machine import Step
from bellwire.core.notices import EndChanged, EndDied
from bellwire.core.settings import NetworkSettings
from bellwire.gem.fold import Fold
from bellwire.gem.ranges import fault_of
from bellwire.gem.streams import OwnStream, Streams, Watermarks

TOLD_PER_STEP = 6
"""Own ends told about in one step; the rest follow at once in steps of their own. One EndChanged may cost two
views and a release, and a step has room for 64 notices."""

FORGET_EVERY = 10_000
"""Facts folded between two looks for records beyond the horizon."""

HORIZON_AGES = 2
"""A half that never came is forgotten after this many compulsory maximum ages."""


class FactSource(Protocol):
    """Where a virtual host keeps all authors' logs; a replica pulls what it can see when it reads."""

    def visible(self, now_ns: int) -> Iterable[tuple[NodeId, int, int, tuple[Fact, ...]]]:
        """(author, incarnation, number of the first fact, facts) that became visible here by `now_ns`.

        Numbers that are left out belong to facts that do not concern this node; they never come.
        """
        ...


class Replica:
    """The fold of everything this node has heard, its own facts included."""

    def __init__(self, settings: NetworkSettings, node: NodeId, source: FactSource | None = None) -> None:
        self.node = node
        self.source = source
        links = settings.links
        self._links = links
        self._sides: dict[LinkId, int] = {
            name: links[name].nodes.index(node) for name in settings.nodes[node].links
        }
        self.fold = Fold(settings.owner)
        self.streams = Streams()
        self.own = OwnStream(remembering=source is None)
        self.touched: dict[End, None] = {}  # own ends whose holders are still to be told, in order
        self.told = 0  # in this step
        self._read_ns: int | None = None  # of the look at the source in this step; None: none yet
        self.now_ns = 0  # when this replica was last read or fed
        self._horizon_ns = HORIZON_AGES * settings.timers.age_max_ns
        self.applied = 0  # facts folded since the start, own ones included
        self._forget_at = FORGET_EVERY  # the count of applied facts at which spent records are looked for

    def owns(self, end: End) -> bool:
        """True for an end of this node's side of one of its links, whatever its state."""
        return self._sides.get(end.link) == end.side

    def refresh(self, now_ns: int) -> None:
        """Pull what the source shows by now; nothing to do when facts come as messages.

        Nothing is published while a step lasts, hence its first look shows all that later ones would.
        """
        self.now_ns = now_ns
        if self.source is None or self._read_ns == now_ns:
            return
        self._read_ns = now_ns
        streams = self.streams.authors
        fold, sides, touched = self.fold.apply, self._sides, self.touched
        for author, incarnation, first, facts in self.source.visible(now_ns):
            stream = streams.get(author)
            if (
                stream is None
                or stream.next > first
                or stream.incarnation != incarnation
                or stream.held
                or author == self.node
            ):
                if author != self.node:
                    self.take(author, incarnation, first, facts, first)
                continue
            # The next facts of a stream that concern this node, as they are but for restarts: folded at once.
            stream.next = first + len(facts)
            for fact in facts:
                for end in fold(author, incarnation, fact):
                    if sides.get(end[0]) == end[4]:
                        touched[end] = None
            self.applied += len(facts)
            if self.applied >= self._forget_at:
                self._forget()

    def step_over(self) -> None:
        """The step has ended: the next one may look at the source, and tell, anew."""
        self._read_ns = None
        self.told = 0

    def take(
        self, author: NodeId, incarnation: int, first: int, facts: Sequence[Fact], base: int = 1
    ) -> None:
        """Fold what is in order now."""
        ready = self.streams.offer(author, incarnation, first, facts, base)
        apply = self.fold.apply
        sides, touched = self._sides, self.touched
        for fact in ready:
            for end in apply(author, incarnation, fact):
                if sides.get(end.link) == end.side:
                    touched[end] = None
        self.applied += len(ready)
        if self.applied >= self._forget_at:
            self._forget()

    def author(self, fact: Fact) -> int:
        """Number and fold an own fact; returns its number.

        Raises:
            LocalMisuse: the fact is about an end of somebody else, or one that is not born or has ended.
        """
        sides = self._sides
        for end in ends_named(fact):
            if sides.get(end.link) != end.side:
                raise LocalMisuse(f"{self.node} wrote {type(fact).__name__} about {end}, not its own end")
        fold, touched = self.fold, self.touched
        refused = fold.refused
        for end in fold.apply(self.node, self.own.incarnation, fact):
            if sides.get(end.link) == end.side:
                touched[end] = None
        if fold.refused != refused:
            raise LocalMisuse(f"{self.node} wrote {fact}: an end is born once and ends once")
        if type(fact) is Born or type(fact) is Corrected:
            # Its holder wrote this and looks at the ledger anyway; only a death is news to it.
            chain = fold.chain(fact.end)
            if chain is not None and not chain.dead:
                touched.pop(fact.end, None)
        self.applied += 1
        if self.applied >= self._forget_at:
            self._forget()
        return self.own.add(fact)

    def begin(self, incarnation: int, at_ns: int) -> Fact:
        """Open the own stream with its first fact: everything older is gone."""
        self.own.begin(incarnation)
        began = Began(incarnation=incarnation, survivors=(), at_ns=at_ns)
        self.author(began)
        return began

    def check(self, author: NodeId, facts: Sequence[Fact]) -> None:
        """A peer may write only about its own ends, within the ranges of the words.

        Raises:
            PeerViolation: it did not.
        """
        for fact in facts:
            for end in ends_named(fact):
                link = self._links.get(end.link)
                if link is None or end.side not in (0, 1) or link.nodes[end.side] != author:
                    raise PeerViolation(author, f"{type(fact).__name__} about {end}, which it does not own")
            fault = fault_of(fact)
            if fault is not None:
                raise PeerViolation(author, f"{type(fact).__name__} {fault}")

    def tell(self, step: Step) -> None:
        """Tell the holders of touched own ends, at most TOLD_PER_STEP of them in one step."""
        touched = self.touched
        while touched and self.told < TOLD_PER_STEP:
            end = next(iter(touched))
            del touched[end]
            chain = self.fold.chain(end)
            if chain is not None:  # else it has ended meanwhile
                self.told += 1
                step.tell(EndDied(end=end) if chain.dead else EndChanged(end=end))

    def watermarks(self) -> Watermarks:
        """The name of the set of facts that this replica has folded."""
        marks = self.streams.watermarks()
        if self.own.incarnation:
            marks[self.node] = (self.own.incarnation, self.own.last)
        return marks

    def _forget(self) -> None:
        """Look for records beyond the horizon, and again after FORGET_EVERY more facts."""
        self._forget_at = self.applied + FORGET_EVERY
        self.fold.forget(self.now_ns - self._horizon_ns)
