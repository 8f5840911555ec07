"""What HDF5 writes into, made so that the library never meets an error of the disk.

Owns the postponement: HDF5 does not survive a write that fails while it closes a file, so a failure is kept,
everything after it is taken and thrown away, and whoever writes tags asks for it after each step.
"""

from __future__ import annotations

from typing import BinaryIO


class PatientSink:
    """A file object for h5py. `raise_failure` raises what went wrong, Ctrl-C among it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._failure: BaseException | None = None

    def raise_failure(self) -> None:
        """Nothing, or the first failure. Raises OSError, KeyboardInterrupt."""
        if self._failure is not None:
            raise self._failure

    def write(self, piece: memoryview) -> int:
        if self._failure is None:
            try:
                self._file.write(piece)
            except BaseException as failure:  # handed on by raise_failure
                self._failure = failure
        return len(piece)

    def read(self, count: int = -1) -> bytes:
        return self._file.read(count)  # HDF5 uses readinto; h5py knows a file by this

    def readinto(self, room: memoryview) -> int:
        if self._failure is None:
            try:
                read = self._file.read(len(room))
                room[: len(read)] = read
                return len(read)
            except BaseException as failure:  # handed on by raise_failure
                self._failure = failure
        room[:] = bytes(len(room))
        return len(room)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        if self._failure is None:
            try:
                return self._file.truncate(size)
            except BaseException as failure:  # handed on by raise_failure
                self._failure = failure
        return size or 0

    def flush(self) -> None:
        if self._failure is None:
            try:
                self._file.flush()
            except BaseException as failure:  # handed on by raise_failure
                self._failure = failure
