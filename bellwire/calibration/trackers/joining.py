"""How a look begins: on the clock of the look before, and with patience for light that comes back.

Owns the patience. A source that was held by a procedure is brought to its operating point anew after it,
which takes seconds in which there are no pairs to look at. Refuses to switch on light: in operation it is on.
"""

from __future__ import annotations

import asyncio
import time

from bellwire.calibration.pairing import Pairing
from bellwire.drivers.clocks.refusals import NoTiming

PATIENCE_S = 15.0


async def joined(pairing: Pairing, record_s: float, patience_s: float = PATIENCE_S) -> bool:
    """`Pairing.join`, tried again until `patience_s` have passed. Raises NoTiming as the last try did."""
    until_s = time.monotonic() + patience_s
    while True:
        try:
            return await pairing.join(record_s)
        except NoTiming:
            if time.monotonic() > until_s:
                raise
            await asyncio.sleep(0)
