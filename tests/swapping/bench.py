"""The swapping part of one node with real slots, over a ledger that the test writes.

Owns a fake view (far owners and deaths by end) and the words in and out. Refuses folding: the three-node
tests have the real one.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

from bellwire.core.effects import Effect, MeasureBell, ReleaseQubit, Send
from bellwire.core.events import BellMeasured, Ended, Event, Persisted, Received, TimerFired
from bellwire.core.facts import Fact, Released, Swapped
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.machine import Handler, Step
from bellwire.core.messages import Message, RoundOver
from bellwire.core.notices import (
    LinkPairReady,
    Notice,
    PlanInstalled,
    PlanRemoved,
    SlotFreed,
    UpdatePair,
    ViewReady,
    ViewWanted,
)
from bellwire.core.plans import LinkPlan, NodePlan, SwapPlan
from bellwire.core.view import Entanglement
from bellwire.node.routing import NodeMachine
from bellwire.node.slots import SlotTable
from bellwire.swapping.protocols import Swapping
from tests.node.networks import chain

Kind = TypeVar("Kind")


class FakeChain:
    """Satisfies core.view.Chain."""

    def __init__(self) -> None:
        self.frame = 0
        self.dead = False
        self.taken = False
        self.oldest_ns = 0
        self.request: RequestId | None = "r"
        self.tree = 0
        self.hops = 1
        self.claimed_ns = 0


class FakeView:
    """Far owners and deaths as the test says; an end that is not mentioned is unknown."""

    def __init__(self) -> None:
        self.owners: dict[End, NodeId] = {}
        self.chains: dict[End, FakeChain] = {}
        self.rows: list[Entanglement] = []

    def knows(self, end: End, owner: NodeId) -> None:
        self.owners[end] = owner
        self.chains[end] = FakeChain()

    def far_owner(self, end: End) -> NodeId | None:
        return self.owners.get(end)

    def available(self, now_ns: int) -> Iterator[Entanglement]:
        return iter(self.rows)

    def chain(self, end: End) -> FakeChain | None:
        return self.chains.get(end)


def end_of(link: str, attempt: int, *, lane: int = 0) -> End:
    """An own end of r: its side of the link."""
    return End(link, 1, attempt, lane, 1 if link == "a-r" else 0)


def swap_plan(**changes: Any) -> SwapPlan:
    fields: dict[str, Any] = {
        "request": "r",
        "tree": 0,
        "left_link": "a-r",
        "right_link": "r-b",
        "left_partner": "a",
        "right_partner": "b",
        "depth": 0,
        "policy": "swap_asap",
        "rounds": False,
        "rate_hz": 1.0,
        "route": ("a", "r", "b"),
    }
    return SwapPlan(**(fields | changes))


def link_plan(link: str, partner: NodeId) -> LinkPlan:
    return LinkPlan(
        request="r", tree=0, link=link, partner=partner, rate_hz=1.0, lanes=0, weight=1, fidelity_min=None
    )


def node_plan(**changes: Any) -> NodePlan:
    swap = {name: changes[name] for name in ("policy", "rounds") if name in changes}
    inner = {name: changes.pop(name) for name in ("inner_left", "inner_right") if name in changes}
    changes.pop("policy", None)
    fields: dict[str, Any] = {
        "request": "r",
        "version": 1,
        "source": "a",
        "destination": "b",
        "role": "inner",
        "routes": (("a", "r", "b"),),
        "links": (link_plan("a-r", "a"), link_plan("r-b", "b")),
        "swaps": (swap_plan(**swap, **inner),),
        "cutoff_ns": None,
        "rounds": False,
        "lease_ns": 10**15,
    }
    return NodePlan(**(fields | changes))


class Others:
    """All other parts: hears what swapping tells, answers views when asked to."""

    def __init__(self, view: FakeView) -> None:
        self.view = view
        self.answering = True
        self.facts: list[Fact] = []
        self.freed: list[int] = []
        self.views: list[ViewWanted] = []

    def on_events(self) -> dict[type, Handler]:
        return {}

    def on_messages(self) -> dict[type, Handler]:
        return {}

    def on_notices(self) -> dict[type, Handler]:
        return {UpdatePair: self._fact, SlotFreed: self._freed, ViewWanted: self._view}

    def gives(self) -> frozenset[type]:
        return frozenset({ViewReady})

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        raise AssertionError("no deadline was set")

    def _fact(self, step: Step, notice: UpdatePair) -> None:
        self.facts.append(notice.fact)

    def _freed(self, step: Step, notice: SlotFreed) -> None:
        self.freed.append(notice.slot)

    def _view(self, step: Step, notice: ViewWanted) -> None:
        self.views.append(notice)
        if self.answering:
            view: Any = self.view
            step.tell(
                ViewReady(purpose=notice.purpose, request=notice.request, view=view, as_of_ns=step.now_ns)
            )


class SwapBench:
    """Swapping at one node."""

    def __init__(self, node: NodeId = "r", **plan: Any) -> None:
        self.network = chain()
        self.slots = SlotTable(self.network, node)
        self.part = Swapping(self.network, node, self.slots)
        self.view = FakeView()
        self.others = Others(self.view)
        self.machine = NodeMachine(node, [self.part, self.others])
        self.effects: list[Effect] = []
        if plan or node == "r":
            self.notice(0, PlanInstalled(plan=node_plan(**plan)))

    def tell(self, now_ns: int, event: Event) -> None:
        self.effects += self.machine.handle(now_ns, event)

    def notice(self, now_ns: int, *notices: Notice) -> None:
        """As other parts of the node would tell it, within a step of an event that touches nobody."""
        for one in notices:
            self.machine._step.tell(one)
        self.tell(now_ns, Persisted(token=0))

    def hear(self, now_ns: int, message: Message, source: NodeId = "b") -> None:
        self.tell(now_ns, Received(source=source, incarnation=1, message=message))

    def remove_plan(self, now_ns: int) -> None:
        self.notice(now_ns, PlanRemoved(request="r", version=1))

    def pair(
        self, now_ns: int, link: str, attempt: int, *, lane: int = 0, request: RequestId | None = "r"
    ) -> int:
        """The link layer holds a new pair; returns its slot."""
        end = end_of(link, attempt, lane=lane)
        own = self.slots.of_lane(link, lane)
        assert own is not None
        slot = own.index
        self.slots.attempt(slot)
        self.slots.hold(slot, end, request, 0, now_ns)
        self.view.knows(end, "a" if link == "a-r" else "b")
        self.notice(now_ns, LinkPairReady(end=end, slot=slot, request=request, tree=0, at_ns=now_ns))
        return slot

    def measured(self, now_ns: int, ended: Ended = "done", outcome: int | None = 3, order: int = -1) -> None:
        operation = self.ordered(MeasureBell)[order].operation
        self.tell(
            now_ns,
            BellMeasured(
                operation=operation,
                ended=ended,
                outcome=outcome if ended == "done" else None,
                at_ns=now_ns,
            ),
        )

    def wait(self, until_ns: int) -> None:
        while self.machine.next_deadline_ns is not None and self.machine.next_deadline_ns <= until_ns:
            self.tell(self.machine.next_deadline_ns, TimerFired())

    def ordered(self, kind: type[Kind]) -> list[Kind]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def swaps(self) -> list[Swapped]:
        return [fact for fact in self.others.facts if isinstance(fact, Swapped)]

    def released(self) -> list[tuple[End, str]]:
        return [(fact.end, fact.reason) for fact in self.others.facts if isinstance(fact, Released)]

    def measuring(self) -> list[tuple[int, int]]:
        return [(order.left_slot, order.right_slot) for order in self.ordered(MeasureBell)]

    def given_back(self) -> list[int]:
        return [order.slot for order in self.ordered(ReleaseQubit)]

    def rounds_over(self) -> list[NodeId]:
        return [
            effect.to
            for effect in self.effects
            if isinstance(effect, Send) and isinstance(effect.message, RoundOver)
        ]


LEFT = end_of("a-r", 1)
RIGHT = end_of("r-b", 2)


def measuring(**plan: Any) -> SwapBench:
    """A bench whose first two pairs are being measured: left slot 2, right slot 0."""
    bench = SwapBench(**plan)
    bench.pair(10, "a-r", 1)
    bench.pair(25, "r-b", 2)
    assert bench.measuring() == [(2, 0)]
    return bench


def states(bench: SwapBench) -> list[str]:
    """Of all slots, in the order of their indices."""
    return [slot.state for slot in bench.slots.slots()]
