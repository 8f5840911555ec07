"""Slots of a memory that no link uses: for states that applications and calibrations prepare themselves.

Owns which of them are free. Refuses what is done with one: whoever took it gives it back.
"""

from bellwire.core.settings import MemorySettings


class OwnSlots:
    """Of one node; all parts of its machine take from the same."""

    def __init__(self, memory: MemorySettings) -> None:
        self._free = list(range(memory.slots, memory.slots + memory.own_slots))

    @property
    def any_free(self) -> bool:
        """Whether `take` gives one."""
        return bool(self._free)

    def take(self) -> int:
        """A free slot. Raises IndexError when there is none."""
        return self._free.pop(0)

    def give_back(self, slot: int) -> None:
        """It is empty, or will be prepared anew whatever it holds."""
        self._free.append(slot)
