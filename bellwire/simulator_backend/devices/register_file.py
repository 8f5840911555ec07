"""Register file of an emulated device: modes, shadow sets, latched pairs.

Owns the stored values and the rules of each mode. Refuses to act on a write by itself: the device hangs its
own functions in `readers` and `writers`.
"""

from __future__ import annotations

from collections.abc import Callable

from bellwire.drivers.framing import Status
from bellwire.drivers.regmap import WORD_MASK, Place, RegisterMap


class RegisterFile:
    """Words by address.

    `readers[name](index)` computes a value; `writers[name](index, value)` may refuse it.
    """

    def __init__(self, register_map: RegisterMap) -> None:
        self.map = register_map
        self.readers: dict[str, Callable[[int], int]] = {}
        self.writers: dict[str, Callable[[int, int], Status]] = {}
        self._active: dict[tuple[str, int], int] = {}
        self._shadow: dict[tuple[str, int], int] = {}
        self._latched: dict[tuple[str, int], int] = {}

    def value(self, name: str, index: int = 0) -> int:
        """The value in force."""
        reader = self.readers.get(name)
        return reader(index) if reader is not None else self._active.get((name, index), 0)

    def put(self, name: str, value: int, index: int = 0) -> None:
        """Set a value from inside the device, whatever the mode."""
        self._active[name, index] = value

    def read(self, address: int) -> int | None:
        """The word at an address, None when nothing is there.

        Reading the low word of a pair latches the high one.
        """
        place = self.map.at(address)
        if place is None:
            return None
        register, key = place.register, (place.register.name, place.index)
        if register.words == 1:
            value = self.value(*key)
            return value & WORD_MASK
        if place.part == 0:
            value = self.value(*key)
            self._latched[key] = value >> 32
            return value & WORD_MASK
        return self._latched.get(key, 0)

    def check(self, address: int, word: int) -> Status:
        """Whether a write would be allowed; changes nothing."""
        place = self.map.at(address)
        if place is None:
            return Status.BAD_ADDRESS
        if place.register.mode == "ro":
            return Status.READ_ONLY
        return Status.OK if self._fits(place, word) else Status.RANGE

    def write(self, address: int, word: int) -> Status:
        """Carry out a write that `check` has allowed."""
        place = self.map.at(address)
        assert place is not None
        register = place.register
        value = self._whole(place, word)
        writer = self.writers.get(register.name)
        if writer is not None:
            status = writer(place.index, value)
            if status != Status.OK:
                return status
        key = (register.name, place.index)
        if register.mode == "shadow":
            self._shadow[key] = value
        elif register.mode == "rw":
            self._active[key] = value
        elif register.mode == "w1c":
            self._active[key] = self._active.get(key, 0) & ~value
        return Status.OK

    def latch_pairs(self) -> None:
        """Latch the high words of all pairs at once."""
        for register in self.map:
            if register.words == 2:
                for index in range(register.count):
                    self._latched[register.name, index] = self.value(register.name, index) >> 32

    def _whole(self, place: Place, word: int) -> int:
        """The value that a register has once this word of it is written."""
        register = place.register
        if register.words == 1:
            return register.decode((word,))
        kept = self._shadow if register.mode == "shadow" else self._active
        before = register.encode(kept.get((register.name, place.index), 0))
        return register.decode((word, before[1]) if place.part == 0 else (before[0], word))

    def raise_sticky(self, name: str, bit: str) -> None:
        """Set a bit of a w1c register."""
        self._active[name, 0] = self._active.get((name, 0), 0) | self.map[name].fields[bit].place(1)

    def snapshot_shadow(self) -> dict[tuple[str, int], int]:
        """What a commit would put in force: a copy, so that later writes do not tear it."""
        return dict(self._shadow)

    def apply(self, values: dict[tuple[str, int], int]) -> None:
        """Put a committed set in force."""
        self._active.update(values)

    @staticmethod
    def _fits(place: Place, word: int) -> bool:
        register = place.register
        if register.words == 2:
            return place.part == 0 or word >> (register.width - 32) == 0
        return register.decode((word,)) & WORD_MASK == word
