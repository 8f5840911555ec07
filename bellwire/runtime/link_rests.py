"""Rests of links as the console asks for them: told to the machine, and read from the link end when agreed.

Owns the numbers of rests and the wait. Refuses to place a rest: the link's own schedule does (link_layer).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from bellwire.core.errors import LocalMisuse
from bellwire.core.events import Event, LinkRestAsked, LinkRestGivenUp
from bellwire.core.ids import LinkId
from bellwire.core.machine import Machine
from bellwire.link_layer.rests import REST_MAX_NS, Rest
from bellwire.node.machines import QuantumNode

LOOK_S: Final = 0.01
"""Rests are agreed within a few delays of the link; whoever waits looks so often."""


class LinkRests:
    """Of one agent. `feed`: gives the machine an event."""

    def __init__(self, machine: Machine, feed: Callable[[Event], None]) -> None:
        self._machine = machine
        self._feed = feed
        self._number = 0

    async def rest(self, link: LinkId, length_ns: int) -> Rest:
        """Wait until the link's next rest is agreed. Cancelled: nobody waits for it any more.

        Raises LocalMisuse: the node does not speak for the link, or another calibration waits for a rest.
        """
        ends = self._machine.links.ends if isinstance(self._machine, QuantumNode) else {}
        end = ends.get(link)
        if end is None or end.side != 0:
            raise LocalMisuse(f"this node does not keep the queue of {link}: ask the first node of the link")
        self._number += 1
        number = self._number
        self._feed(LinkRestAsked(link=link, number=number, length_ns=length_ns))
        try:
            while True:
                rests = end.rests
                if rests.granted is not None and rests.granted.number == number:
                    return rests.granted
                if rests.wish is None or rests.wish.number != number:
                    raise LocalMisuse(
                        f"{link} cannot rest: another calibration waits for it, or {length_ns / 1e9:g} s is "
                        f"more than {REST_MAX_NS / 1e9:g} s"
                    )
                await asyncio.sleep(LOOK_S)
        except asyncio.CancelledError:
            self._feed(LinkRestGivenUp(link=link, number=number))
            raise
