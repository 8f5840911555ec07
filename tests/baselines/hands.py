"""One node of a baseline without its part: records what a protocol does with its own halves."""

from typing import Any, TypeVar

from bellwire.baselines.hops import HopProtocol, OwnHalf, Place
from bellwire.core.effects import Report, Send
from bellwire.core.ids import End, NodeId
from bellwire.core.machine import Step
from bellwire.core.messages import Message

Kind = TypeVar("Kind")


class Counters(dict[str, int]):
    """Every counter starts at zero."""

    def __missing__(self, name: str) -> int:
        return 0


class RecordingHands:
    """Satisfies hops.Hands."""

    def __init__(self) -> None:
        self.swaps: list[tuple[OwnHalf, OwnHalf]] = []
        self.given_up: list[End] = []

    def swap(self, step: Step, place: Place, left: OwnHalf, right: OwnHalf) -> None:
        self.swaps.append((left, right))

    def give_up(self, step: Step, end: End) -> None:
        self.given_up.append(end)


def place_of(role: str) -> Place:
    """The place of n0, n1 or n3 on the route n0 - n1 - n2 - n3; an inner node is n1."""
    fields: dict[str, Any] = {
        "source": {"left": None, "right": "n1", "left_link": None, "right_link": "l0"},
        "inner": {"left": "n0", "right": "n2", "left_link": "l0", "right_link": "l1"},
        "destination": {"left": "n2", "right": None, "left_link": "l2", "right_link": None},
    }
    return Place(
        request="r", tree=0, source="n0", destination="n3", route=("n0", "n1", "n2", "n3"), **fields[role]
    )


class Bench:
    """A protocol, its hands, and the step in which it speaks."""

    def __init__(self) -> None:
        self.hands = RecordingHands()
        self.counters = Counters()
        self.step = Step("n1")

    def at(self, now_ns: int) -> Step:
        self.step.now_ns = now_ns
        return self.step

    def hear(self, protocol: HopProtocol, now_ns: int, message: Message, source: NodeId = "n0") -> None:
        protocol.heard(self.at(now_ns), source, message)

    def sent(self, kind: type[Kind]) -> list[tuple[NodeId, Kind]]:
        return [
            (effect.to, effect.message)
            for effect in self.step.effects
            if isinstance(effect, Send) and isinstance(effect.message, kind)
        ]

    def reports(self, name: str) -> list[Report]:
        return [one for one in self.step.effects if isinstance(one, Report) and one.name == name]


def half(link: str, attempt: int, frame: int = 0, *, side: int = 0) -> OwnHalf:
    """An own half; on the left of an inner node that is side 1."""
    return OwnHalf(End(link, 1, attempt, 0, side), attempt, frame)
