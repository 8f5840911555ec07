"""Ledgers that keep to routes give the same answers there as ledgers that hear everything, for less.

One seed, two runs of a lab: what every node believes of its own pairs is compared at fifty moments, and so is
everything that was delivered. Chance is drawn by key, so both runs meet the same World; where two words come
at the same moment their order may differ, which changes bits of measurements and nothing else.
"""

from collections import Counter
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace as changed

from bellwire.core.facts import Began
from bellwire.core.ids import NodeId
from bellwire.core.messages import FactBatch, Message
from bellwire.core.settings import LedgerScope
from bellwire.core.units import NS_PER_S
from bellwire.labs import Lab
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.message_host import MessageHost
from bellwire.soak.networks import draw_lab

SECONDS = 4
LOOKS = 50


class Run:
    """What was seen of one run."""

    def __init__(self, lab: Lab, seed: int, scope: LedgerScope) -> None:
        lab = replace(lab, network=changed(lab.network, ledgers=scope))
        self.host = MessageHost(lab, seed, partial(compute_plan, lab.network))
        self.delivered: list[tuple[Any, ...]] = []
        self.rows: list[tuple[Any, ...]] = []
        self.facts_sent: Counter[NodeId] = Counter()
        self.host.reports.append(self._reported)
        self._send, self.host.post.send = self.host.post.send, self._counted  # type: ignore[method-assign]
        self.host.start()
        for look in range(1, LOOKS + 1):
            self.host.run(look * SECONDS * NS_PER_S // LOOKS)
            self._look()

    def _counted(self, source: NodeId, incarnation: int, to: NodeId, message: Message) -> None:
        if isinstance(message, FactBatch):
            self.facts_sent[to] += sum(not isinstance(fact, Began) for fact in message.facts)
        self._send(source, incarnation, to, message)

    def _reported(self, now_ns: int, node: NodeId, report: Any) -> None:
        if report.name == "pair_delivered":
            told = {name: value for name, value in report.fields.items() if name != "bit"}
            self.delivered.append((now_ns, node, report.request, tuple(told.items())))

    def _look(self) -> None:
        now_ns = self.host.clock.now_ns
        for name, machine in self.host.machines.items():
            if not isinstance(machine, QuantumNode):
                continue
            fold = machine.replica.fold
            for slot in machine.slots.slots():
                if slot.end is None or not fold.complete(slot.end):
                    continue
                chain = fold.chain(slot.end)
                assert chain is not None
                believed = (chain.request, chain.frame, chain.hops, fold.members(slot.end))
                self.rows.append((now_ns, name, slot.state, slot.end, believed))


@pytest.mark.parametrize("seed", [*range(8), 17, 23, 44, 47])
def test_answers_on_a_nodes_routes_do_not_depend_on_what_else_it_hears(seed: int) -> None:
    lab = draw_lab(Random(seed))
    everything, routes = (Run(lab, seed, scope) for scope in ("network", "routes"))
    assert routes.delivered == everything.delivered
    assert routes.rows == everything.rows
    assert sum(routes.facts_sent.values()) <= sum(everything.facts_sent.values())


def test_a_node_that_serves_nothing_hears_nothing() -> None:
    heard, pairs = [], 0
    for seed in range(12):
        lab = draw_lab(Random(seed))
        run = Run(lab, seed, "routes")
        served = {
            name
            for name, machine in run.host.machines.items()
            if isinstance(machine, QuantumNode) and machine.replica.own.last > 1
        }
        heard += [size for name, size in run.facts_sent.items() if name not in served]
        pairs += len(run.rows)
    assert heard == []
    assert pairs > 1_000
