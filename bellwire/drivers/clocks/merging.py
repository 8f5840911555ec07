"""The tags of several nodes on one timeline, in exact integers, with the losses of all and the sigma of each.

Owns the order: by time, and at the same picosecond by node. What a node did not record (a gap between its
blocks, a late start, an early end) is a loss like any other, so that no interval looks complete that is
not. Refuses to merge across an epoch, beyond the validity of a clock, and clocks that count on different
timelines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.clocks.clock_offset import ClockOffset
from bellwire.drivers.time_tags import TagBlock


@dataclass(frozen=True, slots=True)
class NodeTags:
    """Blocks of one node's tagger, in order, and its clock; None: its time is the timeline."""

    node: str
    blocks: Sequence[TagBlock]
    clock: ClockOffset | None


@dataclass(frozen=True, slots=True)
class MergedTags:
    """Tags of [`start_ps`, `stop_ps`) of the timeline of `reference_epoch`.

    `time_ps`: int64, not falling; `node`: int16, the place in `nodes`; `channel`: int16; all of shape (n,).
    `lost`: intervals [from, to), rising and apart, in which tags of at least one node may be missing.
    `sigma_ps`: of each node's placement, the largest within its blocks; 0 for the timeline's own node.
    """

    nodes: tuple[str, ...]
    reference_epoch: int
    start_ps: int
    stop_ps: int
    time_ps: NDArray[np.int64]
    node: NDArray[np.int16]
    channel: NDArray[np.int16]
    lost: tuple[tuple[int, int], ...]
    sigma_ps: tuple[int, ...]

    def sigma_between(self, one: str, other: str) -> float:
        """Sigma in ps of a difference of times of two nodes."""
        first, second = (self.sigma_ps[self.nodes.index(name)] for name in (one, other))
        return float(np.hypot(first, second))


@dataclass(frozen=True, slots=True)
class _Placed:
    times: list[NDArray[np.int64]]
    covered: list[tuple[int, int]]
    lost: list[tuple[int, int]]
    sigma_ps: int


def merge(parts: Sequence[NodeTags]) -> MergedTags:
    """One timeline of all parts. Raises LocalMisuse for other epochs, and where a clock is not known."""
    names = tuple(part.node for part in parts)
    if len(parts) < 2 or len(set(names)) != len(names) or not all(part.blocks for part in parts):
        raise LocalMisuse(f"a merge needs the blocks of two or more nodes, not of {names}")
    timelines = {
        part.clock.reference_epoch if part.clock is not None else part.blocks[0].epoch for part in parts
    }
    if len(timelines) != 1:
        raise LocalMisuse(f"the clocks count on different timelines {sorted(timelines)}: find them anew")
    placed = [_place(part) for part in parts]
    start = min(one.covered[0][0] for one in placed)
    stop = max(one.covered[-1][1] for one in placed)
    lost = [gap for one in placed for gap in one.lost + _gaps(one.covered, start, stop)]
    times = np.concatenate([block for one in placed for block in one.times])
    node = np.concatenate(
        [np.full(block.size, index, np.int16) for index, one in enumerate(placed) for block in one.times]
    )
    channel = np.concatenate([block.channel for part in parts for block in part.blocks])
    order = np.argsort(times, kind="stable")
    return MergedTags(
        nodes=names,
        reference_epoch=timelines.pop(),
        start_ps=start,
        stop_ps=stop,
        time_ps=times[order],
        node=node[order],
        channel=channel[order].astype(np.int16),
        lost=_united(lost),
        sigma_ps=tuple(one.sigma_ps for one in placed),
    )


def _place(part: NodeTags) -> _Placed:
    placed = _Placed([], [], [], _sigma(part))
    before: TagBlock | None = None
    for block in part.blocks:
        if block.epoch != part.blocks[0].epoch:
            raise LocalMisuse(
                f"{part.node}: blocks of epochs {part.blocks[0].epoch} and {block.epoch}: merge them apart"
            )
        if before is not None and block.start_ps < before.stop_ps:
            raise LocalMisuse(
                f"{part.node}: a block starts at {block.start_ps} ps, before {before.stop_ps} ps"
            )
        before = block
        if part.clock is None:
            placed.times.append(block.time_ps)
            placed.covered.append((block.start_ps, block.stop_ps))
            placed.lost.extend(block.lost)
            continue
        clock, epoch = part.clock, block.epoch
        placed.times.append(clock.all_to_reference(block.time_ps, epoch))
        placed.covered.append(_interval(clock, block.start_ps, block.stop_ps, epoch))
        placed.lost.extend(_interval(clock, from_ps, until_ps, epoch) for from_ps, until_ps in block.lost)
    return placed


def _sigma(part: NodeTags) -> int:
    if part.clock is None:
        return 0
    return part.clock.sigma_within(part.blocks[0].start_ps, part.blocks[-1].stop_ps - 1)


def _interval(clock: ClockOffset, from_ps: int, until_ps: int, epoch: int) -> tuple[int, int]:
    """[from, until) on the timeline: up to just behind its last picosecond, no tag is left out."""
    return clock.to_reference(from_ps, epoch), clock.to_reference(until_ps - 1, epoch) + 1


def _gaps(covered: list[tuple[int, int]], start: int, stop: int) -> list[tuple[int, int]]:
    edges = [start, *(edge for interval in covered for edge in interval), stop]
    return [(edges[i], edges[i + 1]) for i in range(0, len(edges), 2) if edges[i] < edges[i + 1]]


def _united(lost: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for from_ps, until_ps in sorted(lost):
        if found and from_ps <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], until_ps))
        else:
            found.append((from_ps, until_ps))
    return tuple(found)
