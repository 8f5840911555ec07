"""Latency of the live bus: herald in at a repeater, correction frame out at an end node.

What is timed: one frame that carries a HeraldReport leaves a client; an agent (the real runtime: ROUTER,
envelope, checks, machine step, record of inputs, outbox, DEALER) answers with a Publish that is urgent to
the client and an EndNews behind it; the time ends when the frame of the urgent facts has arrived. Device
time is excluded. The machine is a stand-in that answers at once, so that the figure is the host's and not
the protocol's. Beside it, in the same run and in turns: a bare zmq.asyncio DEALER/ROUTER round trip of the
same size between two processes, with CURVE. Only the ratio means anything (limits.md).

Usage: python bench/bus_latency.py [COUNT]  ->  bench/results/bus_latency.json
"""

import asyncio
import gc
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import zmq
import zmq.asyncio

from bellwire.core.effects import Effect, Publish, Send
from bellwire.core.events import Event, Received
from bellwire.core.facts import Swapped
from bellwire.core.ids import End, NodeId
from bellwire.core.link_messages import HeraldReport
from bellwire.core.messages import EndNews, FactBatch, Message
from bellwire.runtime.agent import Agent
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.health import Health
from bellwire.runtime.keys import Keyring
from bellwire.runtime.network import Network
from bellwire.runtime.trace import AgentTrace

RESULTS = Path(__file__).parent / "results" / "bus_latency.json"
PAYLOAD = b"x" * 150
WARM_UP = 200
BLOCK = 250


class Repeater:
    """Answers a herald with an urgent fact and the news of it."""

    def __init__(self) -> None:
        self.next_deadline_ns: int | None = None
        self._number = 0

    def handle(self, now_ns: int, event: Event) -> list[Effect]:
        if not isinstance(event, Received) or not isinstance(event.message, HeraldReport):
            return []
        self._number += 1
        left, right = End("west", 1, self._number, 0, 1), End("east", 1, self._number, 0, 0)
        fact = Swapped(
            left=left, right=right, result="ok", outcome=2, signs=0, cost=(10**15,) * 3, at_ns=now_ns
        )
        batch = FactBatch(incarnation=1, first=self._number, facts=(fact,))
        news = EndNews(end=left.partner, author="relay", incarnation=1, number=self._number)
        return [
            Publish(batch=batch, urgent_to=(event.source,)),
            Send(to=event.source, message=news, urgency="outcome"),
        ]


class Client:
    """Sends heralds, and knows when the urgent facts are there."""

    def __init__(self) -> None:
        self.arrived: asyncio.Future[int] | None = None
        self.up = asyncio.Event()

    def on_message(self, source: NodeId, incarnation: int, message: Message) -> None:
        if isinstance(message, FactBatch) and self.arrived is not None and not self.arrived.done():
            self.arrived.set_result(time.perf_counter_ns())

    def on_peer(self, peer: NodeId, state: str, incarnation: int | None) -> None:
        if state == "up":
            self.up.set()


def run_repeater(folder: str, pipe: Connection) -> None:
    """The process of the repeater."""

    async def serve() -> None:
        keyring = Keyring(Path(folder), "relay")
        clock, health = LiveClock(), Health()
        agent = Agent("relay", 1, Repeater(), clock, health, AgentTrace(Path(folder) / "run", "relay", 1))
        agent.network = Network("relay", 1, agent, clock, health, keyring)
        pipe.send(agent.network.start("tcp://127.0.0.1:*"))
        agent.network.add_peer("alice", pipe.recv())
        agent.start()
        loop = asyncio.get_running_loop()
        loop.add_reader(pipe.fileno(), agent.stop)
        await agent.ended

    asyncio.run(serve())


def run_echo(pipe: Connection) -> None:
    """The process of the bare round trip."""

    async def serve() -> None:
        context = zmq.asyncio.Context()
        router = context.socket(zmq.ROUTER)
        public, router.curve_secretkey = zmq.curve_keypair()
        router.curve_server = True
        pipe.send((router.bind_to_random_port("tcp://127.0.0.1"), public))
        while True:
            parts = await router.recv_multipart()
            if parts[-1] == b"END":
                break
            await router.send_multipart(parts)
        router.close(0)
        context.term()

    asyncio.run(serve())


async def measure(count: int) -> dict[str, object]:
    """Both latencies in turns of BLOCK."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("alice", "relay"):
            Keyring(Path(folder)).make(name)
        ours, theirs = spawn.Pipe()
        repeater = spawn.Process(target=run_repeater, args=(folder, theirs))
        repeater.start()
        echo_ours, echo_theirs = spawn.Pipe()
        echo = spawn.Process(target=run_echo, args=(echo_theirs,))
        echo.start()
        client = Client()
        network = Network("alice", 1, client, LiveClock(), Health(), Keyring(Path(folder), "alice"))
        endpoint = network.start("tcp://127.0.0.1:*")
        network.add_peer("relay", ours.recv())
        ours.send(endpoint)
        context = zmq.asyncio.Context()
        dealer = context.socket(zmq.DEALER)
        port, dealer.curve_serverkey = echo_ours.recv()
        dealer.curve_publickey, dealer.curve_secretkey = zmq.curve_keypair()
        dealer.connect(f"tcp://127.0.0.1:{port}")
        await client.up.wait()
        bus: list[int] = []
        bare: list[int] = []
        gc.disable()
        number = 0
        while len(bus) < count + WARM_UP:
            for _ in range(BLOCK):
                number += 1
                herald = HeraldReport(
                    link="west",
                    run=1,
                    number=number,
                    attempt=number,
                    lane=0,
                    code=1,
                    at_ns=number,
                    sigma_ns=1,
                )
                client.arrived = asyncio.get_running_loop().create_future()
                began_ns = time.perf_counter_ns()
                network.send(Send(to="relay", message=herald, urgency="outcome"))
                network.flush()
                bus.append(await client.arrived - began_ns)
            for _ in range(BLOCK):
                began_ns = time.perf_counter_ns()
                await dealer.send(PAYLOAD)
                await dealer.recv()
                bare.append(time.perf_counter_ns() - began_ns)
        gc.enable()
        await dealer.send(b"END")
        ours.send("stop")
        repeater.join(10)
        echo.join(10)
        network.close()
        dealer.close(0)
        context.term()
    return report(bus[WARM_UP:], bare[WARM_UP:])


def report(bus: list[int], bare: list[int]) -> dict[str, object]:
    """Percentiles in us, and their ratios."""

    def percentiles(samples: list[int]) -> dict[str, float]:
        cuts = statistics.quantiles(samples, n=1000)
        return {"p50_us": round(cuts[499] / 1e3, 1), "p99_us": round(cuts[989] / 1e3, 1)}

    ours, plain = percentiles(bus), percentiles(bare)
    return {
        "title": "Herald to correction over the live bus (no device time), and a bare round trip, with CURVE",
        "command": "make bench",
        "rows": [
            {"what": "bellwire: herald frame in, urgent correction frame out", "count": len(bus)} | ours,
            {"what": "zmq.asyncio DEALER/ROUTER round trip, CURVE too", "count": len(bare)} | plain,
            {
                "what": "ratio",
                "count": None,
                "p50_us": round(ours["p50_us"] / plain["p50_us"], 2),
                "p99_us": round(ours["p99_us"] / plain["p99_us"], 2),
            },
        ],
    }


def main() -> None:
    """Measure and write the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000
    table = asyncio.run(measure(count))
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
