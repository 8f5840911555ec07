"""Counts of a WebSQ: one line for each measurement period, over a connection of their own.

Owns the freshness of counts: the first line after connecting ends a period that began before, so the second
is taken. Refuses lines that are no counts.
"""

from __future__ import annotations

import asyncio

from bellwire.drivers.addresses import Place
from bellwire.drivers.faults import LinkTimeout, ProtocolFault
from bellwire.drivers.session import Session, SessionSettings
from bellwire.drivers.transports import TcpTransport

LINE_BYTES_MAX = 4096
LINES = 2


async def counts_of_next_period(
    instrument: str, at: Place, settings: SessionSettings, *, period_s: float, detectors: int
) -> list[int]:
    """Counts of at least so many detectors over the next whole period.

    Takes up to two periods of `period_s` seconds. Raises LinkTimeout, Disconnected, ProtocolFault.
    """
    session = Session(instrument, TcpTransport(instrument, at.host, at.port), settings)
    allowed_s = LINES * period_s + settings.timeout_s
    received = b""
    try:
        async with asyncio.timeout(allowed_s):
            await session.open()
            while received.count(b"\n") < LINES:
                received += await session.listen(allowed_s)
                if len(received) > LINE_BYTES_MAX:
                    raise ProtocolFault(instrument, f"a line of counts exceeds {LINE_BYTES_MAX} bytes")
    except TimeoutError:
        raise LinkTimeout(instrument, f"no counts within {allowed_s:g} s, two periods and more") from None
    finally:
        await session.close()
    return _counts(instrument, received.split(b"\n")[LINES - 1], detectors)


def _counts(instrument: str, line: bytes, detectors: int) -> list[int]:
    try:
        _, *counts = (float(field) for field in line.decode("ascii").split(","))
    except ValueError:
        raise ProtocolFault(instrument, f"{line[:64]!r} is not a time and counts") from None
    if len(counts) < detectors or not all(count >= 0 and count.is_integer() for count in counts):
        raise ProtocolFault(instrument, f"{line[:64]!r} has no count for each of {detectors} detectors")
    return [int(count) for count in counts]
