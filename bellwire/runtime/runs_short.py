"""The short run numbers of devices: 32 bits that every device of a link derives alike from the 64-bit name of
a run.

Owns the table back from short to long. Refuses to let two long runs share a short one while both are
remembered.
"""

from collections import OrderedDict

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import LinkId

SHORT_MASK = (1 << 32) - 1
RUNS_REMEMBERED = 4_096
"""Runs of a link whose late records can still be named."""


class ShortRuns:
    """Long and short names of the runs of a node's links."""

    def __init__(self) -> None:
        self._long: OrderedDict[tuple[LinkId, int], int] = OrderedDict()

    def short_of(self, link: LinkId, run: int) -> int:
        """The short name, the same at every device of the link (their emulated World compares it)."""
        short = run & SHORT_MASK
        known = self._long.setdefault((link, short), run)
        if known != run:
            raise LocalMisuse(f"runs {known} and {run} of {link} share the short run {short}")
        if len(self._long) > RUNS_REMEMBERED:
            self._long.popitem(last=False)
        return short

    def run_of(self, link: LinkId, short: int) -> int | None:
        """The run of that short name; None for one that was never started here."""
        return self._long.get((link, short))
