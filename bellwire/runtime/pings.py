"""A quantum ping on a running lab.

Owns the course of one ping over the control sockets of both ends: rounds, the limit on its time, and who is
told of the result. Refuses the test (link_layer/estimation/ping.py) and the reading of answers
(link_layer/quantum_ping.py).
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bellwire.core.ids import NodeId
from bellwire.core.link_words import LinkAnswer
from bellwire.core.topology_messages import LinkVerification
from bellwire.link_layer.quantum_ping import CREATES_A_ROUND, QuantumPing
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.control import ask

LOOK_S = 0.05
"""Answers are looked at this often."""


async def ping(
    state_dir: Path, asked: QuantumPing, bases: Iterator[int], within_s: float
) -> LinkVerification:
    """Ping a link of the lab in this state directory; both ends are told what was found.

    bases: 0, 1 or 2 for each pair, drawn with equal chances. within_s: for all of it.

    Raises:
        ConfigError: an end does not answer.
    """
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    after: dict[NodeId, int] = {}
    for node in asked.link.nodes:
        earlier = await ask(state_dir, node, "link_answers")
        after[node] = earlier[-1]["number"] if earlier else 0

    async def look() -> None:
        for node in asked.link.nodes:
            for one in await ask(state_dir, node, "link_answers", after=after[node]):
                after[node] = one["number"]
                answer: LinkAnswer = msgspec.convert(one["answer"], LinkAnswer)
                asked.take(node, one["at_ns"], answer)

    def left_s() -> float:
        return began_s + within_s - loop.time()

    over = False
    while not over and left_s() > 0.0:
        for create in asked.next_round(bases, max(1, round(left_s() * 1e9))):
            await ask(state_dir, asked.origin, "create", asked=msgspec.to_builtins(create))
        await look()
        while not asked.round_is_over() and left_s() > 0.0:
            await asyncio.sleep(LOOK_S)
            await look()
        over = asked.judge()
    if not over or left_s() <= 0.0:
        asked.out_of_time(round(within_s * 1e9))
        for number in range(CREATES_A_ROUND):
            await ask(state_dir, asked.origin, "cancel_create", create=asked.first_create + number)
    found = asked.found(LiveClock().now_ns())
    for node in asked.link.nodes:
        await ask(state_dir, node, "pinged", link=asked.link.link, found=msgspec.to_builtins(found))
    return found
