"""The looks of `bellwire doctor` at the state folder: permissions, space, locks, stores, keys, recorded runs.

Owns these looks. Refuses to repair, and reads no secret key.
"""

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bellwire.cli.doctor_words import GIB, Finding, Limits

if TYPE_CHECKING:
    from bellwire.labs import Lab

FULL_BYTES = 64 * 1024 * 1024
"""With less free than this agents end soon: their stores cannot grow."""
FOLDERS = ("agents", "keys", "control", "devices", "runs", "calibrations", "configurations")


def look_at_state(lab: str, state: Path, limits: Limits) -> Iterator[Finding]:
    """What can be seen of the folder without knowing the lab."""
    if not state.exists():
        yield Finding(
            "note", f"{state} does not exist: this lab was never up here", "the folder", f"bellwire up {lab}"
        )
        return
    yield from _permissions(state)
    yield from _space(state, limits)
    yield from _locks(state)
    yield from _stores(lab, state)
    yield from _runs(state, limits)


def _permissions(state: Path) -> Iterator[Finding]:
    for folder in (state, *(state / name for name in FOLDERS)):
        if not folder.exists():
            continue
        if not folder.is_dir():
            yield Finding("error", f"{folder} is no folder", "the file system", f"mv {folder} {folder}.aside")
        elif folder.stat().st_uid != os.geteuid() and os.geteuid() != 0:
            yield Finding(
                "error",
                f"{folder} belongs to user {folder.stat().st_uid}, agents would run as {os.geteuid()}",
                "its owner",
                f"sudo chown -R {os.geteuid()} {folder}",
            )
        elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            yield Finding("error", f"{folder} cannot be written", "its mode", f"chmod u+rwx {folder}")
    owners = {path.stat().st_uid for path in (state / "agents").glob("*") if path.is_file()}
    if len(owners) > 1:
        yield Finding(
            "error",
            f"files of {state / 'agents'} belong to users {', '.join(map(str, sorted(owners)))}: agents were "
            "started as different users",
            "their owners",
            f"sudo chown -R {state.stat().st_uid} {state}",
        )


def _space(state: Path, limits: Limits) -> Iterator[Finding]:
    free = shutil.disk_usage(state).free
    if free >= limits.disk_free_bytes:
        return
    yield Finding(
        "error" if free < FULL_BYTES else "warning",
        f"{free / GIB:.2f} GiB are free where {state} lies, less than {limits.disk_free_bytes / GIB:.2f}",
        "the file system",
        f"du -sh {state / 'runs'}/* | sort -h, then remove runs that nobody needs",
    )


def _locks(state: Path) -> Iterator[Finding]:
    """A lock that is held by somebody whose control socket is missing, and sockets that nobody listens at."""
    from bellwire.runtime.control import socket_path

    held: set[str] = set()
    for path in sorted((state / "agents").glob("*.lock")):
        holder = _holder(path)
        if holder is None:
            continue
        held.add(path.stem)
        if path.stem != "supervisor" and not socket_path(state, path.stem).exists():
            yield Finding(
                "error",
                f"process {holder} holds the lock of {path.stem} and answers nobody: it hangs, or it starts",
                f"{path} is locked, and {path.stem} has no control socket",
                f"ps -p {holder}; if it stays so: kill {holder}",
            )
    for path in sorted(socket_path(state, "x").parent.glob("*.sock")):
        if path.stem not in held and _nobody_listens(path):
            yield Finding(
                "note",
                f"{path} was left by a process that was killed",
                "nobody listens at it",
                f"rm {path} (the next start does it by itself)",
            )


def _nobody_listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as one:
        try:
            one.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        except OSError:
            return False  # a path too long for a look, or nobody takes the call at this moment
    return False


def _holder(path: Path) -> str | None:
    """Who holds a lock, None: nobody. The look takes no lock that an agent could want for longer than a
    moment."""
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read(32).decode("ascii", "replace").strip() or "unknown"
    except OSError:
        return None
    return None


def _stores(lab: str, state: Path) -> Iterator[Finding]:
    from bellwire.core.errors import ConfigError, DeviceFault
    from bellwire.labs.snapshots import all_of
    from bellwire.runtime.backup import check_store
    from bellwire.runtime.incarnations import read_counter

    stores = [*(state / "agents").glob("*.sqlite"), state / "calibrations" / "calibrations.sqlite"]
    for path in sorted([*stores, state / "runs" / "index.sqlite"]):
        if not path.exists():
            continue
        try:
            check_store(path, path)
        except DeviceFault as fault:
            yield Finding(
                "error",
                str(fault),
                "PRAGMA integrity_check",
                f"stop the lab, then: bellwire restore {lab} BACKUP --force --state {state}",
            )
    for path in sorted((state / "agents").glob("*.incarnation")):
        try:
            read_counter(path)
        except DeviceFault as fault:
            remedy = f"bellwire restore {lab} BACKUP --force --state {state}; never write a number by hand"
            yield Finding("error", str(fault), "reading the counter", remedy)
    try:
        all_of(state)
    except ConfigError as problem:
        yield Finding("warning", str(problem), "its hash", f"bellwire config snapshot {lab} --state {state}")


def look_at_keys(lab: str, loaded: "Lab", state: Path) -> Iterator[Finding]:
    """Keys that are missing, open to others, revoked, or refused and waiting."""
    from bellwire.core.errors import ConfigError
    from bellwire.core.instrument_messages import CONSOLE
    from bellwire.runtime.keys import Keyring

    if not (state / "keys").exists():
        return  # the first start makes them
    ring = Keyring(state / "keys")
    where = f"--state {state}"
    names = [*loaded.addresses, *([] if loaded.console is None else [CONSOLE])]
    for name in names:
        secret = state / "keys" / f"{name}.key"
        if secret.exists() and secret.stat().st_mode & 0o077:
            mode = secret.stat().st_mode & 0o777
            yield Finding(
                "error",
                f"the secret key of {name} is open to others (mode {mode:o})",
                "its mode",
                f"chmod 600 {secret}",
            )
    try:
        ring.reload()
        missing = [name for name in names if ring.public_of(name) is None]
        for name in missing:
            yield Finding(
                "error",
                f"no key of {name} is known here: nobody can speak to it",
                f"{state / 'keys' / 'public'}",
                f"bellwire keys new {lab} {name} {where} where it runs; copy keys/public/{name}.key here",
            )
        for name in names:
            key = None if name in missing else ring.public_of(name)
            if key is not None and ring.node_of(key.decode("ascii")) != name:
                yield Finding(
                    "error",
                    f"the key of {name} was revoked: its frames are dropped",
                    f"{state / 'keys' / 'revoked'}",
                    f"bellwire keys new {lab} {name} --replace {where}, then restart {name}",
                )
        for mark in ring.waiting():
            yield Finding(
                "warning",
                f"a key that nobody knows asked to come in and was refused (fingerprint {mark})",
                f"{state / 'keys' / 'waiting'}",
                f"if it is one of yours: bellwire keys trust {lab} NODE {mark} {where}",
            )
    except (ConfigError, UnicodeDecodeError) as problem:
        remedy = f"move the file away, then: bellwire keys new {lab} {where}"
        yield Finding("error", f"a key cannot be read: {problem}", "reading the keys", remedy)


def _runs(state: Path, limits: Limits) -> Iterator[Finding]:
    runs = state / "runs"
    if not runs.is_dir():
        return
    sizes = {
        run: sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
        for run in runs.iterdir()
        if run.is_dir()
    }
    total = sum(sizes.values())
    if total > limits.runs_bytes:
        oldest = min(sizes, key=lambda run: run.name)
        yield Finding(
            "warning",
            f"{len(sizes)} recorded runs take {total / GIB:.2f} GiB, more than {limits.runs_bytes / GIB:.2f}",
            f"the files in {runs}",
            f"rm -r {oldest} (the oldest, {sizes[oldest] / GIB:.2f} GiB), and further ones",
        )
