"""What a station needs of whatever decides its attempts.

Owns the protocol that a heralding FPGA and the matching of a tagger's clicks satisfy. Refuses their
configuration: instruments.py.
"""

from collections.abc import Callable
from typing import Protocol

from bellwire.drivers.herald_fpga import HeraldRecord


class HeraldAnalyser(Protocol):
    """Callbacks in the loop, for any sub-attempt in this order: `on_record`, `on_lost(run_short, first, last,
    count)`, `on_bound(run_short, decided_to)`; `on_reset` when a run was forgotten. Numbers are those of the
    sub-attempts that it makes.
    """

    on_record: Callable[[HeraldRecord], None]
    on_lost: Callable[[int, int, int, int], None]
    on_bound: Callable[[int, int], None]
    on_reset: Callable[[], None]

    @property
    def name(self) -> str: ...

    async def start_run(self, run_short: int, epoch_s: int) -> None:
        """Begin a run at a unix second. Raises DeviceFault."""
        ...
