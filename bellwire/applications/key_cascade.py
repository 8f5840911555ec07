"""Cascade: two nearly equal strings are made equal over a public channel, by asking for parities of blocks.

Owns the protocol as two sides: `ParityHolder` has the string that counts and answers, `correct` asks, finds
the errors of the other string by halving blocks whose parities differ, and mends them. Refuses to be sure:
what is left is found by a hash (key_amplification.py). Every parity told is one bit that the eavesdropper
has; both sides count them. Sources: Brassard and Salvail, Eurocrypt 1993 (LNCS 765, 410); block lengths of
Martinez-Mateo et al., Quantum Inf. Comput. 15, 453 (2015): first 2**ceil(log2(1/e)), then 4 times as many,
then half of the string.

The order of the bits in each pass is drawn from a public seed, hence a block is named by its pass and place.
"""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from math import ceil, log2
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bellwire.applications.key_sifting import Bits

PASSES: Final = 20
"""Most strings are equal after four; a further pass costs one parity, and catches errors in even numbers."""

ERROR_RATE_MIN: Final = 1e-3
"""Blocks are made no longer than for this error rate."""


class Block(NamedTuple):
    """Places `start` to `stop` in the order of a pass."""

    turn: int
    start: int
    stop: int


class Corrected(NamedTuple):
    """The other string, mended, and what it cost."""

    bits: Bits
    disclosed: int  # parities that were told
    mended: int  # bits that were flipped
    rounds: int  # questions that had to wait for the answer to an earlier one


def orders_of(length: int, seed: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Place in the order of each pass -> place in the string, drawn from a public seed."""
    chance = np.random.Generator(np.random.PCG64(seed))
    return (np.arange(length), *(chance.permutation(length) for _ in range(PASSES - 1)))


class ParityHolder:
    """The side whose string counts."""

    def __init__(self, bits: Bits, seed: int) -> None:
        self._sums = [
            np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(bits[order], dtype=np.int64)))
            for order in orders_of(len(bits), seed)
        ]
        self.disclosed = 0

    def answer(self, blocks: Sequence[Block]) -> list[int]:
        """The parities of blocks."""
        self.disclosed += len(blocks)
        return [
            int(self._sums[block.turn][block.stop] - self._sums[block.turn][block.start]) & 1
            for block in blocks
        ]


def block_lengths(length: int, error_rate: float) -> list[int]:
    """Of each pass."""
    half = max(1, ceil(length / 2))
    first = min(half, 2 ** ceil(log2(1.0 / max(error_rate, ERROR_RATE_MIN))))
    return [first, min(half, 4 * first), *[half] * (PASSES - 2)]


def correct(bits: Bits, holder: ParityHolder, seed: int, error_rate: float) -> Corrected:
    """Mend a string by the holder's parities. error_rate: expected share of wrong bits, above 0."""
    search = _Search(bits, holder, seed)
    if len(bits):
        for turn, length in enumerate(block_lengths(len(bits), error_rate)):
            search.begin(turn, length)
            search.mend_all()
    return Corrected(search.bits, search.disclosed, search.mended, search.rounds)


class _Search:
    """The other side: which of its blocks have an odd number of errors, and the hunt for one in each."""

    def __init__(self, bits: Bits, holder: ParityHolder, seed: int) -> None:
        self.bits = bits.copy()
        self.disclosed = self.mended = self.rounds = 0
        self._holder = holder
        self._orders = orders_of(len(bits), seed)
        self._places: list[npt.NDArray[np.int64]] = []  # place in the string -> place in the order, by pass
        self._lengths: list[int] = []
        self._odd: list[npt.NDArray[np.bool_]] = []
        self._waiting: list[tuple[int, Block]] = []  # odd blocks, shortest first; some are mended by now

    def begin(self, turn: int, length: int) -> None:
        """Compare all blocks of a pass; after the first, the last one's parity follows from the others."""
        order = self._orders[turn]
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        self._places.append(places)
        self._lengths.append(length)
        blocks = [Block(turn, at, min(at + length, len(order))) for at in range(0, len(order), length)]
        asked = blocks if turn == 0 or len(blocks) == 1 else blocks[:-1]
        told = self._ask(asked)
        odd = [answer != self._parity(block) for answer, block in zip(told, asked, strict=True)]
        if len(asked) < len(blocks):
            # All errors together are even in number now: every block of the first pass has been mended.
            odd.append(sum(odd) % 2 == 1)
        self._odd.append(np.array(odd))
        self._waiting = [
            (block.stop - block.start, block) for block, is_odd in zip(blocks, odd, strict=True) if is_odd
        ]
        heapify(self._waiting)

    def mend_all(self) -> None:
        """Find one error in every odd block; each flip makes blocks of all passes even or odd."""
        while self._waiting:
            _, block = heappop(self._waiting)
            if self._odd[block.turn][block.start // self._lengths[block.turn]]:
                self._flip(self._find(block))

    def _find(self, block: Block) -> int:
        """Place in the string of one error in an odd block."""
        turn, start, stop = block
        while stop - start > 1:
            middle = (start + stop) // 2
            left = Block(turn, start, middle)
            if self._ask([left])[0] != self._parity(left):
                stop = middle
            else:
                start = middle
        return int(self._orders[turn][start])

    def _flip(self, place: int) -> None:
        self.bits[place] ^= 1
        self.mended += 1
        for turn, length in enumerate(self._lengths):
            number = int(self._places[turn][place]) // length
            odd = self._odd[turn]
            odd[number] = not odd[number]
            if odd[number]:
                start = number * length
                block = Block(turn, start, min(start + length, len(self.bits)))
                heappush(self._waiting, (block.stop - start, block))

    def _ask(self, blocks: Sequence[Block]) -> list[int]:
        self.disclosed += len(blocks)
        self.rounds += 1
        return self._holder.answer(blocks)

    def _parity(self, block: Block) -> int:
        inside = self._orders[block.turn][block.start : block.stop]
        return int(np.bitwise_xor.reduce(self.bits[inside]))
