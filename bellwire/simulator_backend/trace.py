"""The trace digest: two runs that differ in any published fact or report differ in it.

Owns the running hash. Same seed, same digest, under any PYTHONHASHSEED.
"""

from hashlib import blake2b

import msgspec

from bellwire.core.effects import Report
from bellwire.core.ids import NodeId
from bellwire.core.messages import FactBatch


class TraceDigest:
    """Hash of everything that nodes published and reported, with its time, in order."""

    __slots__ = ("_encoder", "_hash")

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self._encoder = msgspec.msgpack.Encoder()

    def facts(self, now_ns: int, author: NodeId, batch: FactBatch) -> None:
        """A batch was published."""
        self._hash.update(b"%d %s " % (now_ns, author.encode()))
        self._hash.update(self._encoder.encode(batch))

    def report(self, now_ns: int, node: NodeId, report: Report) -> None:
        """A report was made."""
        self._hash.update(b"%d %s " % (now_ns, node.encode()))
        self._hash.update(self._encoder.encode(report))

    def hexdigest(self) -> str:
        """The digest so far."""
        return self._hash.hexdigest()
