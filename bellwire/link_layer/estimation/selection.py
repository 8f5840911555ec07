"""Which heralded pairs are test rounds, and in which basis: a pure function of their names.

Owns the choice. Refuses chance of its own: both ends, and a replay, find the same without a message. The hash
of a name knows nothing of the pair's state, so the tests are a fair sample of all pairs.
"""

from hashlib import blake2b
from typing import Final

from bellwire.core.ids import LinkId

SHARE_BYTES: Final = 2
"""Bytes of the hash that are compared with a share of 65536 (terms.TEST_SHARE_WHOLE)."""


def check_basis(link: LinkId, run: int, attempt: int, lane: int, share: int) -> int | None:
    """Number of the basis (estimation.counts.BASES, each equally often) in which both ends measure this pair;
    None: it is no test. share: of 65536 pairs so many are tests."""
    if not share:
        return None
    name = f"{link}/{run}.{attempt}.{lane}".encode()
    drawn = blake2b(name, digest_size=8, person=b"test round").digest()
    if int.from_bytes(drawn[:SHARE_BYTES], "big") >= share:
        return None
    return int.from_bytes(drawn[SHARE_BYTES:], "big") % 3
