"""Files beside the calibration store, and who may write: one process at a time, whole files or none.

Owns the atomic write, the lock of the writer and the sweeping of what a killed writer left. Refuses to know
what is in a file.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from bellwire.core.errors import ConfigError, DeviceFault, LocalMisuse

DATA = "data"
"""Folder of raw data and plots, below the store's own."""

UNFINISHED = ".unfinished"
LOCK_POLL_S = 0.02


class StoreFault(DeviceFault):
    """The disk is full, read-only, gone or broken: this calibration is not stored. What was stored before
    stays in force.
    """


def checked_name(name: str) -> PurePosixPath:
    """A file's name relative to the store's folder. Raises LocalMisuse unless it lies below `data`."""
    path = PurePosixPath(name)
    if path.is_absolute() or len(path.parts) < 2 or path.parts[0] != DATA or ".." in path.parts:
        raise LocalMisuse(f'"{name}" is no file of a calibration store: it must lie below {DATA}/')
    return path


def write_whole(path: Path, content: bytes) -> None:
    """Bring a file to the disk so that a crash leaves all of it or nothing.

    Raises:
        LocalMisuse: another content stands under that name; files of records are never changed.
        StoreFault: it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}{UNFINISHED}")
    try:
        _make_folders(path.parent)
        if path.exists():
            if path.read_bytes() == content:
                return
            raise LocalMisuse(f"{path} exists with another content, and files of records are never changed")
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        _sync_folder(path.parent)
    except OSError as problem:
        remove(unfinished)
        raise StoreFault(str(path), f"cannot be written: {problem.strerror}") from problem


def sweep(folder: Path) -> None:
    """Remove what a writer left that was killed within a file. Only for the holder of the lock."""
    for path in (folder / DATA).rglob(f".*{UNFINISHED}"):
        remove(path)


@contextmanager
def writing(folder: Path, wait_s: float) -> Iterator[None]:
    """Hold the lock of the writer; the kernel frees it when the process dies.

    Raises:
        ConfigError: another process held it for `wait_s`; it is named.
        StoreFault: the folder cannot be made or written.
    """
    path = folder / "writer.lock"
    try:
        _make_folders(folder)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as problem:
        raise StoreFault(str(folder), f"cannot be written: {problem.strerror}") from problem
    try:
        _lock(descriptor, path, wait_s)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        yield
    except OSError as problem:
        raise StoreFault(str(path), f"cannot be written: {problem.strerror}") from problem
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path, wait_s: float) -> None:
    give_up_s = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up_s:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
                problem = (
                    f"process {holder} has been writing calibrations for more than {wait_s:g} s; "
                    "wait for it or stop it"
                )
                raise ConfigError(problem, where=str(path)) from None
            time.sleep(LOCK_POLL_S)
        else:
            return


def _make_folders(folder: Path) -> None:
    """Make a folder and those above it, each of them safely entered in its parent."""
    if not folder.is_dir():
        _make_folders(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Take away a file that nothing names; a disk that refuses keeps it, unused."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
