"""The classical network in virtual time: delayed messages and planted faults.

Owns message delays. Refuses facts, which are read and not sent (author_logs.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

from bellwire.core.ids import NodeId
from bellwire.core.messages import Message
from bellwire.core.settings import NetworkSettings
from bellwire.simulator_backend.chance import Chance
from bellwire.simulator_backend.clock import MESSAGE, VirtualClock


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFaults:
    """What may happen to a message on its way."""

    loss_probability: float = 0.0
    duplicate_probability: float = 0.0
    jitter_ns: int = 0  # extra delay, uniform in 0..jitter
    reorder: bool = False  # False: a later message never overtakes an earlier one of the same channel

    def any(self) -> bool:
        """True when messages need more than their plain delay."""
        return bool(self.loss_probability or self.duplicate_probability or self.jitter_ns or self.reorder)


class Post:
    """Delivers messages after the delay between two nodes."""

    def __init__(
        self,
        network: NetworkSettings,
        clock: VirtualClock,
        chance: Chance,
        faults: MessageFaults,
        deliver: Callable[[NodeId, NodeId, int, Message], None],
    ) -> None:
        """`deliver(to, source, incarnation of the source, message)` is called when a message arrives."""
        self._delays = network.delays_ns
        self._clock = clock
        self._chance = chance
        self._faults = faults if faults.any() else None
        self._deliver = deliver
        self._latest: dict[tuple[NodeId, NodeId], int] = {}
        self._sent = 0
        self.lost = 0
        self.duplicated = 0

    def send(self, source: NodeId, incarnation: int, to: NodeId, message: Message) -> None:
        """Put a message on its way."""
        clock = self._clock
        delay_ns = self._delays[source][to]
        if self._faults is None:
            clock.at(clock.now_ns + delay_ns, MESSAGE, self._deliver, to, source, incarnation, message)
            return
        faults, chance = self._faults, self._chance
        self._sent += 1
        number = self._sent
        if chance.uniform("loss", source, to, number) < faults.loss_probability:
            self.lost += 1
            return
        copies = 1
        if chance.uniform("copy", source, to, number) < faults.duplicate_probability:
            self.duplicated += 1
            copies = 2
        for copy in range(copies):
            arrival_ns = (
                clock.now_ns
                + delay_ns
                + int(faults.jitter_ns * chance.uniform("jitter", source, to, number, copy))
            )
            if not faults.reorder:
                arrival_ns = max(arrival_ns, self._latest.get((source, to), 0))
                self._latest[source, to] = arrival_ns
            clock.at(arrival_ns, MESSAGE, self._deliver, to, source, incarnation, message)
