"""Figures as people read them: times and rates with fitting units, fidelities that are never rounded up.

Owns the wording of single figures. Refuses layout.
"""

import math
from typing import Final

from bellwire.planner.batch.batch_plan import RequestShare


def time_text(seconds: float) -> str:
    """Four digits and a unit from nanoseconds to days."""
    if seconds == 0.0:
        return "0 s"
    if not math.isfinite(seconds):
        return "never"
    for limit_s, scale, unit in (
        (1e-6, 1e9, "ns"),
        (1e-3, 1e6, "µs"),
        (1.0, 1e3, "ms"),
        (600.0, 1.0, "s"),
        (36e3, 1 / 60, "min"),
    ):
        if seconds < limit_s * (1.0 - 5e-5):
            return f"{_digits(seconds * scale)} {unit}"
    return f"{_digits(seconds / 3600)} h" if seconds < 864e3 else f"{_digits(seconds / 86400)} d"


def rate_text(hertz: float, what: str = "") -> str:
    """Four digits per second; what: for example " pairs". Infinite is what is there already."""
    return "at once" if math.isinf(hertz) else f"{_digits(hertz)}{what}/s"


def share_text(share: float) -> str:
    """A probability, with three digits: 0.4, 0.0256, 1.02e-05."""
    return f"{share:.3g}"


def fidelity_text(fidelity: float) -> str:
    """Four decimals, rounded down: 0.99996 is not 1."""
    return f"{math.floor(fidelity * 1e4 + 1e-6) / 1e4:.4f}"


def length_text(kilometres: float) -> str:
    """Kilometres with up to four digits."""
    return f"{_digits(kilometres)} km"


def _digits(value: float) -> str:
    if value == 0.0:
        return "0"
    if value < 1e-3 or value >= 1e7:
        return f"{value:.3e}"
    if value >= 1e4:
        return f"{value:.0f}"
    decimals = max(0, 3 - math.floor(math.log10(value)))
    return f"{value:.{min(decimals, 6)}f}".rstrip("0").rstrip(".") if decimals else f"{value:.0f}"


SHARE_COLUMNS: Final = ("request", "from", "to", "trees", "rate", "per pair", "fidelity")
"""Heads of the table of a batch."""


def share_cells(share: RequestShare) -> tuple[str, ...]:
    """A row of that table."""
    return (
        share.request,
        share.source,
        share.destination,
        str(len(share.trees)),
        rate_text(share.rate_hz),
        time_text(share.latency_s),
        fidelity_text(share.fidelity),
    )
