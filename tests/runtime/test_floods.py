"""More facts than an agent can take: what is shed is said, urgent words go through, nothing is lost for good.

A writer floods a real agent with three times what its outbox holds for one peer. Nothing here depends on how
fast the machine is: every check is about what was said, and about the end.
"""

import asyncio
from pathlib import Path

from bellwire.core.effects import Publish, Send
from bellwire.core.facts import Began, Fact
from bellwire.core.ids import NodeId
from bellwire.core.messages import BusMessage, FactBatch, FactsWanted, Watermark
from bellwire.gem.streams import FACTS_KEPT, OwnStream
from bellwire.labs import build_lab
from bellwire.labs.models import LabFile
from bellwire.node.machines import QuantumNode, make_machine
from bellwire.runtime.agent import Agent
from bellwire.runtime.bus_words import BusSettings
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.health import Health
from bellwire.runtime.network import Network
from bellwire.runtime.outbox import FACT_BACKLOG_MAX
from bellwire.runtime.trace import AgentTrace
from tests.gem.bench import end
from tests.gem.bench import released as gone
from tests.runtime.buses import FAST_INTERVAL_NS, until

FLOOD = 3 * FACT_BACKLOG_MAX
TOGETHER = 2_000
URGENT = 20
OLD = 77
"""An incarnation that the agent never had: who asks it for facts of that one is told which it has now."""


class Writer:
    """The flooding peer: it remembers its facts and answers who has missed some."""

    def __init__(self) -> None:
        self.own = OwnStream()
        self.own.begin(1)
        self.network: Network | None = None
        self.asked = 0
        self.answers = 0
        self.up = asyncio.Event()

    def write(self, *facts: Fact) -> None:
        assert self.network is not None
        first = self.own.last + 1
        for fact in facts:
            self.own.add(fact)
        batch = FactBatch(incarnation=1, first=first, facts=facts, base=self.own.base)
        self.network.publish(Publish(batch=batch, urgent_to=()))

    def on_message(self, source: NodeId, incarnation: int, message: BusMessage) -> None:
        assert self.network is not None
        if isinstance(message, FactsWanted) and message.incarnation == 1:
            self.asked += 1
            for sent, batch in enumerate(self.own.chunks(message.first)):
                if sent == 8:
                    break
                self.network.send(Send(to=source, message=batch, urgency="facts"))
            mark = Watermark(incarnation=1, last=self.own.last)
            self.network.send(Send(to=source, message=mark, urgency="facts"))
            self.network.flush()
        elif isinstance(message, Watermark):
            self.answers += 1

    def on_peer(self, peer: NodeId, state: str, incarnation: int | None) -> None:
        if state == "up":
            self.up.set()


def agent_of(folder: Path) -> Agent:
    link = {"nodes": ("a", "b"), "attempt": {"period_us": 1000.0, "success_probability": 0.01}}
    lab = build_lab(
        LabFile.model_validate(
            {"lab": "flood", "nodes": {"a": {"role": "end"}, "b": {"role": "end"}}, "links": {"a-b": link}}
        )
    )
    machine = make_machine(lab.network, "b", lambda request, version, news: "no plans here")
    agent = Agent("b", 1, machine, LiveClock(), Health(), AgentTrace(folder / "run", "b", 1))
    settings = BusSettings(interval_ns=FAST_INTERVAL_NS, security="plaintext")
    agent.network = Network("b", 1, agent, LiveClock(), agent.health, None, settings)
    return agent


async def test_a_flood_is_shed_oldest_first_and_said_and_everything_remembered_comes_in_the_end(
    tmp_path: Path,
) -> None:
    agent = agent_of(tmp_path)
    assert agent.network is not None
    assert isinstance(agent.machine, QuantumNode)
    writer, said = Writer(), Health()
    settings = BusSettings(interval_ns=FAST_INTERVAL_NS, security="plaintext")
    network = writer.network = Network("a", 1, writer, LiveClock(), said, None, settings)
    at_a = network.start("tcp://127.0.0.1:*")
    at_b = agent.network.start("tcp://127.0.0.1:*")
    network.add_peer("b", at_b)
    agent.network.add_peer("a", at_a)
    agent.start()
    try:
        await asyncio.wait_for(writer.up.wait(), 20.0)
        writer.write(Began(incarnation=1, survivors=(), at_ns=1))
        streams = agent.machine.replica.streams
        congested = False
        while writer.own.last < FLOOD:
            facts = [
                gone(end("a-b", 0, attempt=writer.own.last + more + 1), "unusable", at_ns=2)
                for more in range(TOGETHER)
            ]
            writer.write(*facts)
            congested = congested or network.congested == ("b",)
            if writer.own.last % (FLOOD // URGENT) < TOGETHER:
                question = FactsWanted(incarnation=OLD, first=1)
                network.send(Send(to="b", message=question, urgency="control"))
            network.flush()
        assert congested, "the writer never said that it should open no more windows"
        assert said.counts["outbox_full_backlog"] > 0
        taken = streams.next_number("a", 1)
        assert taken < writer.own.last, "there was no flood"
        await until(lambda: writer.answers >= URGENT - 1, "urgent words are answered", 60.0)
        # Watermarks are what an idle author says; this one says it by hand.
        mark = Watermark(incarnation=1, last=writer.own.last)
        network.send(Send(to="b", message=mark, urgency="digest"))
        network.flush()
        await until(lambda: streams.next_number("a", 1) > writer.own.last, "all facts have come", 120.0)
        assert writer.asked > 0
        assert streams.skipped <= writer.own.last - FACTS_KEPT  # no more than the author itself has forgotten
        assert network.congested == ()
        assert not [name for name in agent.health.counts if "violation" in name]
    finally:
        agent.stop()
        network.close()
        await agent.ended
