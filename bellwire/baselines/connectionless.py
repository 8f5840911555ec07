"""Connectionless hop-by-hop distribution: quantum datagrams walk from source to destination.

Owns what each node does with a datagram (algorithms.md 6.1; Bacciottini et al., arXiv 2410.08980). Refuses
measurements and the ledger's books (protocols.py), and control of the source (congestion.py).

A datagram takes the youngest pair that waits for one; a new pair serves the datagram that has waited longest.
In its strong form links make pairs ahead of datagrams, a failed swap is not taken for congestion, and as many
datagrams are under way as memory allows. A lost datagram's memories are freed as soon as word of the failure
comes; the source sends another one for it as soon as it has a pair and its control allows.
"""

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from bellwire.baselines.congestion import Control, Rate, RoundTrips, Unlimited, Window
from bellwire.baselines.hops import Hands, OwnHalf, Place
from bellwire.baselines.marking import Marker, MarkingDesign
from bellwire.core.baseline_messages import Datagram, DatagramHeard
from bellwire.core.effects import Report
from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import End, NodeId
from bellwire.core.machine import Step
from bellwire.core.messages import Message
from bellwire.core.modes import Named

FLIGHTS_MAX: Final = 4_096
"""Datagrams that a source remembers. The oldest beyond that is forgotten and counted."""

EARLY_MAX: Final = 1_024
"""Datagrams that came before their pair, and wait for it. The oldest beyond that is dropped and counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatagramOptions:
    """How a flow is run."""

    congestion: str = "none"  # none, window or rate
    window: int | None = None  # datagrams under way at most, None: memory is the limit
    loss_is_congestion: bool = False
    ahead: bool = True  # pairs wait for datagrams; else a pair that no datagram waits for is given up

    @property
    def controlled(self) -> bool:
        """True when nodes mark datagrams and the source listens."""
        return self.congestion != "none"


def datagram_options(mode: Named) -> DatagramOptions:
    """The options of a generation mode. A loss can only mean something to a window or a rate: without either,
    taking it for congestion means a window."""
    options = dict(mode.options)
    loss = options["loss_is_congestion"] == "yes"
    congestion = str(options["congestion"])
    return DatagramOptions(
        congestion="window" if loss and congestion == "none" else congestion,
        window=int(options["window"]) or None,
        loss_is_congestion=loss,
        ahead=options["pairs"] == "ahead",
    )


def control_of(options: DatagramOptions) -> Control:
    """What the source of a flow asks."""
    if options.congestion == "window":
        return Window(options.window)
    return Rate() if options.congestion == "rate" else Unlimited(options.window)


@dataclass(slots=True)
class Flight:
    """A datagram under way, as its source remembers it."""

    end: End  # the own half that it carries
    started_ns: int


class DatagramSource:
    """The first node of a flow: binds pairs to datagrams and keeps count of what is under way."""

    def __init__(
        self, place: Place, options: DatagramOptions, hands: Hands, counters: dict[str, int], give_up_ns: int
    ) -> None:
        """give_up_ns: a datagram of which nothing was heard for so long gives up its half."""
        self.control = control_of(options)
        self.trips = RoundTrips(place.hops)
        self._place = place
        self._options = options
        self._hands = hands
        self._counters = counters
        self._give_up_ns = give_up_ns
        self._free: OrderedDict[End, OwnHalf] = OrderedDict()  # in the order in which they came
        self._flights: OrderedDict[int, Flight] = OrderedDict()  # under way, in the order of sending
        self._silent: OrderedDict[int, Flight] = OrderedDict()  # counted as lost, the half may live
        self._sequence = 0

    @property
    def under_way(self) -> int:
        """Datagrams sent, not heard of and not counted as lost."""
        return len(self._flights)

    def pair(self, step: Step, half: OwnHalf) -> None:
        self._free[half.end] = half
        self._send(step)
        if not self._options.ahead and half.end in self._free:
            del self._free[half.end]
            self._hands.give_up(step, half.end)

    def gone(self, step: Step, end: End) -> None:
        """The flight that it may have carried stays under way: its source learns of a loss by silence."""
        self._free.pop(end, None)

    def swapped(self, step: Step, left: OwnHalf, right: OwnHalf, outcome: int | None) -> None:
        raise LocalMisuse(f"{step.node} is the source of {self._place.request} and swaps nothing for it")

    def heard(self, step: Step, source: NodeId, message: Message) -> None:
        if not isinstance(message, DatagramHeard):
            return
        sequence, now_ns = message.sequence, step.now_ns
        late = self._silent.pop(sequence, None)
        if self._flights.pop(sequence, late) is None:
            return
        self._counters["acknowledged"] += 1
        self.trips.saw(now_ns - message.started_ns)
        # An acknowledgement that leaves a gap: datagrams do not overtake each other on one way.
        lost = [number for number in self._flights if number < sequence]
        for number in lost:
            self._lose(number)
        if message.marked:
            self._counters["marked"] += 1
        if message.marked or (lost and self._options.loss_is_congestion):
            self.control.congested(self.trips, now_ns)
        else:
            self.control.acknowledged(self.trips, now_ns)
        self._send(step)

    def deadline_ns(self) -> int | None:
        due: list[int] = []
        if self._flights:
            due.append(next(iter(self._flights.values())).started_ns + self.trips.timeout_ns)
        if self._silent:
            due.append(next(iter(self._silent.values())).started_ns + self._give_up_ns)
        ready = self.control.ready_ns()
        if self._free and ready is not None:
            due.append(ready)
        return min(due, default=None)

    def on_deadline(self, step: Step) -> None:
        now_ns, lost = step.now_ns, False
        while self._flights:
            sequence, flight = next(iter(self._flights.items()))
            if flight.started_ns + self.trips.timeout_ns > now_ns:
                break
            self._lose(sequence)
            lost = True
        if lost and self._options.loss_is_congestion:
            self.control.congested(self.trips, now_ns)
        while self._silent:
            sequence, flight = next(iter(self._silent.items()))
            if flight.started_ns + self._give_up_ns > now_ns:
                break
            del self._silent[sequence]
            self._hands.give_up(step, flight.end)
        self._send(step)

    def _lose(self, sequence: int) -> None:
        self._silent[sequence] = self._flights.pop(sequence)
        self._counters["lost"] += 1
        if len(self._silent) > FLIGHTS_MAX:
            self._silent.popitem(last=False)
            self._counters["forgotten"] += 1

    def _send(self, step: Step) -> None:
        """Bind the youngest pair to each datagram that the control allows."""
        place, now_ns = self._place, step.now_ns
        assert place.right is not None
        while self._free and self.control.allows(len(self._flights), now_ns):
            end, half = self._free.popitem()
            self._sequence += 1
            self._flights[self._sequence] = Flight(end, now_ns)
            if len(self._flights) > FLIGHTS_MAX:
                self._flights.popitem(last=False)
                self._counters["forgotten"] += 1
            self.control.sent(now_ns)
            self._counters["sent"] += 1
            step.send(
                place.right,
                Datagram(
                    request=place.request,
                    tree=place.tree,
                    sequence=self._sequence,
                    head_end=end,
                    end=end.partner,
                    frame=half.frame,
                    started_ns=now_ns,
                ),
                "outcome",
            )


class DatagramNode:
    """An inner node of a flow: swaps the pair that a datagram has brought with one to the next hop."""

    def __init__(
        self, place: Place, options: DatagramOptions, hands: Hands, counters: dict[str, int]
    ) -> None:
        self.marker = Marker(MarkingDesign()) if options.controlled else None
        self._place = place
        self._options = options
        self._hands = hands
        self._counters = counters
        self._left: dict[End, OwnHalf] = {}  # not measured yet
        self._right: OrderedDict[End, OwnHalf] = OrderedDict()  # in the order in which they came
        self._waiting: OrderedDict[End, Datagram] = OrderedDict()  # for a pair to the next hop, by left half
        self._early: OrderedDict[End, Datagram] = OrderedDict()  # their left half was not heralded here yet
        self._swapping: dict[End, Datagram] = {}
        self._look_ns: int | None = None  # when the marker looks at the queue again

    @property
    def waiting(self) -> int:
        """Datagrams that have their pair and wait for the next one."""
        return len(self._waiting)

    def pair(self, step: Step, half: OwnHalf) -> None:
        if half.end.link == self._place.left_link:
            self._left[half.end] = half
            datagram = self._early.pop(half.end, None)
            if datagram is not None:
                self._take(step, datagram)
            return
        self._right[half.end] = half
        self._match(step)
        if not self._options.ahead and half.end in self._right:
            del self._right[half.end]
            self._hands.give_up(step, half.end)

    def gone(self, step: Step, end: End) -> None:
        self._right.pop(end, None)
        self._left.pop(end, None)
        if self._waiting.pop(end, None) is not None:
            self._counters["died"] += 1

    def heard(self, step: Step, source: NodeId, message: Message) -> None:
        if not isinstance(message, Datagram):
            return
        if message.end in self._left:
            self._take(step, message)
            return
        self._early[message.end] = message
        if len(self._early) > EARLY_MAX:
            self._early.popitem(last=False)
            self._counters["early_dropped"] += 1

    def swapped(self, step: Step, left: OwnHalf, right: OwnHalf, outcome: int | None) -> None:
        datagram = self._swapping.pop(left.end, None)
        if datagram is None or self._place.right is None:
            return
        if outcome is None:
            self._counters["died"] += 1
            return
        self._counters["forwarded"] += 1
        step.send(
            self._place.right,
            Datagram(
                request=datagram.request,
                tree=datagram.tree,
                sequence=datagram.sequence,
                head_end=datagram.head_end,
                end=right.end.partner,
                frame=datagram.frame ^ right.frame ^ outcome,
                started_ns=datagram.started_ns,
                marked=datagram.marked or self._marks(step, datagram),
            ),
            "outcome",
        )

    def deadline_ns(self) -> int | None:
        return self._look_ns

    def on_deadline(self, step: Step) -> None:
        """The marker looks at the queue as long as there is one, or a probability to come down from."""
        marker = self.marker
        if marker is None or self._look_ns is None or step.now_ns < self._look_ns:
            return
        marker.look(len(self._waiting))
        busy = bool(self._waiting) or marker.probability > 0.0
        self._look_ns = step.now_ns + marker.design.sample_ns if busy else None

    def _take(self, step: Step, datagram: Datagram) -> None:
        self._waiting[datagram.end] = datagram
        if self.marker is not None and self._look_ns is None:
            self._look_ns = step.now_ns + self.marker.design.sample_ns
        self._match(step)

    def _match(self, step: Step) -> None:
        """The datagram that has waited longest goes with the youngest pair."""
        while self._waiting and self._right:
            end, datagram = self._waiting.popitem(last=False)
            _, right = self._right.popitem()
            self._swapping[end] = datagram
            self._hands.swap(step, self._place, self._left.pop(end), right)

    def _marks(self, step: Step, datagram: Datagram) -> bool:
        marker = self.marker
        if marker is None or marker.probability == 0.0:
            return False
        name = f"{step.seed} mark {datagram.request} {datagram.tree} {datagram.sequence}"
        drawn = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") / 2.0**64
        return drawn < marker.probability


class DatagramDestination:
    """The last node of a flow: acknowledges. The pair itself is delivered by the transport layer."""

    def __init__(self, place: Place, counters: dict[str, int]) -> None:
        self._place = place
        self._counters = counters

    def pair(self, step: Step, half: OwnHalf) -> None:
        """Its datagram, if any, comes by itself."""

    def gone(self, step: Step, end: End) -> None:
        """Nothing is remembered of halves."""

    def swapped(self, step: Step, left: OwnHalf, right: OwnHalf, outcome: int | None) -> None:
        raise LocalMisuse(f"{step.node} is the destination of {self._place.request} and swaps nothing for it")

    def heard(self, step: Step, source: NodeId, message: Message) -> None:
        if not isinstance(message, Datagram):
            return
        self._counters["arrived"] += 1
        step.order(
            Report(
                name="datagram_arrived",
                request=message.request,
                fields={
                    "sequence": message.sequence,
                    "head_end": str(message.head_end),
                    "tail_end": str(message.end),
                    "frame": message.frame,
                    "marked": message.marked,
                },
            )
        )
        step.send(
            self._place.source,
            DatagramHeard(
                request=message.request,
                tree=message.tree,
                sequence=message.sequence,
                started_ns=message.started_ns,
                marked=message.marked,
            ),
            "outcome",
        )

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        """Nothing is ever due."""
