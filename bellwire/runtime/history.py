"""The history of a run: who said and did what to which pair, sorted for questions about one request.

Owns the index over recorded steps: reports, facts by end, windows, messages about a delivery, heralds.
Refuses conclusions about a pair (pair_life.py) or about where time went (time_shares.py).
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

from bellwire.core.effects import FuseQubits, MeasureBell, Publish, PurifyPair, Report, Send
from bellwire.core.errors import ConfigError
from bellwire.core.events import Heralded, QubitHeld, Received, RequestSubmitted, StationHeralded
from bellwire.core.facts import Born, Fact, Fused, Swapped, Verdict, ends_named
from bellwire.core.ids import End, LinkId, NodeId, PairId, RequestId
from bellwire.core.link_messages import HeraldReport, Window, WindowOffer, WindowOpened
from bellwire.core.messages import Commit, EndNews, FactBatch, Offer, OfferAnswer, Settled
from bellwire.runtime.recorded import RecordedStep

CANDIDATES_TOLD_MAX = 8


@dataclass(frozen=True, slots=True)
class SeenFact:
    """A fact as its author published it."""

    now_ns: int
    author: NodeId
    incarnation: int
    fact: Fact


@dataclass(frozen=True, slots=True)
class SeenReport:
    now_ns: int
    node: NodeId
    report: Report


@dataclass(frozen=True, slots=True)
class SeenMessage:
    """A message about one delivery or herald; None where only its other end is known."""

    kind: str  # class name of the message
    message: Offer | OfferAnswer | Commit | Settled | HeraldReport
    sender: NodeId | None
    sent_ns: int | None
    receiver: NodeId
    received_ns: int | None


@dataclass(frozen=True, slots=True)
class SeenHerald:
    """Somebody saw an attempt succeed: the station, an end, or the memory that froze its qubit."""

    now_ns: int
    node: NodeId
    by: str  # class name of the event
    at_ns: int


@dataclass(frozen=True, slots=True)
class SeenWindow:
    now_ns: int
    node: NodeId  # who was told
    link: LinkId
    window: Window
    granted: bool  # False: offered only


@dataclass(frozen=True, slots=True)
class SeenOrder:
    """A gate was ordered."""

    now_ns: int
    node: NodeId
    order: MeasureBell | FuseQubits | PurifyPair


@dataclass(slots=True)
class History:
    """See the module."""

    submitted: dict[RequestId, tuple[int, NodeId]] = field(default_factory=dict)
    members: dict[RequestId, tuple[NodeId, ...]] = field(default_factory=dict)  # source first
    reports: dict[RequestId, list[SeenReport]] = field(default_factory=lambda: defaultdict(list))
    facts: dict[End, list[SeenFact]] = field(default_factory=lambda: defaultdict(list))
    births: dict[RequestId, list[SeenFact]] = field(default_factory=lambda: defaultdict(list))
    owners: dict[tuple[LinkId, int], NodeId] = field(default_factory=dict)
    windows: dict[LinkId, list[SeenWindow]] = field(default_factory=lambda: defaultdict(list))
    deliveries: dict[End, list[SeenMessage]] = field(default_factory=lambda: defaultdict(list))  # by head
    herald_reports: dict[PairId, list[SeenMessage]] = field(default_factory=lambda: defaultdict(list))
    heralds: dict[PairId, list[SeenHerald]] = field(default_factory=lambda: defaultdict(list))
    orders: dict[NodeId, list[SeenOrder]] = field(default_factory=lambda: defaultdict(list))
    heard: dict[Fact, list[tuple[int, NodeId]]] = field(default_factory=lambda: defaultdict(list))
    news: dict[End, list[tuple[int, NodeId, NodeId]]] = field(default_factory=lambda: defaultdict(list))
    # of `heard` (facts of gates) and `news` (of an end, and whose fact it was): when which node was told
    last_ns: int = 0
    first_ns: int = 0

    def request_named(self, wanted: str) -> RequestId:
        """The request with this id, or the only one whose id begins so.

        Raises:
            ConfigError: none has, or several have.
        """
        known = sorted(set(self.submitted) | set(self.reports))
        if wanted in known:
            return wanted
        found = [one for one in known if one.startswith(wanted)]
        if len(found) == 1:
            return found[0]
        if not found:
            near = get_close_matches(wanted, known, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else f"; there are {_told(known)}"
            raise ConfigError(f'no request of this run begins with "{wanted}"{hint}')
        raise ConfigError(f'"{wanted}" begins {len(found)} requests: {_told(found)}; give more of the id')


def history_of(steps: Iterable[RecordedStep]) -> History:
    """The index over steps, which come by time."""
    reading = _Reading()
    for step in steps:
        reading.take(step)
    return reading.history


def _told(names: list[RequestId]) -> str:
    more = len(names) - CANDIDATES_TOLD_MAX
    listed = ", ".join(names[:CANDIDATES_TOLD_MAX]) or "none"
    return f"{listed} and {more} more" if more > 0 else listed


class _Reading:
    """Sorts steps into a history, and pairs what was sent with what was received."""

    def __init__(self) -> None:
        self.history = History()
        self._on_the_way: dict[tuple[NodeId, NodeId, object], list[int]] = defaultdict(list)
        self._any = False

    def take(self, step: RecordedStep) -> None:
        history = self.history
        if not self._any:
            history.first_ns, self._any = step.now_ns, True
        history.last_ns = max(history.last_ns, step.now_ns)
        match step.event:
            case Received():
                self._received(step, step.event)
            case RequestSubmitted():
                name = step.event.request.request_id
                history.submitted.setdefault(name, (step.now_ns, step.node))
                history.members.setdefault(name, step.event.request.target_nodes)
            case Heralded() | QubitHeld() | StationHeralded():
                told = step.event
                pair = PairId(told.link, told.run, told.attempt, told.lane)
                seen = SeenHerald(step.now_ns, step.node, type(told).__name__, told.at_ns)
                history.heralds[pair].append(seen)
            case _:
                pass
        for effect in step.effects:
            match effect:
                case Send():
                    self._sent(step, effect)
                case Publish():
                    self._published(step, effect)
                case Report(request=str(request)):
                    history.reports[request].append(SeenReport(step.now_ns, step.node, effect))
                case MeasureBell() | FuseQubits() | PurifyPair():
                    history.orders[step.node].append(SeenOrder(step.now_ns, step.node, effect))
                case _:
                    pass

    def _sent(self, step: RecordedStep, effect: Send) -> None:
        message = effect.message
        if isinstance(message, Offer | OfferAnswer | Commit | Settled | HeraldReport):
            self._on_the_way[step.node, effect.to, message].append(step.now_ns)
        elif isinstance(message, WindowOffer):
            self._window(step, message, granted=False)

    def _received(self, step: RecordedStep, event: Received) -> None:
        message = event.message
        if isinstance(message, Offer | OfferAnswer | Commit | Settled | HeraldReport):
            waiting = self._on_the_way[event.source, step.node, message]
            sent_ns = waiting.pop(0) if waiting else None
            kind = type(message).__name__
            seen = SeenMessage(kind, message, event.source, sent_ns, step.node, step.now_ns)
            if isinstance(message, HeraldReport):
                pair = PairId(message.link, message.run, message.attempt, message.lane)
                self.history.herald_reports[pair].append(seen)
            else:
                self.history.deliveries[message.head_end].append(seen)
        elif isinstance(message, WindowOpened | WindowOffer):
            self._window(step, message, granted=isinstance(message, WindowOpened))
        elif isinstance(message, EndNews):
            self.history.news[message.end].append((step.now_ns, step.node, message.author))
        elif isinstance(message, FactBatch):
            for fact in message.facts:
                if isinstance(fact, Swapped | Fused | Verdict):
                    self.history.heard[fact].append((step.now_ns, step.node))

    def _window(self, step: RecordedStep, message: WindowOffer | WindowOpened, *, granted: bool) -> None:
        seen = SeenWindow(step.now_ns, step.node, message.link, message.window, granted)
        self.history.windows[message.link].append(seen)

    def _published(self, step: RecordedStep, effect: Publish) -> None:
        if effect.again:
            return
        batch, history = effect.batch, self.history
        for fact in batch.facts:
            seen = SeenFact(step.now_ns, step.node, batch.incarnation, fact)
            for end in ends_named(fact):
                history.facts[end].append(seen)
            if isinstance(fact, Born):
                history.owners[fact.end.link, fact.end.side] = step.node
                if fact.request is not None:
                    history.births[fact.request].append(seen)
