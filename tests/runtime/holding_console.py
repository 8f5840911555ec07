"""A console in a process of its own, to be killed or stopped: `holding_console.py LAB STATE ON_LOSS LEASE_S`.

Holds alice's ovens, writes one of them over and over, and says so; ends with 3 when its lease is lost.
"""

import asyncio
import itertools
import sys
from pathlib import Path
from typing import cast

from bellwire.core.instrument_messages import OnLoss
from bellwire.drivers.leases import LeaseLost
from bellwire.labs import load_lab
from bellwire.runtime.bus_words import BusSettings
from bellwire.runtime.console import Console


async def main(lab: str, state: str, on_loss: str, lease_s: str) -> int:
    """The exit code."""
    settings = BusSettings(interval_ns=150_000_000)
    async with (
        Console(load_lab(Path(lab), live=True), Path(state), bus=settings) as console,
        console.hold(
            ["alice-oven", "alice-spare"],
            "doomed",
            lease_s=float(lease_s),
            on_loss=cast(OnLoss, on_loss),
        ) as held,
    ):
        await held.write("alice-oven", "temperature_set_c", 80)
        await held.write("alice-oven", "heating", True)
        sys.stdout.write("written\n")
        sys.stdout.flush()
        for tenths in itertools.cycle(range(10)):
            try:
                await held.write("alice-oven", "temperature_set_c", 80 + tenths / 10)
            except LeaseLost as lost:
                sys.stdout.write(f"lost: {lost}\n")
                return 3
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
