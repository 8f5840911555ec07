"""The routing of one node's words: to the right parts, in order, and without knowing what they mean."""

import ast
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bellwire.core.effects import Effect, Report
from bellwire.core.errors import LocalMisuse
from bellwire.core.events import Persisted, Received, ReplanAsked, RequestCancelled, Started, TimerFired
from bellwire.core.machine import Handler, Step
from bellwire.core.messages import FactsWanted, Watermark
from bellwire.core.notices import MemoryLost, MemoryReady, SlotFreed
from bellwire.node import routing
from bellwire.node.routing import NodeMachine

Table = Mapping[type, Handler]


def said(name: str) -> Effect:
    return Report(name=name, request=None, fields={})


def says(name: str) -> Handler:
    return lambda step, word: step.order(said(name))


class Fake:
    """A part that is nothing but its tables."""

    def __init__(
        self,
        *,
        events: Table | None = None,
        messages: Table | None = None,
        notices: Table | None = None,
        gives: tuple[type, ...] = (),
        due_ns: int | None = None,
        fires: Callable[[Step], None] | None = None,
    ) -> None:
        self._tables = (events or {}, messages or {}, notices or {})
        self._gives = frozenset(gives)
        self.due_ns = due_ns
        self._fires = fires

    def on_events(self) -> Table:
        return self._tables[0]

    def on_messages(self) -> Table:
        return self._tables[1]

    def on_notices(self) -> Table:
        return self._tables[2]

    def gives(self) -> frozenset[type]:
        return self._gives

    def deadline_ns(self) -> int | None:
        return self.due_ns

    def on_deadline(self, step: Step) -> None:
        self.due_ns = None
        if self._fires is not None:
            self._fires(step)


def test_the_routing_imports_no_part_and_names_nothing_of_one() -> None:
    source = Path(routing.__file__).read_text(encoding="utf-8")
    tree = ast.parse(source)
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    imported |= {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    assert {name for name in imported if name.startswith("bellwire.")} == {
        "bellwire.core.effects",
        "bellwire.core.errors",
        "bellwire.core.events",
        "bellwire.core.ids",
        "bellwire.core.machine",
    }
    known_events = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "bellwire.core.events"
        for alias in node.names
    }
    assert known_events == {"Event", "Received", "Started", "TimerFired"}
    allowed = {"on_events", "on_messages", "on_notices", "gives", "deadline_ns", "on_deadline", "idle"}
    on_parts = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "part"
    }
    assert on_parts == allowed


def test_two_parts_for_one_message_are_our_bug() -> None:
    one, other = Fake(messages={Watermark: says("one")}), Fake(messages={Watermark: says("other")})
    with pytest.raises(LocalMisuse, match="n: two parts take the message Watermark"):
        NodeMachine("n", [one, other])


def test_an_event_goes_to_all_its_takers_in_the_order_of_the_parts() -> None:
    machine = NodeMachine("n", [Fake(events={Persisted: says(name)}) for name in ("one", "two")])
    assert machine.handle(1, Persisted(token=1)) == [said("one"), said("two")]


def test_a_message_goes_to_its_one_taker_with_its_sender() -> None:
    heard: list[Received] = []
    machine = NodeMachine("n", [Fake(messages={Watermark: lambda step, received: heard.append(received)})])
    received = Received(source="peer", incarnation=3, message=Watermark(incarnation=3, last=9))
    assert machine.handle(1, received) == []
    assert heard == [received]


def test_a_message_that_no_part_of_this_role_takes_is_ignored() -> None:
    machine = NodeMachine("n", [Fake()])
    message = FactsWanted(incarnation=1, first=1)
    assert machine.handle(1, Received(source="peer", incarnation=1, message=message)) == []


def test_notices_are_worked_off_before_the_step_ends() -> None:
    chain = [
        Fake(events={Persisted: lambda step, event: step.tell(MemoryLost(reason="x"))}, gives=(MemoryLost,)),
        Fake(notices={MemoryLost: lambda step, notice: step.tell(MemoryReady())}, gives=(MemoryReady,)),
        Fake(notices={MemoryReady: says("end of the chain")}),
    ]
    assert NodeMachine("n", chain).handle(1, Persisted(token=1)) == [said("end of the chain")]


def test_a_notice_that_is_declared_may_fall_on_the_floor_and_one_that_is_not_may_not() -> None:
    tell: Handler = lambda step, event: step.tell(MemoryReady())  # noqa: E731
    assert (
        NodeMachine("n", [Fake(events={Persisted: tell}, gives=(MemoryReady,))]).handle(1, Persisted(token=1))
        == []
    )
    with pytest.raises(LocalMisuse, match="nobody takes MemoryReady"):
        NodeMachine("n", [Fake(events={Persisted: tell})]).handle(1, Persisted(token=1))


def test_a_loop_between_two_parts_is_our_bug_with_the_trail() -> None:
    one = Fake(
        events={Persisted: lambda step, event: step.tell(SlotFreed(slot=0))},
        notices={MemoryReady: lambda step, notice: step.tell(SlotFreed(slot=0))},
        gives=(SlotFreed,),
    )
    other = Fake(notices={SlotFreed: lambda step, notice: step.tell(MemoryReady())}, gives=(MemoryReady,))
    with pytest.raises(LocalMisuse, match=r"more than 64 notices in one step, last: .*SlotFreed MemoryReady"):
        NodeMachine("n", [one, other]).handle(1, Persisted(token=1))


def test_the_deadline_is_the_earliest_of_all_parts_and_only_what_is_due_fires() -> None:
    parts = [
        Fake(due_ns=30, fires=lambda step: step.order(said("30"))),
        Fake(),
        Fake(due_ns=20, fires=lambda step: step.order(said("20"))),
        Fake(due_ns=21, fires=lambda step: step.order(said("21"))),
    ]
    machine = NodeMachine("n", parts)
    machine.handle(0, Started(incarnation=1))
    assert machine.next_deadline_ns == 20
    assert machine.handle(20, TimerFired()) == [said("20")]
    assert machine.next_deadline_ns == 21
    assert machine.handle(40, TimerFired()) == [said("30"), said("21")]
    assert machine.next_deadline_ns is None


def test_what_one_deadline_tells_is_known_before_the_next_part_looks_at_its_own() -> None:
    later = Fake(due_ns=5, fires=lambda step: step.order(said("too late")))

    def withdraw(step: Step, notice: MemoryReady) -> None:
        later.due_ns = None

    first = Fake(due_ns=5, fires=lambda step: step.tell(MemoryReady()), gives=(MemoryReady,))
    other = Fake(notices={MemoryReady: withdraw})
    machine = NodeMachine("n", [first, other, later], together=[(other, later)])
    assert machine.handle(5, TimerFired()) == []


def test_only_parts_that_took_a_word_are_asked_again() -> None:
    quiet = Fake(due_ns=20)
    busy = Fake(due_ns=30, events={Persisted: says("heard")})
    told = Fake(due_ns=40, notices={MemoryReady: lambda step, notice: None})
    teller = Fake(events={Persisted: lambda step, event: step.tell(MemoryReady())}, gives=(MemoryReady,))
    machine = NodeMachine("n", [quiet, busy, told, teller])
    assert machine.next_deadline_ns is None
    quiet.due_ns, busy.due_ns, told.due_ns = 3, 7, 6
    machine.handle(1, Persisted(token=1))
    assert machine.next_deadline_ns == 6
    machine.handle(2, Started(incarnation=1))  # a new life begins for every part
    assert machine.next_deadline_ns == 3


def test_parts_named_together_are_asked_together() -> None:
    quiet, busy = Fake(), Fake(events={Persisted: says("heard")})
    machine = NodeMachine("n", [quiet, busy], together=[(quiet, busy)])
    quiet.due_ns = 3
    machine.handle(1, Persisted(token=1))
    assert machine.next_deadline_ns == 3


def test_the_end_of_a_step_comes_after_the_last_notice_and_its_own_news_are_worked_off_too() -> None:
    def finish(step: Step) -> None:
        step.order(said("finish"))
        step.tell(MemoryReady())

    parts = [
        Fake(events={Persisted: lambda step, event: step.tell(SlotFreed(slot=0))}, gives=(SlotFreed,)),
        Fake(notices={SlotFreed: says("freed"), MemoryReady: says("ready")}),
    ]
    machine = NodeMachine("n", parts, finish)
    assert machine.handle(1, Persisted(token=1)) == [said("freed"), said("finish"), said("ready")]


def test_orders_of_one_step_are_not_repeated_in_the_next() -> None:
    machine = NodeMachine("n", [Fake(events={Persisted: says("once")})])
    first = machine.handle(1, Persisted(token=1))
    assert machine.handle(2, TimerFired()) == []
    assert first == [said("once")]


class Seldom(Fake):
    """A part that only persisted words make busy, and a plan's end makes idle again."""

    def __init__(self) -> None:
        self.plans = 0
        self.seen: list[str] = []
        super().__init__(
            events={Persisted: self._installed},
            notices={MemoryReady: lambda step, notice: self.seen.append("ready"), SlotFreed: self._removed},
        )

    def idle(self) -> bool:
        return self.plans == 0

    def only_when_busy(self) -> frozenset[type]:
        return frozenset({MemoryReady})

    def _installed(self, step: Step, event: Persisted) -> None:
        self.plans += 1
        self.due_ns = 7

    def _removed(self, step: Step, notice: SlotFreed) -> None:
        self.plans = 0
        self.due_ns = None


def test_an_idle_part_is_spared_until_a_word_makes_it_busy_and_again_when_it_rests() -> None:
    teller = Fake(
        events={
            ReplanAsked: lambda step, event: step.tell(MemoryReady()),
            RequestCancelled: lambda step, event: step.tell(SlotFreed(slot=0)),
        },
        gives=(MemoryReady, SlotFreed),
    )
    part = Seldom()
    machine = NodeMachine("n", [teller, part], seldom=[part])
    machine.handle(1, ReplanAsked(request="r"))
    assert part.seen == []
    machine.handle(2, Persisted(token=1))
    assert machine.next_deadline_ns == 7
    machine.handle(3, ReplanAsked(request="r"))
    assert part.seen == ["ready"]
    machine.handle(4, RequestCancelled(request="r"))
    assert machine.next_deadline_ns is None
    machine.handle(5, ReplanAsked(request="r"))
    assert part.seen == ["ready"]


def test_a_part_that_becomes_busy_hears_what_the_same_step_tells_afterwards() -> None:
    part = Seldom()
    teller = Fake(events={Persisted: lambda step, event: step.tell(MemoryReady())}, gives=(MemoryReady,))
    machine = NodeMachine("n", [part, teller], seldom=[part])
    machine.handle(1, Persisted(token=1))
    assert part.seen == ["ready"]
