"""A quantum ping in virtual time.

Owns the course of one ping on a virtual host: rounds, the limit on its time, and who is told of the result.
Refuses the test (link_layer/estimation/ping.py) and the reading of answers (link_layer/quantum_ping.py).
"""

from collections.abc import Iterator

from bellwire.core.events import LinkCreateCancelled, LinkCreateSubmitted, LinkPinged
from bellwire.core.ids import NodeId
from bellwire.core.link_words import LinkAnswer
from bellwire.core.topology_messages import LinkVerification
from bellwire.link_layer.quantum_ping import CREATES_A_ROUND, QuantumPing
from bellwire.simulator_backend.host import VirtualHost

LOOK_NS = 1_000_000
"""Answers are looked at this often."""


def ping(host: VirtualHost, asked: QuantumPing, bases: Iterator[int], within_ns: int) -> LinkVerification:
    """Ping a link of a host that has been started, from now on; both ends are told what was found.

    bases: 0, 1 or 2 for each pair, drawn with equal chances. within_ns: for all of it.
    """
    began_ns = host.clock.now_ns
    ends_ns = began_ns + within_ns

    def told(now_ns: int, node: NodeId, answer: LinkAnswer) -> None:
        asked.take(node, now_ns, answer)

    host.answers.append(told)
    try:
        over = False
        while not over and host.clock.now_ns < ends_ns:
            for create in asked.next_round(bases, ends_ns - host.clock.now_ns):
                host.tell_at(host.clock.now_ns, asked.origin, LinkCreateSubmitted(asked=create))
            while not asked.round_is_over() and host.clock.now_ns < ends_ns:
                host.run(min(ends_ns, host.clock.now_ns + LOOK_NS))
            over = asked.judge()
    finally:
        host.answers.remove(told)
    if not over or host.clock.now_ns >= ends_ns:
        asked.out_of_time(host.clock.now_ns - began_ns)
        for number in range(CREATES_A_ROUND):
            cancelled = LinkCreateCancelled(create=asked.first_create + number)
            host.tell_at(host.clock.now_ns, asked.origin, cancelled)
    found = asked.found(host.clock.now_ns)
    for node in asked.link.nodes:
        host.tell_at(host.clock.now_ns, node, LinkPinged(link=asked.link.link, found=found))
    return found
