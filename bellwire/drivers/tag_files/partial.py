"""A file that is there whole or not at all: written under another name, published in one step.

Owns partial files. Refuses to replace a file that exists, whatever happens in between.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import BinaryIO

from bellwire.core.errors import ConfigError
from bellwire.drivers.tag_files.damage import DiskFull

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


class PartialFile:
    """Opened for writing and reading as `file` until `publish` or `discard`."""

    def __init__(self, final: Path) -> None:
        self.final = final
        self.place = final.with_name(f".{final.name}.{os.getpid()}.partial")
        refuse_existing(final)
        try:
            self.file: BinaryIO = self.place.open("x+b")
        except OSError as error:
            raise ConfigError(f"cannot be written: {error.strerror}", where=str(final)) from None

    def flush(self) -> None:
        """Hand everything to the disk."""
        self.file.flush()
        os.fsync(self.file.fileno())

    def publish(self) -> None:
        """Give the file its name. Raises ConfigError when there is one by now."""
        self.flush()
        self.file.close()
        try:
            os.link(self.place, self.final)
        except FileExistsError:
            self.discard()
            raise ConfigError("exists by now; files are never overwritten", where=str(self.final)) from None
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            refuse_existing(self.final)  # a file system without links: as near to one step as it allows
            self.place.rename(self.final)
            return
        self.place.unlink()

    def discard(self) -> None:
        """Remove what was written. May be called again."""
        with contextlib.suppress(OSError):  # what could not be written on closing is not wanted either
            self.file.close()
        self.place.unlink(missing_ok=True)


def refuse_existing(path: Path) -> None:
    """Raises ConfigError when there is such a file, or no folder for it."""
    if path.exists():
        raise ConfigError("exists, and files are never overwritten: choose another name", where=str(path))
    if not path.parent.is_dir():
        raise ConfigError("there is no such folder", where=str(path.parent))


def no_room(path: Path, error: OSError, written_bytes: int) -> DiskFull | None:
    """The fault that an error means, when it means that there is no room."""
    text = str(error)
    if error.errno in NO_ROOM or "No space left" in text or os.strerror(errno.EFBIG) in text:
        return DiskFull(path, written_bytes)
    return None
