"""The fastest order of putting a graph state together: a dynamic programme over connected sets of edges.

Owns the programme (algorithms.md 4.3). Refuses the choice of pairs, and throttling.

A block is something that is made as a whole: a pair, or a part planned before. For every connected set of
blocks the programme holds the fastest way to make it. A larger set is made of two smaller ones that have
spots in common: the first common spot is fused when both exist, each further one afterwards inside the
product; sets with vertices at one node that have a local edge are joined there for nothing. On a path
connected sets are intervals, and this is the interval programme; on a tree they are subtrees. Latency never
falls when an input gets slower, and an operation's cost depends on nothing but the two sets, so the result is
optimal over all orders.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from bellwire.core.ids import NodeId
from bellwire.planner.capacity import NoPlan
from bellwire.planner.multipartite.graph_parts import (
    Joint,
    PairPart,
    Part,
    Spot,
    closed,
    closed_latency_s,
    fused,
    fused_latency_s,
    fusion_at,
    joined_locally,
    swap_at,
)
from bellwire.planner.requests import Options
from bellwire.planner.structures import Waiting, waiting_s
from bellwire.planner.topology import Topology

SETS_MAX: Final = 1100
"""Connected sets that a programme looks at: all of 10 edges, or a path of 46 pairs."""


class TooManySets(NoPlan):
    """The graph has more connected sets of blocks than a programme may hold."""


class _Way(NamedTuple):
    """The fastest known way to make a set of blocks."""

    latency_s: float
    one: int  # blocks of the two inputs; both 0 for a part that is given
    other: int
    spots: tuple[Spot, ...]  # fused in this order; empty: joined locally
    given: Part | None


class Programme:
    """Fastest ways to make connected sets of blocks.

    blocks: parts with latencies. joins: spots at one node that local edges connect, directly or through spots
    of the node's own.

    Raises:
        TooManySets: there are more than `sets_max` connected sets.
    """

    def __init__(
        self,
        topology: Topology,
        options: Options,
        blocks: Sequence[Part],
        *,
        joins: Sequence[frozenset[Spot]] = (),
        sets_max: int = SETS_MAX,
    ) -> None:
        self.topology = topology
        self.waiting: Waiting = options.waiting
        self.blocks = blocks
        self.spots = list(dict.fromkeys(spot for block in blocks for spot in sorted(block.spots)))
        index = {spot: number for number, spot in enumerate(self.spots)}
        self._covers = {1 << i: sum(1 << index[s] for s in block.spots) for i, block in enumerate(blocks)}
        self._rooms = [sum(1 << index[spot] for spot in group if spot in index) for group in joins]
        self._room_nodes = [next(iter(group)).node for group in joins]
        self._passing = sum(1 << number for spot, number in index.items() if not spot.stays)
        self._joints: dict[tuple[int, int, bool], Joint] = {}
        self._ways = {1 << i: _Way(block.latency_s, 0, 0, (), block) for i, block in enumerate(blocks)}
        self._pure = {1 << i for i, block in enumerate(blocks) if isinstance(block, PairPart)}
        self._layers = self._connected(sets_max)
        self._covers.update((blocks, self._covers_of(blocks)) for layer in self._layers for blocks in layer)

    def fastest(self, seeds: Mapping[int, Part] | None = None) -> Part | None:
        """The fastest way to make all blocks; None where a node that is needed never succeeds.

        seeds: other ways to make some sets (bit i for block i), given as parts.
        """
        for blocks, part in (seeds or {}).items():
            self._offer(blocks, _Way(part.latency_s, 0, 0, (), part))
        for one, other in self.cuts():
            self._try(one, other)
        everything = (1 << len(self.blocks)) - 1
        way = self._ways.get(everything)
        return None if way is None or not math.isfinite(way.latency_s) else self._part(everything)

    def _part(self, blocks: int) -> Part:
        way = self._ways[blocks]
        if way.given is not None:
            return way.given
        one, other = self._part(way.one), self._part(way.other)
        return self.built(one, other, way.spots, self.room(way.one, way.other))

    # --- connected sets ----------------------------------------------------------------------------------

    def _connected(self, sets_max: int) -> list[list[int]]:
        """All connected sets of two blocks and more, by size from 2 upwards."""
        singles = list(self._ways)
        rooms = {block: self._rooms_of(self._covers[block]) for block in singles}
        beside = {
            block: sum(
                other
                for other in singles
                if other != block
                and (self._covers[block] & self._covers[other] or rooms[block] & rooms[other])
            )
            for block in singles
        }
        layers: list[list[int]] = []
        layer = {block: beside[block] for block in singles}
        count = len(layer)
        for _ in range(len(singles) - 1):
            larger: dict[int, int] = {}
            for blocks, around in layer.items():
                fresh = around & ~blocks
                while fresh:
                    block = fresh & -fresh
                    fresh ^= block
                    larger.setdefault(blocks | block, around | beside[block])
                if count + len(larger) > sets_max:
                    raise TooManySets(f"the target graph has more than {sets_max} connected parts")
            count += len(larger)
            layers.append(sorted(larger))
            layer = larger
        return layers

    def _rooms_of(self, covers: int) -> int:
        return sum(1 << number for number, room in enumerate(self._rooms) if room & covers)

    # --- recurrence --------------------------------------------------------------------------------------

    def cuts(self) -> Iterator[tuple[int, int]]:
        """Every connected set cut into two connected ones that touch, small sets first, each cut once."""
        by_size = [[1 << i for i in range(len(self.blocks))], *self._layers]
        for size in range(2, len(self.blocks) + 1):
            for first in range(1, size // 2 + 1):
                for one in by_size[first - 1]:
                    for other in by_size[size - first - 1]:
                        if not one & other and (2 * first < size or one < other) and self._touch(one, other):
                            yield one, other

    def common(self, one: int, other: int) -> tuple[Spot, ...]:
        """Spots of both of two sets; none where they touch only inside a node."""
        both = self._covers[one] & self._covers[other]
        return tuple(spot for number, spot in enumerate(self.spots) if both >> number & 1)

    def built(self, one: Part, other: Part, spots: Sequence[Spot], room: NodeId | None) -> Part:
        """Two parts made into one: fused at the first spot, closed at the others, or joined in a room."""
        if not spots:
            assert room is not None
            return joined_locally(one, other, room, self.waiting)
        part = fused(self.topology, one, other, spots[0], self.waiting)
        for spot in spots[1:]:
            part = closed(self.topology, part, spot)
        return part

    def room(self, one: int, other: int) -> NodeId | None:
        """The node at which two sets can be joined locally."""
        both = self._rooms_of(self._covers[one]) & self._rooms_of(self._covers[other])
        return self._room_nodes[(both & -both).bit_length() - 1] if both else None

    def _touch(self, one: int, other: int) -> bool:
        mine, theirs = self._covers[one], self._covers[other]
        return bool(mine & theirs or self._rooms_of(mine) & self._rooms_of(theirs))

    def _covers_of(self, blocks: int) -> int:
        covers = 0
        while blocks:
            covers |= self._covers[blocks & -blocks]
            blocks &= blocks - 1
        return covers

    def _offer(self, blocks: int, way: _Way) -> None:
        known = self._ways.get(blocks)
        if known is None or way.latency_s < known.latency_s:
            self._ways[blocks] = way

    def _try(self, one: int, other: int) -> None:
        """Make a set of two sets that touch."""
        mine, theirs = self._covers[one], self._covers[other]
        common = mine & theirs
        one_s, other_s = self._ways[one].latency_s, self._ways[other].latency_s
        blocks = one | other
        if not common:
            self._offer(blocks, _Way(waiting_s(one_s, other_s, self.waiting), one, other, (), None))
            return
        known = self._ways.get(blocks)
        least_s = waiting_s(one_s, other_s, self.waiting)
        if known is not None and known.latency_s <= least_s:
            return
        alive = self._alive(one) | self._alive(other)
        pure = one in self._pure and other in self._pure
        spots = self._in_order(common, alive, pure)
        first, *others = spots
        total_s = fused_latency_s(one_s, other_s, self._joint(first, alive, pure), self.waiting)
        for spot in others:
            total_s = closed_latency_s(total_s, self._joint(spot, alive, False))
        self._offer(blocks, _Way(total_s, one, other, tuple(self.spots[spot] for spot in spots), None))
        if pure and common & self._passing:
            self._pure.add(blocks)

    def _alive(self, blocks: int) -> int:
        """Spots of a set whose qubits are there: repeaters between two blocks of it are measured out."""
        inner = self._covers[blocks] & self._passing
        if not inner or not blocks & (blocks - 1):
            return self._covers[blocks]
        once, twice = 0, 0
        left = blocks
        while left:
            covers = self._covers[left & -left] & self._passing
            twice |= once & covers
            once |= covers
            left &= left - 1
        return self._covers[blocks] & ~twice

    def _in_order(self, common: int, alive: int, pure: bool) -> list[int]:
        """Common spots in the order that takes least time: the one with the smallest busy/(1 - p) first.

        ((M + b1)/p1 + b2)/p2 is the smaller of the two orders when b1/(1 - p1) < b2/(1 - p2).
        """
        spots: list[int] = []
        while common:
            spots.append((common & -common).bit_length() - 1)
            common &= common - 1
        if len(spots) == 1:
            return spots

        def price(spot: int) -> float:
            joint = self._joint(spot, alive, pure)
            risk = 1.0 - joint.success_probability
            return joint.busy_s / risk if risk > 0.0 else math.inf

        return sorted(spots, key=price)

    def _joint(self, spot: int, alive: int, swap: bool) -> Joint:
        place = self.spots[spot]
        swap = swap and not place.stays
        key = (spot, alive, swap)
        found = self._joints.get(key)
        if found is None:
            owners = frozenset(each for number, each in enumerate(self.spots) if alive >> number & 1)
            at = swap_at if swap else fusion_at
            found = self._joints[key] = at(self.topology, place.node, owners)
        return found
