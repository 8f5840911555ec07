"""The classical network in virtual time: delayed messages, planted faults, and author logs of facts.

Owns message delays and one log of facts per author, which observers read with a cursor as far as it is
visible to them by then. Refuses one event per fact per node: who does not read does not fold
(architecture.md section 4).
"""

from collections.abc import Callable
from dataclasses import dataclass

from bellwire.core.facts import Fact
from bellwire.core.ids import NodeId
from bellwire.core.messages import FactBatch, Message
from bellwire.core.settings import NetworkSettings
from bellwire.simulator_backend.chance import Chance
from bellwire.simulator_backend.clock import MESSAGE, VirtualClock

VisibleFacts = tuple[NodeId, int, int, tuple[Fact, ...]]
"""Author, incarnation, number of the first fact, facts."""


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


AuthorLog = list[tuple[int, VisibleFacts]]
"""What one author published and when, in order, trimmed behind the slowest reader."""


class AuthorLogs:
    """The logs of all authors."""

    def __init__(self, network: NetworkSettings, *, forgetting: bool) -> None:
        """`forgetting`: entries that every reader has read are dropped. Off where nodes crash: a restarted
        node asks for everything again, as on the live bus."""
        self._delays = network.delays_ns
        self._forgetting = forgetting
        self.logs: dict[NodeId, AuthorLog] = {node: [] for node in network.nodes}
        self._readers: dict[NodeId, list[FactReader]] = {node: [] for node in network.nodes}
        self.facts = 0

    def publish(self, author: NodeId, batch: FactBatch, now_ns: int) -> None:
        """Append a batch; nobody is told."""
        self.facts += len(batch.facts)
        if self._readers[author] or not self._forgetting:
            self.logs[author].append((now_ns, (author, batch.incarnation, batch.first, batch.facts)))

    def reader(self, observer: NodeId) -> "FactReader":
        """A cursor set of one observer that reads nobody yet."""
        return FactReader(self, observer)

    def subscribe(self, reader: "FactReader", author: NodeId) -> None:
        """The reader follows this author from what the log still holds."""
        self._readers[author].append(reader)

    def leave(self, reader: "FactReader") -> None:
        """The reader is gone: nothing is kept for it any more."""
        for readers in self._readers.values():
            if reader in readers:
                readers.remove(reader)

    def delay_ns(self, author: NodeId, observer: NodeId) -> int:
        """How long a fact takes."""
        return self._delays[author][observer]

    def trim(self) -> None:
        """Forget what every follower has read."""
        if not self._forgetting:
            return
        for author, log in self.logs.items():
            readers = self._readers[author]
            spent = min((reader.read_of(author) for reader in readers), default=len(log))
            del log[:spent]
            for reader in readers:
                reader.trimmed(author, spent)


class FactReader:
    """One observer's view of the logs it follows; satisfies the GEM's FactSource."""

    def __init__(self, logs: AuthorLogs, observer: NodeId) -> None:
        self._logs = logs
        self._observer = observer
        self._places: dict[NodeId, Place] = {}
        self.read = 0

    def follow(self, author: NodeId) -> None:
        """Read this author from now on."""
        if author == self._observer or author in self._places:
            return
        delay_ns = self._logs.delay_ns(author, self._observer)
        self._places[author] = Place(self._logs.logs[author], delay_ns)
        self._logs.subscribe(self, author)

    def read_of(self, author: NodeId) -> int:
        """How many entries of this author's log, as it is now, have been read."""
        return self._places[author].index

    def trimmed(self, author: NodeId, entries: int) -> None:
        """So many entries, all of them read here, have left the front of this author's log."""
        self._places[author].index -= entries

    def visible(self, now_ns: int) -> list[VisibleFacts]:
        """What has reached the observer by now and was not read before, author by author."""
        found: list[VisibleFacts] = []
        for place in self._places.values():
            log, index = place.log, place.index
            end = len(log)
            if index == end:
                continue
            horizon_ns = now_ns - place.delay_ns
            while index < end and log[index][0] <= horizon_ns:
                found.append(log[index][1])
                index += 1
            place.index = index
        self.read += len(found)
        return found


class Place:
    """Where an observer stands in one author's log."""

    __slots__ = ("delay_ns", "index", "log")

    def __init__(self, log: AuthorLog, delay_ns: int) -> None:
        self.log = log
        self.delay_ns = delay_ns
        self.index = 0  # of the next entry to be read: what the log still holds counts
