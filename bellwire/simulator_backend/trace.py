"""The trace digest: two runs that differ in any published fact, report or answer differ in it.

Owns the running hash. Same seed, same digest, under any PYTHONHASHSEED.
"""

from hashlib import blake2b

import msgspec

from bellwire.core.effects import AnswerLink, Report
from bellwire.core.ids import NodeId
from bellwire.core.messages import FactBatch

WORDS_BUFFERED = 512
"""Words are encoded and hashed together; the digest does not depend on where the cuts fall."""


def _array_header_bytes(length: int) -> int:
    """Length of a msgpack array header: fixarray below 16 elements, array 16 up to WORDS_BUFFERED."""
    return 1 if length < 16 else 3


class TraceDigest:
    """Hash of everything that nodes published, reported and answered, with its time, in order."""

    __slots__ = ("_buffer", "_encoder", "_hash")

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self._encoder = msgspec.msgpack.Encoder()
        self._buffer: list[tuple[int, NodeId, FactBatch | Report | AnswerLink]] = []

    def add(self, now_ns: int, node: NodeId, word: FactBatch | Report | AnswerLink) -> None:
        """A batch was published, a report was made, or a user of a link was answered."""
        self._buffer.append((now_ns, node, word))
        if len(self._buffer) >= WORDS_BUFFERED:
            self._flush()

    def _flush(self) -> None:
        # One array of all words is encoded faster than word by word; what it says before its first element
        # depends on the cuts and is left out.
        encoded = self._encoder.encode(self._buffer)
        self._hash.update(memoryview(encoded)[_array_header_bytes(len(self._buffer)) :])
        self._buffer.clear()

    def hexdigest(self) -> str:
        """The digest so far."""
        self._flush()
        return self._hash.hexdigest()
