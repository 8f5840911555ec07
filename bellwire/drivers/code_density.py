"""Straightening the fine codes of a tapped clock from their code density (fpga.md section 3).

Edges that know nothing of the clock fall evenly over a tick, so the share of a raw code is the width of its
bin. Pure arithmetic on counts. Refuses a table from too few edges: a wrong one is worse than none.
"""

from __future__ import annotations

from collections.abc import Sequence

from bellwire.core.errors import LocalMisuse

EDGES_PER_CODE_MIN = 1000
"""Then a width is known to about 3 % (one standard deviation)."""


def fine_table(counts: Sequence[int]) -> tuple[int, ...]:
    """The linear code of each raw code: the code whose even bin holds the middle of the raw code's bin.

    `counts`: edges of each raw code, 2^fine_bits of them. Raises LocalMisuse for another number, or for less
    than 1000 edges per code on average.
    """
    _check(counts)
    codes, total = len(counts), sum(counts)
    table: list[int] = []
    before = 0
    for count in counts:
        # The middle of the bin in units of an even bin, in integers: (before + count / 2) / total * codes.
        table.append(min((2 * before + count) * codes // (2 * total), codes - 1))
        before += count
    return tuple(table)


def nonlinearity(counts: Sequence[int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Differential and integral nonlinearity of each raw code, in even bins.

    Differential: width less 1. Integral: where the bin begins, less where it should. Raises LocalMisuse as
    `fine_table`.
    """
    _check(counts)
    codes, total = len(counts), sum(counts)
    widths = [count * codes / total for count in counts]
    starts = [sum(widths[:code]) for code in range(codes)]
    return tuple(width - 1.0 for width in widths), tuple(start - code for code, start in enumerate(starts))


def rms_error(widths: Sequence[float], table: Sequence[int]) -> float:
    """Root mean square error of a stamp against the time of its edge, in even bins, its mean removed.

    `widths`: of the raw bins, in even bins, together 2^fine_bits. An even bin read as its code has
    1 / sqrt(12).
    """
    first = second = at = 0.0
    for width, code in zip(widths, table, strict=True):
        # The integrals over the bin of (time - code) and its square.
        low, high = at - code, at + width - code
        first += (high**2 - low**2) / 2
        second += (high**3 - low**3) / 3
        at += width
    return float((second / at - (first / at) ** 2) ** 0.5)


def _check(counts: Sequence[int]) -> None:
    codes = len(counts)
    if codes == 0 or codes & (codes - 1):
        raise LocalMisuse(f"{codes} counts given, there are 2^fine_bits raw codes")
    if sum(counts) < EDGES_PER_CODE_MIN * codes:
        raise LocalMisuse(
            f"{sum(counts)} edges are too few for {codes} codes, {EDGES_PER_CODE_MIN * codes} are needed, of "
            "a source that knows nothing of the clock"
        )
