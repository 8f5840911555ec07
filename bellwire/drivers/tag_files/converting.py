"""From one file to another: tags chosen, renamed and handed on block by block.

Owns the choice. Refuses to change times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from bellwire.drivers.tag_files.description import Description
from bellwire.drivers.tag_files.source import TagSource
from bellwire.drivers.tag_files.writing import TagWriter
from bellwire.drivers.time_tags import TagBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which tags, and under which channel. `channels`, `epoch` None: all. `renamed`: old number -> new."""

    channels: tuple[int, ...] | None = None
    epoch: int | None = None
    renamed: Mapping[int, int] = field(default_factory=dict)

    def of(self, block: TagBlock) -> TagBlock:
        """The chosen tags of a block."""
        time_ps, channel = block.time_ps, block.channel
        if self.channels is not None:
            wanted = np.isin(channel, self.channels)
            time_ps, channel = time_ps[wanted], channel[wanted]
        return replace(block, time_ps=time_ps, channel=self._renamed(channel))

    def _renamed(self, channel: NDArray[np.int16]) -> NDArray[np.int16]:
        if not self.renamed:
            return channel
        changed = channel.copy()
        for old, new in self.renamed.items():
            changed[channel == old] = new
        return changed

    def described(self, description: Description) -> Description:
        """The description of the chosen tags."""
        notes = tuple(
            replace(note, number=self.renamed.get(note.number, note.number))
            for note in description.channels
            if self.channels is None or note.number in self.channels
        )
        return replace(description, channels=notes)


def chosen(source: TagSource, choice: Choice) -> Iterator[TagBlock]:
    """The chosen tags of a file."""
    for block in source.blocks():
        if choice.epoch is None or block.epoch == choice.epoch:
            yield choice.of(block)


def convert(source: TagSource, writer: TagWriter, choice: Choice, advanced: Callable[[float], None]) -> int:
    """Hand all chosen tags to a writer, which the caller has entered; returns how many.

    `advanced` is told how much of the source was read, 0 to 1. Raises what both raise.
    """
    tags = 0
    for block in chosen(source, choice):
        writer.put(block)
        tags += len(block.time_ps)
        advanced(source.fraction)
    return tags
