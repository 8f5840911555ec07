"""Many registers in few round trips: neighbouring words travel together.

Owns the grouping of words by address. Refuses to decide what a value means or whether it was kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from bellwire.drivers.framed_device import READ_WORDS_MAX, WRITE_WORDS_MAX
from bellwire.drivers.regmap import RegisterMap

Key = tuple[str, int]
"""Name and instance of a register."""


class RegisterAccess(Protocol):
    """What carries reads and writes of registers: a framed link, or Etherbone."""

    name: str
    map: RegisterMap

    async def read(self, name: str, index: int = 0) -> int: ...

    async def write(self, name: str, value: int, index: int = 0) -> None: ...

    async def read_words(self, address: int, count: int, *, fixed: bool = False) -> tuple[int, ...]: ...

    async def write_words(self, address: int, words: tuple[int, ...], *, fixed: bool = False) -> None: ...


def runs_of(addresses: Iterable[int], longest: int) -> list[tuple[int, int]]:
    """(first address, count) of runs of neighbouring addresses, none longer than `longest`."""
    runs: list[tuple[int, int]] = []
    for address in sorted(addresses):
        if runs and runs[-1][0] + runs[-1][1] == address and runs[-1][1] < longest:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((address, 1))
    return runs


def words_of(register_map: RegisterMap, values: Mapping[Key, int]) -> dict[int, int]:
    """The word for each address. Raises LocalMisuse for a value that its register cannot hold."""
    words: dict[int, int] = {}
    for (name, index), value in values.items():
        register = register_map[name]
        for part, word in enumerate(register.encode(value)):
            words[register.address_of(index) + part] = word
    return words


async def write_registers(link: RegisterAccess, values: Mapping[Key, int]) -> None:
    """Write registers in bursts. Raises DeviceError when one is refused; earlier bursts are written then."""
    words = words_of(link.map, values)
    for first, count in runs_of(words, WRITE_WORDS_MAX):
        await link.write_words(first, tuple(words[first + k] for k in range(count)))


async def read_registers(link: RegisterAccess, keys: Iterable[Key]) -> dict[Key, int]:
    """The values of registers, read in bursts."""
    wanted = list(keys)
    addresses = {
        link.map[name].address_of(index) + part
        for name, index in wanted
        for part in range(link.map[name].words)
    }
    words: dict[int, int] = {}
    for first, count in runs_of(addresses, READ_WORDS_MAX):
        words.update(enumerate(await link.read_words(first, count), first))
    values: dict[Key, int] = {}
    for name, index in wanted:
        register = link.map[name]
        address = register.address_of(index)
        values[name, index] = register.decode(tuple(words[address + k] for k in range(register.words)))
    return values
