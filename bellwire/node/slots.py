"""The one owner of the qubits of a node.

Owns the state of every memory slot and the table of legal changes. Refuses everything else with LocalMisuse:
a slot that is measuring, offered or locked cannot be taken away by news of death, a cutoff or a policy
(architecture.md section 3).
"""

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import End, LinkId, RequestId
from bellwire.core.settings import NetworkSettings
from bellwire.core.view import SlotState

_FROM: dict[str, tuple[SlotState, ...]] = {
    "attempt": ("free",),
    "stand_down": ("attempting",),
    "hold": ("attempting",),
    "measure": ("held",),
    "offer": ("held",),
    "lock": ("held",),
    "unlock": ("locked",),
    "bind": ("held",),
    "rest": ("measuring",),
    "free": ("attempting", "held", "measuring", "locked", "offered", "resting", "lost"),
    "lose": ("free", "attempting", "held", "measuring", "locked", "offered", "resting", "lost"),
}
"""Change -> states from which it is legal."""


class Slot:
    """One memory slot. Satisfies core.view.SlotView; only SlotTable writes it."""

    __slots__ = (
        "born_ns",
        "end",
        "generation",
        "in_bank",
        "index",
        "lane",
        "link",
        "request",
        "state",
        "tree",
    )

    def __init__(self, index: int, link: LinkId, lane: int, *, in_bank: bool = False) -> None:
        self.index = index
        self.link = link  # of a bank: the link and lane of its latest attempt
        self.lane = lane
        self.in_bank = in_bank
        self.state: SlotState = "free"
        self.generation = 0
        self.end: End | None = None
        self.request: RequestId | None = None
        self.tree = 0
        self.born_ns = 0

    def __repr__(self) -> str:
        place = f"slot {self.index} ({self.link} lane {self.lane})"
        return f"{place} {self.state} generation {self.generation} end {self.end}"


class SlotTable:
    """Implements core.view.SlotBook for one node."""

    def __init__(self, network: NetworkSettings, node: str) -> None:
        self._node = node
        self.changes = 0
        self._slots: dict[int, Slot] = {}
        self._of_lane: dict[tuple[LinkId, int], Slot] = {}
        self._holding: dict[End, Slot] = {}
        self._of_link: dict[LinkId, tuple[Slot, ...]] = {}
        memory = network.nodes[node].memory
        self._emitters = None if memory is None else memory.emitters
        for name in network.nodes[node].links:
            link = network.links[name]
            side = link.nodes.index(node)
            if link.shared[side]:
                self._add_bank(name, link.slots[side])
                continue
            for lane, index in enumerate(link.slots[side]):
                if index in self._slots:
                    raise LocalMisuse(f"{node}: slot {index} serves two lanes")
                slot = Slot(index, name, lane)
                self._slots[index] = slot
                self._of_lane[name, lane] = slot
            self._of_link[name] = tuple(self._slots[index] for index in link.slots[side])
        self._slots = dict(sorted(self._slots.items()))

    def _add_bank(self, link: LinkId, indices: tuple[int, ...]) -> None:
        for index in indices:
            slot = self._slots.setdefault(index, Slot(index, link, 0, in_bank=True))
            if not slot.in_bank:
                raise LocalMisuse(f"{self._node}: slot {index} serves a lane of {slot.link} and a bank")
        self._of_link[link] = tuple(self._slots[index] for index in indices)

    def _change(self, index: int, change: str) -> Slot:
        slot = self._slots[index]
        if slot.state not in _FROM[change]:
            raise LocalMisuse(f"{self._node}: {change} is not allowed on {slot!r}")
        self.changes += 1
        return slot

    def slot(self, index: int) -> Slot:
        """The slot of that number."""
        return self._slots[index]

    def of_lane(self, link: LinkId, lane: int) -> Slot | None:
        """The slot that serves a lane of an incident link; of a bank: that attempts on it."""
        return self._of_lane.get((link, lane))

    def of_link(self, link: LinkId) -> tuple[Slot, ...]:
        """The slots that an incident link may use: its own, or those of a bank."""
        return self._of_link[link]

    def holding(self, end: End) -> Slot | None:
        """The slot that holds this end in any state, or None."""
        return self._holding.get(end)

    def slots(self) -> tuple[Slot, ...]:
        """All slots in the order of their numbers."""
        return tuple(self._slots.values())

    def attempt(self, index: int) -> int:
        """free -> attempting; returns the new generation."""
        slot = self._slots[index]
        if slot.state != "free":
            raise LocalMisuse(f"{self._node}: attempt is not allowed on {slot!r}")
        self.changes += 1
        slot.state = "attempting"
        slot.generation += 1
        return slot.generation

    def attempt_on(self, link: LinkId, lane: int) -> Slot | None:
        """free -> attempting for a lane, on its own slot or on any free one of its bank. None: no slot is
        free, or every emitter of the node is at work."""
        slots = self._slots.values()
        if self._emitters is not None and sum(one.state == "attempting" for one in slots) >= self._emitters:
            return None
        slot = self._of_lane.get((link, lane))
        if slot is None:
            slot = next((one for one in self._of_link[link] if one.state == "free"), None)
        if slot is None or slot.state != "free":
            return None
        if slot.in_bank:
            slot.link, slot.lane = link, lane
            self._of_lane[link, lane] = slot
        self.attempt(slot.index)
        return slot

    def stand_down(self, index: int) -> None:
        """attempting -> free."""
        slot = self._change(index, "stand_down")
        slot.state = "free"
        self._leave_lane(slot)

    def hold(self, index: int, end: End, request: RequestId | None, tree: int, born_ns: int) -> None:
        """attempting -> held. No end is ever in two slots."""
        slot = self._change(index, "hold")
        if end in self._holding:
            raise LocalMisuse(f"{self._node}: {end} is already in {self._holding[end]!r}")
        slot.state = "held"
        slot.end = end
        slot.request = request
        slot.tree = tree
        slot.born_ns = born_ns
        self._holding[end] = slot
        if slot.in_bank:
            self._leave_lane(slot)

    def measure(self, index: int) -> None:
        """held -> measuring."""
        self._change(index, "measure").state = "measuring"

    def offer(self, index: int) -> None:
        """held -> offered."""
        self._change(index, "offer").state = "offered"

    def lock(self, index: int) -> None:
        """held -> locked."""
        self._change(index, "lock").state = "locked"

    def unlock(self, index: int, born_ns: int) -> None:
        """locked -> held; the estimate of the qubit counts from `born_ns`."""
        slot = self._change(index, "unlock")
        slot.state = "held"
        slot.born_ns = born_ns

    def bind(self, index: int, request: RequestId | None, tree: int) -> None:
        """held, for another request."""
        slot = self._change(index, "bind")
        slot.request = request
        slot.tree = tree

    def rest(self, index: int) -> None:
        """measuring -> resting; the end is gone, the memory waits for the end of its request's round."""
        slot = self._change(index, "rest")
        request = slot.request
        self._forget(slot)
        slot.request = request
        slot.state = "resting"

    def free(self, index: int) -> None:
        """Any state but free -> free."""
        slot = self._change(index, "free")
        self._forget(slot)
        slot.state = "free"

    def lose(self, index: int) -> None:
        """Any state -> lost: the instrument forgot the qubit."""
        slot = self._change(index, "lose")
        self._forget(slot)
        slot.state = "lost"

    def _leave_lane(self, slot: Slot) -> None:
        """A slot of a bank that attempts no more serves no lane."""
        if slot.in_bank and self._of_lane.get((slot.link, slot.lane)) is slot:
            del self._of_lane[slot.link, slot.lane]

    def _forget(self, slot: Slot) -> None:
        self._leave_lane(slot)
        if slot.end is not None:
            del self._holding[slot.end]
            slot.end = None
        slot.request = None
