"""Who a peer says it is: the schema of its frames and the software that makes them.

Owns what a HELLO carries, what is kept of every peer, and the sentence about one that must be refused.
Refuses to decide what to do about it: `network.py` drops frames of another schema, and people update.

The first three places of a frame (source, incarnation, schema) never change their meaning, whatever a later
schema adds behind them: that is how two versions can tell each other that they do not understand each other.
"""

from typing import Any

import msgspec

from bellwire import __version__
from bellwire.core.ids import NodeId
from bellwire.core.messages import SCHEMA_VERSION
from bellwire.runtime.envelope import HELLO, Frame
from bellwire.runtime.health import Health

SOFTWARE_CHARACTERS_MAX = 64


class Greeting(msgspec.Struct, frozen=True, array_like=True):
    """What a HELLO says beside the frame; later versions may add to it."""

    software: str  # version of the bellwire package


class Opening(msgspec.Struct, frozen=True, array_like=True):
    """The part of a frame that every schema has."""

    source: NodeId
    incarnation: int
    schema: int


_greeting_decoder = msgspec.msgpack.Decoder(Greeting)
_opening_decoder = msgspec.msgpack.Decoder(Opening)
GREETING = msgspec.msgpack.encode(Greeting(software=__version__))


def opening_of(raw: bytes | memoryview) -> Opening | None:
    """The part of a frame that every schema has, of a frame that this one cannot read; None: it is none."""
    try:
        return _opening_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def software_of(frame: Frame) -> str | None:
    """The version that a HELLO names; None for other frames, and for peers that do not say."""
    if frame.kind != HELLO or not frame.payload:
        return None
    try:
        told = _greeting_decoder.decode(frame.payload).software
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return told[:SOFTWARE_CHARACTERS_MAX] if told.isprintable() else None


class PeerVersion:
    """What one peer speaks, and whether it is refused for it."""

    def __init__(self, peer: NodeId) -> None:
        self.schema: int | None = None  # None: never heard of
        self.software: str | None = None  # None: it has not said
        self._peer = peer
        self._refused: tuple[int, int, str | None] | None = None

    @property
    def refused(self) -> bool:
        """Its frames are dropped, because they are of another schema."""
        return self._refused is not None

    def accept(self, frame: Frame) -> None:
        """A frame of our schema."""
        self.schema = frame.schema
        self._refused = None
        if frame.kind == HELLO:
            self.software = software_of(frame)

    def refuse(self, opening: Opening, software: str | None, health: Health) -> None:
        """A frame of another schema. Every life of the peer is told once, and again when it says its
        software; each frame is counted."""
        health.count(
            "frame_of_other_schema", source=opening.source, schema=opening.schema, ours=SCHEMA_VERSION
        )
        if self._refused is not None and self._refused[:2] == (opening.incarnation, opening.schema):
            software = software or self._refused[2]
        now = (opening.incarnation, opening.schema, software)
        if now == self._refused:
            return
        self._refused = now
        self.schema, self.software = opening.schema, software
        health.tell("peer_of_other_schema", peer=self._peer, problem=self.problem())

    def problem(self) -> str:
        """Why it is refused and what to do, "" while it is not."""
        if not self.refused:
            return ""
        theirs = f"bellwire {self.software}" if self.software else "its bellwire"
        older = self.schema is not None and self.schema < SCHEMA_VERSION
        behind = f"the computer of {self._peer}" if older else "this computer"
        return (
            f"{self._peer} is refused: {theirs} speaks bus schema {self.schema}, bellwire {__version__} here "
            f"speaks {SCHEMA_VERSION}; install the same version on both (update {behind}), then restart the "
            "agent there"
        )

    def told(self, incarnation: int | None) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "software": self.software,
            "schema": self.schema,
            "incarnation": incarnation,
            "refused": self.refused,
            "problem": self.problem(),
        }
