"""What the members of a request have told of each delivery: bases, bits, outcomes, and the frame to mend.

Owns the records that statistics are made from, and their gathering from reports. Refuses to ask anybody:
reports are handed in, by whoever runs the network.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bellwire.core.ids import NodeId
from bellwire.core.link_words import Basis
from bellwire.core.plans import EntanglementRequest

FINAL: Final = frozenset({"completed", "failed", "cancelled"})
"""Statuses after which nothing more is delivered."""

Field = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Look:
    """One member's measurement. bit 0: eigenvalue +1 of the basis, raw: nothing is flipped for a frame."""

    basis: Basis
    bit: int
    at_ns: int  # when it was told


@dataclass(slots=True)
class Delivery:
    """One state that was handed over to all members."""

    number: int
    head_end: str
    tail_end: str
    fidelity: float  # the network's own estimate
    frame: int = 0  # Pauli index 0..3 of the pair; of states of three and more see `frames`
    looks: dict[NodeId, Look] = field(default_factory=dict[NodeId, Look])
    frames: dict[NodeId, int] = field(default_factory=dict[NodeId, int])  # that each member still needs
    outcome: int | None = None  # of the Bell measurement at the source of a teleportation
    projected_ns: int | None = None  # when that was told
    lost: set[NodeId] = field(default_factory=set[NodeId])  # members whose qubit came to nothing
    void: bool = False

    @property
    def ends(self) -> frozenset[str]:
        """Names of its two ends; of a state of three and more those at the source and its first tail."""
        return frozenset((self.head_end, self.tail_end))


class Deliveries:
    """All deliveries of one request, and how the request stands."""

    def __init__(self, request: EntanglementRequest) -> None:
        self.request = request
        self.by_number: dict[int, Delivery] = {}
        self.status = "submitted"
        self.error: str | None = None
        self._early: dict[int, list[tuple[NodeId, int, Mapping[str, Field]]]] = {}

    def take(self, node: NodeId, at_ns: int, name: str, fields: Mapping[str, Field]) -> None:
        """One report of a node about this request, in the order in which that node made them."""
        if name == "request_status" and node == self.request.target_nodes[0]:
            self.status = str(fields["status"])
            error = fields.get("error_message")
            self.error = None if error is None else str(error)
        elif name == "plan_failed":
            self.error = str(fields["reason"])
        elif name == "pair_void":
            one = self.by_number.get(_number(fields))
            if one is not None:
                one.void = True
        elif name == "pair_delivered":
            self._delivered(node, at_ns, fields)
        elif name == "qubit_used":
            self._used(node, at_ns, fields)

    def _delivered(self, node: NodeId, at_ns: int, fields: Mapping[str, Field]) -> None:
        number = _number(fields)
        one = self.by_number.get(number)
        if one is None:
            one = self.by_number[number] = Delivery(
                number,
                str(fields["head_end"]),
                str(fields["tail_end"]),
                float(fields["fidelity"] or 0.0),
                int(fields["frame"] or 0),
            )
        _look(one, node, at_ns, fields)
        for early in self._early.pop(number, []):
            self._used(*early)

    def _used(self, node: NodeId, at_ns: int, fields: Mapping[str, Field]) -> None:
        one = self.by_number.get(_number(fields))
        if one is None:  # another node's report of the delivery is still to come
            self._early.setdefault(_number(fields), []).append((node, at_ns, fields))
            return
        one.frames[node] = int(fields["frame"] or 0)
        outcome = fields["outcome"]
        if fields["bit"] is not None:
            _look(one, node, at_ns, fields)
        elif outcome is None:
            one.lost.add(node)
        else:
            one.outcome, one.projected_ns = int(outcome), at_ns

    def whole(self) -> list[Delivery]:
        """Deliveries that count and of which every member has told its measurement, by number. Of a
        teleportation the source has none, but an outcome."""
        members = self.request.target_nodes
        return [
            one
            for _, one in sorted(self.by_number.items())
            if not one.void
            and not one.lost
            and all(node in one.looks for node in members[one.outcome is not None :])
        ]

    @property
    def ended(self) -> bool:
        """The request is over, and every delivery of it has come to its end at every member."""
        if self.status not in FINAL:
            return False
        settled = len(self.whole()) + sum(one.void or bool(one.lost) for one in self.by_number.values())
        return settled >= len(self.by_number)


def _look(one: Delivery, node: NodeId, at_ns: int, fields: Mapping[str, Field]) -> None:
    basis, bit = fields.get("basis"), fields.get("bit")
    if isinstance(basis, str) and isinstance(bit, int):
        one.looks[node] = Look(basis, bit, at_ns)  # type: ignore[arg-type]  # our own nodes' words


def _number(fields: Mapping[str, Field]) -> int:
    number = fields["number"]
    assert isinstance(number, int), "reports of deliveries have numbers"
    return number
