"""Virtual circuits with lazy tracking (QNP: Kozlowski et al. 2020, arXiv 2010.02575; algorithms.md 10.5).

Owns what each node of a circuit does. Refuses set-up and tear-down: dispatch of a plan is the FORWARD of the
circuit and its withdrawal the COMPLETE, and cutoff timers are those that every plan has at its inner nodes.

An inner node swaps at once with one pair on each side and keeps a record; quantum operations never wait for
messages. Each end node sends a TRACK for each of its link pairs; it follows the records to the other end, and
becomes an EXPIRE back to its origin where it meets a pair that was discarded.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from bellwire.baselines.hops import Hands, OwnHalf, Place
from bellwire.core.baseline_messages import Expire, Track
from bellwire.core.effects import Report
from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import End, NodeId
from bellwire.core.machine import Step
from bellwire.core.messages import Message

RECORDS_MAX: Final = 4_096
"""Swap and discard records that a node keeps for tracks to come. The oldest beyond is dropped and counted."""

TRACKS_MAX: Final = 1_024
"""Tracks that wait for their record. The oldest beyond that is dropped and counted."""


class SwapRecord(NamedTuple):
    """What became of an own half: with which other own half it was measured, and what that did."""

    out: End
    frame: int  # outcome and heralded frame of the pair of `out`, together


class CircuitNode:
    """An inner node of a circuit."""

    def __init__(self, place: Place, hands: Hands, counters: dict[str, int]) -> None:
        self._place = place
        self._hands = hands
        self._counters = counters
        self._left: OrderedDict[End, OwnHalf] = OrderedDict()
        self._right: OrderedDict[End, OwnHalf] = OrderedDict()
        self._records: OrderedDict[End, SwapRecord | None] = OrderedDict()  # None: discarded
        self._tracks: OrderedDict[End, Track] = OrderedDict()

    def pair(self, step: Step, half: OwnHalf) -> None:
        side = self._left if half.end.link == self._place.left_link else self._right
        side[half.end] = half
        while self._left and self._right:
            _, left = self._left.popitem(last=False)
            _, right = self._right.popitem(last=False)
            self._hands.swap(step, self._place, left, right)

    def gone(self, step: Step, end: End) -> None:
        """A discard leaves a record, too."""
        if self._left.pop(end, None) is not None or self._right.pop(end, None) is not None:
            self._record(step, end, None)

    def swapped(self, step: Step, left: OwnHalf, right: OwnHalf, outcome: int | None) -> None:
        if outcome is None:
            self._record(step, left.end, None)
            self._record(step, right.end, None)
        else:
            self._record(step, left.end, SwapRecord(right.end, outcome ^ right.frame))
            self._record(step, right.end, SwapRecord(left.end, outcome ^ left.frame))

    def heard(self, step: Step, source: NodeId, message: Message) -> None:
        if not isinstance(message, Track):
            return
        if message.end in self._records:
            self._follow(step, message, self._records.pop(message.end))
            return
        self._tracks[message.end] = message
        if len(self._tracks) > TRACKS_MAX:
            self._tracks.popitem(last=False)
            self._counters["tracks_dropped"] += 1

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        """Nothing is ever due: cutoffs are the plan's."""

    def _record(self, step: Step, end: End, record: SwapRecord | None) -> None:
        track = self._tracks.pop(end, None)
        if track is not None:
            self._follow(step, track, record)
            return
        self._records[end] = record
        if len(self._records) > RECORDS_MAX:
            self._records.popitem(last=False)
            self._counters["records_dropped"] += 1

    def _follow(self, step: Step, track: Track, record: SwapRecord | None) -> None:
        place = self._place
        from_left = track.end.link == place.left_link
        if record is None:
            self._counters["expired"] += 1
            expire = Expire(request=track.request, tree=track.tree, origin=track.origin)
            step.send(place.source if from_left else place.destination, expire, "outcome")
            return
        onward = place.right if from_left else place.left
        assert onward is not None
        self._counters["forwarded"] += 1
        step.send(
            onward,
            Track(
                request=track.request,
                tree=track.tree,
                origin=track.origin,
                end=record.out.partner,
                frame=track.frame ^ record.frame,
            ),
            "outcome",
        )


class CircuitEnd:
    """The first or last node of a circuit."""

    def __init__(self, place: Place, hands: Hands, counters: dict[str, int]) -> None:
        self._place = place
        self._hands = hands
        self._counters = counters

    def pair(self, step: Step, half: OwnHalf) -> None:
        place = self._place
        neighbour = place.right if place.right is not None else place.left
        assert neighbour is not None
        self._counters["sent"] += 1
        step.send(
            neighbour,
            Track(
                request=place.request,
                tree=place.tree,
                origin=half.end,
                end=half.end.partner,
                frame=half.frame,
            ),
            "outcome",
        )

    def gone(self, step: Step, end: End) -> None:
        """Nothing is remembered of halves: their tracks speak for them."""

    def swapped(self, step: Step, left: OwnHalf, right: OwnHalf, outcome: int | None) -> None:
        raise LocalMisuse(f"{step.node} is an end of {self._place.request} and swaps nothing for it")

    def heard(self, step: Step, source: NodeId, message: Message) -> None:
        if isinstance(message, Expire):
            self._counters["expired"] += 1
            self._hands.give_up(step, message.origin)
        elif isinstance(message, Track):
            self._counters["arrived"] += 1
            step.order(
                Report(
                    name="track_arrived",
                    request=message.request,
                    fields={
                        "origin": str(message.origin),
                        "end": str(message.end),
                        "frame": message.frame,
                    },
                )
            )

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        """Nothing is ever due."""
