"""Files of records of one size: read in pieces, and never past a record that was cut off.

Owns the bytes and the message about a file that ends early. Refuses to know what a record means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bellwire.core.errors import ConfigError
from bellwire.drivers.tag_files.damage import NOTHING, DamagedTagFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

SNIFFED = 4096
"""Records that are looked at to tell formats without a header apart."""


@dataclass(frozen=True, slots=True)
class RecordFile:
    """Records of `size` bytes from byte `start` on. `count`: how many there must be; None: to the end."""

    path: Path
    size: int
    start: int = 0
    count: int | None = None

    @property
    def present(self) -> int:
        """Whole records that are there, and belong to the tags."""
        found = max(size_of(self.path) - self.start, 0) // self.size
        return found if self.count is None else min(found, self.count)

    def offset(self, record: int) -> int:
        """Where a record begins."""
        return self.start + record * self.size

    def place(self, first: int, record: NDArray[np.int64] | None = None) -> Callable[[int], int]:
        """Where the record of a tag begins, when tag 0 is of record `first`; `record`: of each tag, where
        not every record is one tag.
        """
        if record is None:
            return lambda tag: self.offset(first + tag)
        return lambda tag: self.offset(first + int(record[tag]))

    def checked(self, salvage: bool) -> list[str]:
        """What is missing at the end, as sentences, when that may be. Raises DamagedTagFile when not."""
        size, present = size_of(self.path), self.present
        left = size - self.offset(present)
        if self.count is not None and present < self.count:
            problem = f"the file ends {left} bytes behind record {present} of {self.count}"
        elif self.count is None and left:
            problem = f"the file ends within a record: {left} bytes of {self.size}"
        else:
            return []
        saved = f"--salvage takes the {present} whole records before" if present else NOTHING
        damage = DamagedTagFile(self.path, self.offset(present), problem, saved)
        if not salvage:
            raise damage
        return [f"left out what stands behind the damage: {damage}"]

    def pieces(self, records_max: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Number of the first record, and the bytes of some, shape (n, size)."""
        present = self.present
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.start)
            first = 0
            while first < present:
                wanted = min(records_max, present - first)
                piece = _exactly(file, wanted * self.size)
                if len(piece) < wanted * self.size:
                    at = self.offset(first) + len(piece)
                    raise DamagedTagFile(self.path, at, "the file became shorter while it was read")
                yield first, np.frombuffer(piece, np.uint8).reshape(-1, self.size)
                first += wanted

    def beginning(self, records: int = SNIFFED) -> NDArray[np.uint8]:
        """The first whole records, shape (n, size)."""
        present = min(self.present, records)
        with self.path.open("rb") as file:
            file.seek(self.start)
            read = file.read(present * self.size)
        return np.frombuffer(read, np.uint8).reshape(-1, self.size)


def size_of(path: Path) -> int:
    """Size of a file. Raises ConfigError when it cannot be read."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from None


def _exactly(file: RawIOBase, count: int) -> bytes:
    """As many bytes as there are, up to `count`."""
    parts: list[bytes] = []
    while count > 0 and (part := file.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def words_of(records: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Records of 8 n bytes as little endian words, shape (records, n)."""
    return np.ascontiguousarray(records).view("<u8")


def in_order(numbers: NDArray[np.uint64] | NDArray[np.int64]) -> bool:
    """Whether no number is less than the one before."""
    return bool(np.all(numbers[1:] >= numbers[:-1]))
