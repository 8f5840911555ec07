"""A central ledger: who is asked, when, what stale answers do, how long its queue is (algorithms.md 6.2)."""

import dataclasses
import math
from typing import Any

import msgspec
import numpy as np
import pytest

from bellwire.baselines.centre import OVERTAKEN_MAX, QUEUE_MAX, CentralLedger, Snapshot, with_centre
from bellwire.core.baseline_messages import LedgerAsked, LedgerTold, ToldEnd
from bellwire.core.bell import Walsh, decay
from bellwire.core.effects import Effect, Send
from bellwire.core.errors import ConfigError
from bellwire.core.events import Event, Persisted, Received, TimerFired
from bellwire.core.ids import End, NodeId
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import Notice, ViewReady, ViewWanted
from bellwire.labs.paper_network import chain_lab
from bellwire.node.machines import QuantumNode
from bellwire.node.routing import NodeMachine
from bellwire.node.slots import SlotTable
from bellwire.simulator_backend.simulation import simulate
from tests.node.networks import MS, RATES, chain

LEFT = End("a-r", 1, 4, 0, 1)
FAR = End("r-b", 1, 9, 0, 1)


class OwnView:
    """A replica that knows nothing."""

    def chain(self, end: End) -> None:
        return None

    def far_end(self, end: End) -> None:
        return None


class Replica:
    """All other parts: answers for the replica, and hears the views that parts are given."""

    def __init__(self) -> None:
        self.given: list[ViewReady] = []

    def on_events(self) -> dict[type, Handler]:
        return {}

    def on_messages(self) -> dict[type, Handler]:
        return {}

    def on_notices(self) -> dict[type, Handler]:
        return {ViewWanted: self._wanted, ViewReady: self._ready}

    def gives(self) -> frozenset[type]:
        return frozenset({ViewReady})

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        raise AssertionError("no deadline was set")

    def _wanted(self, step: Step, notice: ViewWanted) -> None:
        if not notice.purpose.startswith("swap:"):
            view: Any = OwnView()
            step.tell(ViewReady(purpose=notice.purpose, request=None, view=view, as_of_ns=step.now_ns))

    def _ready(self, step: Step, notice: ViewReady) -> None:
        if notice.purpose.startswith("swap:"):
            self.given.append(notice)


class Bench:
    """One node whose centre is `centre`."""

    def __init__(self, node: NodeId, centre: NodeId, service_ns: int = 0) -> None:
        network = with_centre(chain(), centre, service_ns)
        self.slots = SlotTable(network, node)
        self.part = CentralLedger(network, node, self.slots)
        self.replica = Replica()
        self.machine = NodeMachine(node, [self.part, self.replica])
        self.effects: list[Effect] = []

    def tell(self, now_ns: int, event: Event) -> None:
        self.effects += self.machine.handle(now_ns, event)

    def want(self, now_ns: int) -> None:
        notice: Notice = ViewWanted(purpose="swap:0", request="q")
        self.machine._step.tell(notice)
        self.tell(now_ns, Persisted(token=0))

    def hold(self, end: End) -> None:
        slot = self.slots.of_lane(end.link, end.lane)
        assert slot is not None
        self.slots.attempt(slot.index)
        self.slots.hold(slot.index, end, "q", 0, 0)

    def hear(self, now_ns: int, source: NodeId, message: LedgerAsked | LedgerTold) -> None:
        self.tell(now_ns, Received(source=source, incarnation=1, message=message))

    def wait(self, until_ns: int) -> None:
        while self.machine.next_deadline_ns is not None and self.machine.next_deadline_ns <= until_ns:
            self.tell(self.machine.next_deadline_ns, TimerFired())

    def sent(self) -> list[tuple[NodeId, Any]]:
        return [(effect.to, effect.message) for effect in self.effects if isinstance(effect, Send)]


def told(question: int, *ends: ToldEnd) -> LedgerTold:
    return LedgerTold(question=question, as_of_ns=5, ends=ends)


def told_end(**changes: Any) -> ToldEnd:
    fields: dict[str, Any] = {
        "end": LEFT,
        "far": FAR,
        "complete": True,
        "dead": False,
        "taken": False,
        "frame": 2,
        "oldest_ns": 3,
        "request": "q",
        "tree": 0,
        "hops": 2,
        "signs": 0,
        "cost": (1, 2, 3),
    }
    return ToldEnd(**(fields | changes))


def test_the_centre_is_the_node_with_the_least_sum_of_delays_and_no_station() -> None:
    network = chain_lab([10.0, 20.0, 5.0, 5.0]).network
    assert with_centre(network).centre == "c02"
    with pytest.raises(ConfigError, match="not a station"):
        with_centre(chain(), "m")


def test_a_node_asks_the_centre_about_the_ends_it_holds_and_gives_the_answer_on_as_a_view() -> None:
    bench = Bench("r", "a")
    bench.hold(LEFT)
    bench.want(1)
    assert bench.sent() == [("a", LedgerAsked(question=1, ends=(LEFT,)))]
    assert bench.replica.given == []
    bench.hear(9, "a", told(1, told_end()))
    (given,) = bench.replica.given
    assert (given.request, given.as_of_ns, given.view.far_owner(LEFT)) == ("q", 5, "b")


def test_a_wish_while_a_question_is_open_makes_its_answer_stale() -> None:
    bench = Bench("r", "a")
    bench.want(1)
    bench.want(2)
    assert len(bench.sent()) == 1
    bench.hear(9, "a", told(1))
    assert bench.replica.given == []
    assert [one.question for _, one in bench.sent()] == [1, 2]
    bench.hear(12, "a", told(2))
    assert len(bench.replica.given) == 1
    assert bench.part.counters["overtaken"] == 1


def test_news_without_end_cannot_keep_a_node_from_deciding() -> None:
    bench = Bench("r", "a")
    bench.want(0)
    for number in range(1, OVERTAKEN_MAX + 2):
        bench.want(10 * number)
        assert bench.replica.given == []
        bench.hear(10 * number + 5, "a", told(number))
    assert len(bench.replica.given) == 1


def test_an_unanswered_question_is_asked_again_and_its_late_answer_dropped() -> None:
    bench = Bench("r", "a")
    bench.want(0)
    bench.wait(200 * MS)
    assert [one.question for _, one in bench.sent()] == [1, 2]
    bench.hear(201 * MS, "a", told(1))
    assert bench.replica.given == []
    bench.hear(202 * MS, "a", told(2))
    assert len(bench.replica.given) == 1


def test_the_centre_answers_one_question_at_a_time() -> None:
    bench = Bench("a", "a", MS)
    for number in range(3):
        bench.hear(0, "r", LedgerAsked(question=number, ends=()))
    bench.wait(10 * MS)
    assert [(one.question, one.as_of_ns) for _, one in bench.sent()] == [(0, MS), (1, 2 * MS), (2, 3 * MS)]


def test_the_queue_of_the_centre_is_bounded_and_refusals_are_counted() -> None:
    bench = Bench("a", "a", MS)
    for number in range(QUEUE_MAX + 3):
        bench.hear(0, "r", LedgerAsked(question=number, ends=()))
    assert bench.part.counters["refused"] == 3


def test_questions_wait_as_long_as_in_a_queue_of_fixed_service() -> None:
    """M/D/1: mean wait rho s / (2 (1 - rho)). 24000 arrivals in 24 batches; false alarms 6e-4 (t, 23)."""
    rho, questions, batches = 0.6, 24_000, 24
    gaps_ns = np.random.default_rng(11).exponential(MS / rho, questions)
    bench = Bench("a", "a", MS)
    at_ns, means = 0.0, []
    for batch in range(batches):
        before_ns = bench.part.waited_ns
        for gap_ns in gaps_ns[batch * 1000 : (batch + 1) * 1000]:
            at_ns += float(gap_ns)
            bench.wait(int(at_ns))
            bench.hear(int(at_ns), "r", LedgerAsked(question=1, ends=()))
        means.append((bench.part.waited_ns - before_ns) / 1000 / MS)
    error = float(np.std(means, ddof=1)) / math.sqrt(batches)
    assert error < 0.05
    assert abs(float(np.mean(means)) - rho / (2 * (1 - rho))) < 4 * error


def test_a_snapshot_decays_from_the_time_of_the_answer_at_the_rates_of_both_memories() -> None:
    own: Any = OwnView()
    view = Snapshot(told(1, told_end()), own, chain())
    state = view.state(LEFT, 105)
    assert state == decay(Walsh(0, (1, 2, 3)), RATES, 200)
    known = view.chain(LEFT)
    assert known is not None
    assert (known.frame, known.hops, view.complete(LEFT)) == (2, 2, True)
    assert view.chain(FAR) is None


def test_oldest_first_with_a_central_ledger_delivers_and_slows_down_with_the_service_of_the_centre() -> None:
    """Three hops of 10 km. A free centre costs little (three sigma), one of 5 ms most of the rate."""
    lab = chain_lab([10.0] * 3, mode="oldest", duration_s=4.0)
    delivered = {}
    for service_ns in (None, 0, 5 * MS):
        network = lab.network if service_ns is None else with_centre(lab.network, service_ns=service_ns)
        outcome = simulate(dataclasses.replace(lab, network=network), 4.0, 3)["requests"]["r0"]
        assert outcome["frame_errors"] == 0
        delivered[service_ns] = outcome["delivered"]
    assert delivered[0] > delivered[None] - 3 * math.sqrt(2 * delivered[None])
    assert delivered[5 * MS] < delivered[0] / 2


def test_without_a_centre_nobody_is_asked() -> None:
    network = chain()
    assert msgspec.structs.replace(network).centre is None
    node = QuantumNode(network, "r", lambda request, version, news: "no plan")
    assert node.central.deadline_ns() is None
