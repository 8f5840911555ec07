"""Streams of tags for tests of files: made up, written, and read back whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bellwire.drivers.tag_files.description import Description, ReadSettings, Span, WriteSettings
from bellwire.drivers.tag_files.formats import FORMATS, open_tags
from bellwire.drivers.tag_files.source import CHUNK_TAGS, TagSource
from bellwire.drivers.tag_files.writing import TagWriter, extended
from bellwire.drivers.time_tags import TagBlock


@dataclass(frozen=True)
class Whole:
    """Everything of a stream in one piece."""

    time_ps: NDArray[np.int64]
    channel: NDArray[np.int16]
    spans: tuple[Span, ...]


def block(
    times: Sequence[int] | NDArray[np.int64],
    channels: Sequence[int] | NDArray[np.int16],
    *,
    start: int = 0,
    stop: int | None = None,
    epoch: int = 0,
    lost: tuple[tuple[int, int], ...] = (),
) -> TagBlock:
    time_ps, channel = np.array(times, np.int64), np.array(channels, np.int16)
    end = (int(time_ps[-1]) + 1 if len(time_ps) else start) if stop is None else stop
    return TagBlock(epoch, start, end, time_ps, channel, lost)


def whole(blocks: Iterable[TagBlock]) -> Whole:
    """All blocks in one, each checked to be in order."""
    times, channels = [np.empty(0, np.int64)], [np.empty(0, np.int16)]
    spans: list[Span] = []
    for one in blocks:
        assert one.time_ps.dtype == np.int64
        assert one.channel.dtype == np.int16
        assert np.all(np.diff(one.time_ps) >= 0)
        if len(one.time_ps):
            assert one.start_ps <= one.time_ps[0]
            assert one.time_ps[-1] < one.stop_ps
        assert all(one.start_ps <= a < b <= one.stop_ps for a, b in one.lost)
        if spans and spans[-1].epoch == one.epoch:
            assert one.start_ps >= spans[-1].stop_ps
        spans = extended(spans, one)
        times.append(one.time_ps)
        channels.append(one.channel)
    return Whole(np.concatenate(times), np.concatenate(channels), tuple(spans))


def write(
    path: Path,
    name: str,
    blocks: Iterable[TagBlock],
    description: Description | None = None,
    settings: WriteSettings | None = None,
    chunk_ps: int | None = None,
) -> TagWriter:
    described = Description(format="made up") if description is None else description
    with TagWriter(path, FORMATS[name], described, settings, chunk_ps=chunk_ps) as writer:
        for one in blocks:
            writer.put(one)
    return writer


def read(
    path: Path,
    name: str | None = None,
    settings: ReadSettings | None = None,
    tags_max: int = CHUNK_TAGS,
) -> tuple[TagSource, Whole]:
    source = open_tags(path, settings, format_name=name)
    return source, whole(source.blocks(tags_max))


def poisson(
    rate_hz: float, count: int, channels: Sequence[int], *, seed: int, blocks: int = 10
) -> list[TagBlock]:
    """`count` tags of a constant light, each of a random channel, in about equal blocks."""
    chance = np.random.default_rng(seed)
    times = np.cumsum(chance.exponential(1e12 / rate_hz, count).astype(np.int64) + 1)
    found = chance.choice(np.array(channels, np.int16), count)
    made: list[TagBlock] = []
    edge = 0
    for part in np.array_split(np.arange(count), blocks):
        made.append(block(times[part], found[part], start=edge))
        edge = made[-1].stop_ps
    return made
