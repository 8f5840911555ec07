"""Pauli frames of graph states: vertices that Hadamard gates have parted, and how they add up.

Owns the frames of a group, as the fold knows them. Refuses noise (noise_trees.py) and who is alive
(groups.py).

A GHZ state up to Paulis is told by the parity of all Z errors (`phase`) and one X bit for each of its
qubits. That is a spider of the ZX calculus (Coecke and Duncan, New J. Phys. 13, 043016, 2011): its legs are
its qubits. A Hadamard gate on a leg ends that leg at a bond, beyond which another spider begins, with the
turned qubit as its leg. A fusion makes two spiders one, wherever they are. A group whose spiders have one leg
each that is no bond is a graph state: spiders are the vertices, bonds the edges (algorithms.md 4.3).

All bits are sums of what facts say, hence the order in which they come does not matter. Turning over all bits
of a spider changes nothing (it is a generator of the state): an X on the near leg of a bond is a Z on the far
spider, so only differences between the legs of a spider can be seen.
"""

from collections.abc import Collection
from typing import NamedTuple

from bellwire.core.ids import End


class Bond(NamedTuple):
    """One leg of a Hadamard gate between two spiders, named by the qubit that was turned."""

    end: End
    turn: int  # how many gates had turned this qubit before
    side: int  # 0: of the spider that the qubit left, 1: of the one that it began

    @property
    def beyond(self) -> "Bond":
        """The other leg of the gate."""
        return self._replace(side=1 - self.side)


Leg = End | Bond


class Spider:
    """One vertex: X bit of each leg, up to all of them at once, and the parity of its Z errors."""

    __slots__ = ("bits", "phase")

    def __init__(self, bits: dict[Leg, int], phase: int) -> None:
        self.bits = bits
        self.phase = phase


class Frames:
    """All spiders of a group, by their legs."""

    __slots__ = ("_of",)

    def __init__(self, one: End, other: End, frame: int) -> None:
        """Of a pair with this Pauli index."""
        spider = Spider({one: frame >> 1, other: 0}, frame & 1)
        self._of: dict[Leg, Spider] = {one: spider, other: spider}

    def differ(self, one: End, other: End) -> int:
        """Whether the X errors of two ends differ (0 or 1); between two spiders there is no such thing: 0."""
        spider = self._of[one]
        return spider.bits[one] ^ spider.bits[other] if other in spider.bits else 0

    def pauli(self, end: End, pauli: int) -> None:
        """A Pauli on an end."""
        spider = self._of[end]
        spider.bits[end] ^= pauli >> 1
        spider.phase ^= pauli & 1

    def phase(self, end: End, phase: int) -> None:
        """A Z error on the spider of an end."""
        self._of[end].phase ^= phase

    def hadamard(self, end: End, turn: int) -> None:
        """A Hadamard gate on an end: it begins a spider of its own."""
        near, far = Bond(end, turn, 0), Bond(end, turn, 1)
        left = self._of[end]
        left.bits[near] = left.bits.pop(end)
        begun = Spider({end: 0, far: 0}, 0)
        self._of[near] = left
        self._of[end] = self._of[far] = begun

    def unite(self, joined: "Frames", one: End, other: End, bit: int) -> None:
        """The two ends' spiders become one, in which their X errors differ by `bit`."""
        self._of.update(joined._of)
        spider, taken = self._of[one], self._of[other]
        flip = bit ^ spider.bits[one] ^ taken.bits[other]
        for leg, known in taken.bits.items():
            spider.bits[leg] = known ^ flip
            self._of[leg] = spider
        spider.phase ^= taken.phase

    def drop(self, end: End) -> None:
        """An end was measured."""
        spider = self._of.pop(end)
        del spider.bits[end]

    def signs(self, centres: Collection[End]) -> dict[End, int]:
        """For every end 0, or 1 where the graph state needs a Z (after the gates of the last turns).

        centres: ends that are turned no more. All other ends of a spider are leaves of it, each of which a
        Hadamard gate will make a vertex. Empty where two centres are in one spider: a gate is not told yet.
        """
        signs: dict[End, int] = {}
        for spider in self._spiders():
            ends = [leg for leg in spider.bits if isinstance(leg, End)]
            if not ends:
                continue
            if sum(end in centres for end in ends) > 1:
                return {}
            centre = next((end for end in ends if end in centres), min(ends))
            for end in ends:
                signs[end] = spider.bits[end] ^ spider.bits[centre]
            signs[centre] = self._sign(spider, centres)
        return signs

    def signature(self) -> str:
        """All that can be seen, for digests."""
        seen: list[tuple[object, ...]] = []
        for spider in self._spiders():
            legs = sorted(spider.bits, key=_order)
            turned = spider.bits[legs[0]] if legs else 0
            bits = [(leg, spider.bits[leg] ^ turned) for leg in legs]
            seen.append((str(bits), self._sign(spider, ())))
        return repr(sorted(seen, key=repr))

    def only(self) -> Spider | None:
        """The spider, if there is only one."""
        spiders = self._spiders()
        return spiders[0] if len(spiders) == 1 else None

    def _sign(self, spider: Spider, centres: Collection[End]) -> int:
        """Z of a spider whose own reference leg has no X error, nor those of its neighbours."""
        sign = spider.phase
        for leg in spider.bits:
            if isinstance(leg, Bond):
                far = self._of[leg.beyond]
                sign ^= far.bits[leg.beyond] ^ far.bits[_reference(far, centres)]
        return sign

    def _spiders(self) -> list[Spider]:
        return list({id(spider): spider for spider in self._of.values()}.values())


def _reference(spider: Spider, centres: Collection[End]) -> Leg:
    """The leg whose X error is put to zero."""
    ends = [leg for leg in spider.bits if isinstance(leg, End)]
    return next((end for end in ends if end in centres), min(ends or spider.bits, key=_order))


def _order(leg: Leg) -> tuple[End, int, int]:
    return (leg, -1, -1) if isinstance(leg, End) else (leg.end, leg.turn, leg.side)
