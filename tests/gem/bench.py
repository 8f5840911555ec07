"""A few nodes that have nothing but a GEM, and the mail between them: ideal, hostile, or a host's logs.

Owns steps and delivery. Refuses qubits: tests write the facts that link layer and swapping would write.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random

from bellwire.core.bell import Cost
from bellwire.core.effects import Publish, Send
from bellwire.core.events import Event, PeerChanged, Received, Started
from bellwire.core.facts import Born, Fact, Released, ReleaseReason, Swapped
from bellwire.core.ids import End, LinkId, NodeId, RequestId
from bellwire.core.machine import Handler, Step, run_notices
from bellwire.core.messages import Message
from bellwire.core.notices import (
    EndChanged,
    EndDied,
    Notice,
    PeerLost,
    PeerRestarted,
    PlanInstalled,
    UpdatePair,
    ViewReady,
    ViewWanted,
)
from bellwire.core.plans import NodePlan
from bellwire.core.settings import LinkSettings, MemorySettings, NetworkSettings, NodeSettings
from bellwire.gem.protocols import Gem
from bellwire.gem.replica import FactSource

FREE: Cost = (0, 0, 0)
DELAY_NS = 1_000


def line(*names: NodeId) -> NetworkSettings:
    """Nodes in a row, linked "l0", "l1", ...; side 0 is on the left. Delays grow with the distance."""
    ends = {f"l{place}": (names[place], names[place + 1]) for place in range(len(names) - 1)}
    return settings_of(names, ends)


def settings_of(names: Sequence[NodeId], ends: Mapping[LinkId, tuple[NodeId, NodeId]]) -> NetworkSettings:
    """A network of these links, with as little else as the GEM needs."""
    memory = MemorySettings(
        slots=4, rates=FREE, bsm_signs=0, bsm_cost=FREE, bsm_success_probability=1.0, operation_limit_ns=1
    )
    links = {
        link: LinkSettings(
            link=link,
            nodes=pair,
            station=None,
            period_ns=1,
            lanes=1,
            slots=((0,), (1,)),
            success_probability=0.1,
            heralds=(),
            click_delay_ns=0,
            herald_delay_ns=(0, 0),
            length_km=0.0,
        )
        for link, pair in ends.items()
    }
    nodes = {
        name: NodeSettings(
            name=name,
            role="repeater",
            memory=memory,
            links=tuple(link for link, one in links.items() if name in one.nodes),
        )
        for name in names
    }
    delays = {
        one: {two: DELAY_NS * abs(names.index(one) - names.index(two)) for two in names} for one in names
    }
    return NetworkSettings(nodes=nodes, links=links, delays_ns=delays)


class GemNode:
    """One node: the two GEM parts, and a listener in the place of all other parts."""

    def __init__(
        self,
        settings: NetworkSettings,
        name: NodeId,
        source: FactSource | None = None,
        *,
        digests: bool = True,
        incarnation: int = 1,
    ) -> None:
        self.name = name
        self.incarnation = incarnation
        self.gem = Gem(settings, name, source, digests=digests)
        self.step = Step(name)
        self.heard: list[Notice] = []
        self._events: dict[type, list[Handler]] = {}
        self._messages: dict[type, Handler] = {}
        self._notices: dict[type, list[Handler]] = {
            kind: [self._listen] for kind in (EndChanged, EndDied, ViewReady, PeerRestarted, PeerLost)
        }
        for part in self.gem.parts:
            for kind, handler in part.on_events().items():
                self._events.setdefault(kind, []).append(handler)
            self._messages.update(part.on_messages())
            for kind, handler in part.on_notices().items():
                self._notices.setdefault(kind, []).append(handler)

    def handle(self, now_ns: int, event: Event) -> list[Publish | Send]:
        """One event, as NodeMachine handles it."""

        def work(step: Step) -> None:
            if isinstance(event, Received):
                self._messages[type(event.message)](step, event)
            else:
                for handler in self._events[type(event)]:
                    handler(step, event)

        return self._work(now_ns, work)

    def write(self, now_ns: int, *facts: Fact) -> list[Publish | Send]:
        """What other parts tell the GEM in one step."""

        def work(step: Step) -> None:
            for fact in facts:
                step.tell(UpdatePair(fact=fact))

        return self._work(now_ns, work)

    def plan(
        self, now_ns: int, *routes: tuple[NodeId, ...], request: RequestId = "r"
    ) -> list[Publish | Send]:
        """A plan for these routes is in force."""
        plan = NodePlan(
            request=request,
            version=1,
            source=routes[0][0],
            destination=routes[0][-1],
            role="inner",
            routes=routes,
            links=(),
            swaps=(),
            cutoff_ns=None,
            rounds=False,
            lease_ns=1,
        )
        return self._work(now_ns, lambda step: step.tell(PlanInstalled(plan=plan)))

    def read(self, now_ns: int) -> list[Publish | Send]:
        """A part asks for the view."""
        return self._work(now_ns, lambda step: step.tell(ViewWanted(purpose="test", request=None)))

    def deadline_ns(self) -> int | None:
        """The earliest deadline of both parts."""
        found = [due for part in self.gem.parts if (due := part.deadline_ns()) is not None]
        return min(found) if found else None

    def fire(self, now_ns: int) -> list[Publish | Send]:
        """A timer of the host fired."""

        def work(step: Step) -> None:
            for part in self.gem.parts:
                due = part.deadline_ns()
                if due is not None and due <= now_ns:
                    part.on_deadline(step)

        return self._work(now_ns, work)

    def told(self, kind: type[Notice]) -> list[Notice]:
        """Notices of one kind heard since the last call of `forget`."""
        return [notice for notice in self.heard if type(notice) is kind]

    def forget(self) -> None:
        """Start listening afresh."""
        self.heard.clear()

    def _work(self, now_ns: int, work: Callable[[Step], None]) -> list[Publish | Send]:
        step = self.step
        step.now_ns = now_ns
        step.incarnation = self.incarnation
        work(step)
        run_notices(step, {kind: tuple(handlers) for kind, handlers in self._notices.items()})
        self.gem.flush(step)
        effects = list(step.effects)
        step.effects.clear()
        kept: list[Publish | Send] = []
        for effect in effects:
            assert isinstance(effect, (Publish, Send))
            kept.append(effect)
        return kept

    def _listen(self, step: Step, notice: Notice) -> None:
        self.heard.append(notice)


class Mail:
    """Messages in flight. `lossy` loses, repeats and reorders by its own random numbers."""

    def __init__(
        self, nodes: dict[NodeId, GemNode], random: Random | None = None, lossy: float = 0.0
    ) -> None:
        self.nodes = nodes
        self.now_ns = 0
        self.random = random or Random(0)
        self.lossy = lossy
        self.flying: list[tuple[NodeId, NodeId, int, Message]] = []
        self.sent: list[tuple[NodeId, NodeId, Message]] = []
        self.lost = 0
        self.repeated = 0

    def post(self, sender: GemNode, effects: list[Publish | Send]) -> None:
        """Take the orders of one step."""
        for effect in effects:
            if isinstance(effect, Publish) and effect.audience is not None:
                for one in effect.audience:
                    self._fly(sender, one.node, effect.addressed(one))
            elif isinstance(effect, Publish):
                for name in self.nodes:
                    if name != sender.name:
                        self._fly(sender, name, effect.batch)
            else:
                self._fly(sender, effect.to, effect.message)

    def deliver(self, source: NodeId | None = None, to: NodeId | None = None) -> None:
        """Deliver until nothing is in flight (between these two, when named); answers included."""
        while True:
            ready = [
                place
                for place, (sender, receiver, _, _) in enumerate(self.flying)
                if source in (None, sender) and to in (None, receiver)
            ]
            if not ready:
                return
            place = self.random.choice(ready) if self.lossy else ready[0]
            sender, receiver, incarnation, message = self.flying.pop(place)
            node = self.nodes[receiver]
            event = Received(source=sender, incarnation=incarnation, message=message)
            self.post(node, node.handle(self.now_ns, event))

    def write(self, name: NodeId, *facts: Fact) -> None:
        """A node writes facts in one step; its messages fly."""
        self.post(self.nodes[name], self.nodes[name].write(self.now_ns, *facts))

    def start(self) -> None:
        """Everybody starts and knows that the others are up."""
        for node in self.nodes.values():
            self.post(node, node.handle(self.now_ns, Started(incarnation=node.incarnation)))
        for node in self.nodes.values():
            for other in self.nodes.values():
                if other is not node:
                    up = PeerChanged(peer=other.name, state="up", incarnation=other.incarnation)
                    self.post(node, node.handle(self.now_ns, up))

    def settle(self, rounds: int) -> None:
        """Let timers fire and mail arrive, `rounds` times."""
        for _ in range(rounds):
            self.deliver()
            dues = [due for node in self.nodes.values() if (due := node.deadline_ns()) is not None]
            if not dues:
                return
            self.now_ns = max(self.now_ns, min(dues))
            for node in self.nodes.values():
                due = node.deadline_ns()
                if due is not None and due <= self.now_ns:
                    self.post(node, node.fire(self.now_ns))
        self.deliver()

    def _fly(self, sender: GemNode, to: NodeId, message: Message) -> None:
        self.sent.append((sender.name, to, message))
        if self.random.random() < self.lossy:
            self.lost += 1
            return
        self.flying.append((sender.name, to, sender.incarnation, message))
        if self.random.random() < self.lossy:
            self.repeated += 1
            self.flying.append((sender.name, to, sender.incarnation, message))


def mail_of(*names: str, digests: bool = False) -> Mail:
    """Started nodes in a row that have told each other everything so far."""
    settings = line(*names)
    mail = Mail({name: GemNode(settings, name, digests=digests) for name in names})
    mail.start()
    mail.deliver()
    for node in mail.nodes.values():
        node.forget()
    mail.sent.clear()
    return mail


class Logs:
    """A virtual host's logs: who reads at a node sees what was published one delay ago."""

    def __init__(self, settings: NetworkSettings) -> None:
        self.settings = settings
        self.entries: list[tuple[int, NodeId, int, int, tuple[Fact, ...]]] = []
        self.reads = 0

    def publish(self, now_ns: int, author: NodeId, effects: list[Publish | Send]) -> list[Send]:
        """Keep what a step published; returns its messages."""
        for effect in effects:
            if isinstance(effect, Publish):
                batch = effect.batch
                self.entries.append((now_ns, author, batch.incarnation, batch.first, batch.facts))
        return [effect for effect in effects if isinstance(effect, Send)]

    def at(self, node: NodeId) -> "Cursor":
        """One observer's view of the logs."""
        return Cursor(self, node)


class Cursor:
    """Satisfies FactSource: each entry once, when it has become visible."""

    def __init__(self, logs: Logs, node: NodeId) -> None:
        self._logs = logs
        self._node = node
        self._seen: set[int] = set()

    def visible(self, now_ns: int) -> Iterator[tuple[NodeId, int, int, tuple[Fact, ...]]]:
        """What has arrived by now and was not taken before."""
        self._logs.reads += 1
        for place, (at_ns, author, incarnation, first, facts) in enumerate(self._logs.entries):
            arrives_ns = at_ns + self._logs.settings.delay_ns(author, self._node)
            if place not in self._seen and arrives_ns <= now_ns:
                self._seen.add(place)
                yield author, incarnation, first, facts


def end(link: str, side: int, attempt: int = 1) -> End:
    """An end of the test's links."""
    return End(link, 1, attempt, 0, side)


def born(link: str, side: int, attempt: int = 1, at_ns: int = 1, frame: int = 2) -> Born:
    """A half of request "r"."""
    return Born(
        end=end(link, side, attempt),
        slot=side,
        generation=attempt,
        request="r",
        tree=0,
        frame=frame,
        signs=0,
        cost=FREE,
        rates=FREE,
        at_ns=at_ns,
        sigma_ns=0,
    )


def swapped(left: End, right: End, ok: bool = True, at_ns: int = 10, outcome: int = 0) -> Swapped:
    """A measurement of two own ends."""
    return Swapped(
        left=left,
        right=right,
        result="ok" if ok else "failed",
        outcome=outcome,
        signs=0,
        cost=FREE,
        at_ns=at_ns,
    )


def released(of: End, reason: ReleaseReason, at_ns: int = 20) -> Released:
    """The end of an own end."""
    return Released(end=of, reason=reason, at_ns=at_ns)
