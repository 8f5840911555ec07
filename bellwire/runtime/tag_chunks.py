"""Blocks of tags as chunks of a message, and back: every tag, every interval and every loss as they were.

Owns the packing: differences of the times as little-endian int64, then the channels as int16, both behind one
another under zlib (level 1), at most TAGS_MAX tags a chunk, so that a chunk stays far below the limit of a
frame. Refuses chunks that do not unpack to what they say, and to lose a loss: too many of them become fewer
and longer ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from bellwire.drivers.faults import ProtocolFault
from bellwire.drivers.time_tags import TagBlock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TAGS_MAX: Final = 8_192
"""Some 80 kB unpacked, and 1 ms of work."""
LOST_MAX: Final = 2_000
"""Losses that a chunk tells one by one, 36 kB at most; what is beyond becomes part of the last."""
TAG_BYTES: Final = 10
UNPACKED_MAX: Final = 1_000_000
"""Tags of one chunk that anybody unpacks."""


def only(block: TagBlock, channels: Sequence[int]) -> TagBlock:
    """The tags of these channels; all of them when none is named."""
    if not channels:
        return block
    import numpy as np

    chosen = np.isin(block.channel, np.array(channels, np.int64))
    return TagBlock(
        block.epoch, block.start_ps, block.stop_ps, block.time_ps[chosen], block.channel[chosen], block.lost
    )


def chunks_of(block: TagBlock) -> Iterator[TagBlock]:
    """Consecutive parts of a block that cover it, the first from its start and the last to its stop.

    Tags of the same picosecond stay together, beyond TAGS_MAX if need be.
    """
    import numpy as np

    times, count = block.time_ps, len(block.time_ps)
    if count <= TAGS_MAX:
        yield TagBlock(
            block.epoch, block.start_ps, block.stop_ps, times, block.channel, _fewer(list(block.lost))
        )
        return
    first, start_ps = 0, block.start_ps
    while True:
        past, stop_ps = first + TAGS_MAX, block.stop_ps
        if past < count:
            past = int(np.searchsorted(times, times[past], side="left"))
            if past <= first:
                past = int(np.searchsorted(times, times[first], side="right"))
        past = min(past, count)
        if past < count:
            stop_ps = int(times[past])
        lost = [
            (max(begin, start_ps), min(end, stop_ps))
            for begin, end in block.lost
            if begin < stop_ps and end > start_ps
        ]
        yield TagBlock(
            block.epoch, start_ps, stop_ps, times[first:past], block.channel[first:past], _fewer(lost)
        )
        if past == count:
            return
        first, start_ps = past, stop_ps


def pack(times: NDArray[np.int64], channels: NDArray[np.int16], start_ps: int) -> bytes:
    """Tags as bytes; the first difference is the one to `start_ps`."""
    import numpy as np

    steps = np.diff(times, prepend=np.int64(start_ps)).astype("<i8")
    return zlib.compress(steps.tobytes() + channels.astype("<i2").tobytes(), 1)


def unpack(
    packed: bytes, tags: int, start_ps: int, instrument: str
) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """Times and channels of so many tags. Raises ProtocolFault when the bytes are anything else."""
    import numpy as np

    if not 0 <= tags <= UNPACKED_MAX:
        raise ProtocolFault(instrument, f"a chunk of {tags} tags, the limit is {UNPACKED_MAX}")
    wanted = tags * TAG_BYTES
    unpacker = zlib.decompressobj()
    try:
        octets = unpacker.decompress(packed, wanted + 1)  # no more, whatever the bytes would become
    except zlib.error as problem:
        raise ProtocolFault(instrument, f"tags that do not unpack: {problem}") from problem
    if len(octets) != wanted or not unpacker.eof:
        raise ProtocolFault(instrument, f"{tags} tags are {wanted} bytes, not {len(octets)} or more")
    steps = np.frombuffer(octets, "<i8", tags).astype(np.int64)
    channels = np.frombuffer(octets, "<i2", tags, 8 * tags).astype(np.int16)
    return np.int64(start_ps) + np.cumsum(steps), channels


def _fewer(lost: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    if len(lost) <= LOST_MAX:
        return tuple(lost)
    kept, rest = lost[: LOST_MAX - 1], lost[LOST_MAX - 1 :]
    return (*kept, (min(begin for begin, _ in rest), max(end for _, end in rest)))
