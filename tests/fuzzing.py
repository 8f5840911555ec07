"""Damaged words for decoders, from fixed seeds: what every test of a decoder is fed with.

Owns the damage and the count of what was read all the same. Refuses words and errors: tests bring both.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any


def damaged(chance: Random, words: Sequence[bytes]) -> bytes:
    """A word with up to four changes, or none at all but noise."""
    if chance.random() < 0.2:
        return chance.randbytes(chance.randint(0, 200))
    octets = bytearray(chance.choice(words))
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(octets)) if octets else 0
        match chance.randrange(5):
            case 0 if octets:
                octets[place] = chance.randrange(256)
            case 1:
                octets[place:place] = chance.randbytes(chance.randint(1, 9))
            case 2:
                del octets[place : place + chance.randint(1, 9)]
            case 3:
                octets[place:place] = octets[max(0, place - 16) : place]
            case _:
                octets[place:place] = b"\x91" * chance.randint(1, 3000)  # arrays within arrays
    return bytes(octets)


def fuzzed(
    read: Callable[[bytes], Any], words: Sequence[bytes], foreseen: tuple[type[Exception], ...], cases: int
) -> int:
    """How many of the cases were read as words; everything else ended in a foreseen error."""
    chance = Random(20261126)
    read_as_words = 0
    for _ in range(cases):
        octets = damaged(chance, words)
        try:
            read(octets)
            read_as_words += 1
        except foreseen:
            pass
    return read_as_words
