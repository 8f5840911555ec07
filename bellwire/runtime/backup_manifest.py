"""What belongs into a backup of a state folder, and the list that an archive carries of itself.

Owns these words. Refuses to read or write archives (backup.py, restore.py). Runs themselves stay out: they
are large, and copied like any folder; their index is in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec

from bellwire.core.errors import ConfigError

MANIFEST = "manifest.json"
FORMAT = 1
MEMBERS_MAX = 100_000

FILES = (
    "agents/*.sqlite",
    "agents/*.incarnation",
    "keys/*.key",
    "keys/public/*.key",
    "keys/revoked/*.key",
    "calibrations/calibrations.sqlite",
    "calibrations/data/**/*",
    "configurations/*",
    "runs/index.sqlite",
)
"""Of a state folder, what a backup takes."""

PARTS = ("agents", "keys", "calibrations", "configurations", "runs")
"""Folders in which they lie."""


class Member(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file."""

    name: str  # relative to the state folder
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an archive holds, and of what and when it was made."""

    format: int
    lab: str
    digest: str  # of the lab's configuration
    made_ns: int  # unix time
    bellwire: str
    schema: int  # of the bus, and of the records that are written in its words
    versions: dict[str, str]
    nodes: tuple[str, ...]
    members: tuple[Member, ...]

    def encoded(self) -> bytes:
        """As it stands in the archive."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


def decoded(content: bytes, where: str) -> Manifest:
    """The manifest in these bytes. Raises ConfigError for anything else."""
    try:
        found = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise ConfigError(f"not a manifest of a backup: {problem}", where=where) from problem
    if found.format != FORMAT:
        raise ConfigError(
            f"a backup of format {found.format}, made by bellwire {found.bellwire}; this one reads {FORMAT}",
            where=where,
        )
    if len(found.members) > MEMBERS_MAX:
        raise ConfigError(f"{len(found.members)} files, the limit is {MEMBERS_MAX}", where=where)
    for member in found.members:
        if not is_wanted(member.name):
            raise ConfigError(f'"{member.name}" does not belong into a backup', where=where)
    return found


def wanted_in(state: Path) -> Iterator[str]:
    """Names of all files of a state folder that belong into a backup, in order."""
    found = {
        str(PurePosixPath(path.relative_to(state)))
        for pattern in FILES
        for path in state.glob(pattern)
        if path.is_file() and not path.name.startswith(".")
    }
    return iter(sorted(found))


_PATTERNS = tuple(
    re.compile(re.escape(one).replace(r"/\*\*/\*", "(/[^/]+)+").replace(r"\*", "[^/]+")) for one in FILES
)


def is_wanted(name: str) -> bool:
    """A name that `wanted_in` could have given, and nothing else: no way out of the folder."""
    steps = name.split("/")
    if any(step in ("", ".", "..") or step.startswith(".") or "\\" in step or "\0" in step for step in steps):
        return False
    return any(pattern.fullmatch(name) for pattern in _PATTERNS)


def is_store(name: str) -> bool:
    """An SQLite file."""
    return name.endswith(".sqlite")


def is_counter(name: str) -> bool:
    """The incarnation counter of an agent."""
    return name.endswith(".incarnation")


def is_secret(name: str) -> bool:
    """A file that only its owner may read: secret keys lie at the top of the folder of keys."""
    return re.fullmatch(r"keys/[^/]+\.key", name) is not None
