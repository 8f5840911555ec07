"""Words of the ID Quantique Time Controller: addresses, replies, combiners, packed tags (instruments.md 2.1).

Owns what stands in messages and how its numbers are packed. Sans I/O, shared by the driver and its emulator.
Refuses replies in a unit that was not asked for.

The counting preset COUNT wires each combiner as a gate: events of one delayed input pass while a window is
open that another one has opened. With the full window w, the second delay of input k is (k - 1) w longer, so
that partners always come after the gate was opened; a pair counts when its two events are at most w/2 apart,
and the last event of a longer pattern at most w from the one before. The delays and gates are those of
public client programs; which source each gate listens to follows from them and was not read anywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bellwire.core.errors import ConfigError
from bellwire.drivers.addresses import Place, place

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MESSAGE_END = b"\0"
"""What our transport puts behind each message; it stands in none."""

PORT = 5555
DATA_LINK_PORT = 6060
STREAM_PORT_BASE = 4241
CHANNELS = (1, 2, 3, 4)
DELAY_PS_MAX = 1_000_000_000_000
INTEGRATION_MS = (1, 65_535)
BINS_MAX = 16_383
DEAD_TIME_PS_MIN = 40_000
THRESHOLD_MV = (-2000.0, 2000.0)
REFUSALS = ("SCPI_ERR", "NO CONNECTION", "FAILED")

_NUMBER = re.compile(r"\s*(?P<number>[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*(?P<unit>[A-Za-z]*)\s*")
_MULTIPLES = {"": 1.0, "P": 1e-12, "N": 1e-9, "U": 1e-6, "M": 1e-3, "K": 1e3, "G": 1e9, "T": 1e12}


@dataclass(frozen=True, slots=True)
class Gate:
    """One combiner of the preset COUNT: events of `passed` count while the window is open that `opened_by`
    has opened `begin` windows before, until `end` windows.
    """

    combiner: int
    opened_by: str
    passed: str
    begin: float
    end: float


GATES: Mapping[tuple[int, ...], Gate] = {
    (1, 2): Gate(6, "DELA1", "DELA6", 0.5, 1.5),
    (1, 3): Gate(7, "DELA1", "DELA7", 1.5, 2.5),
    (1, 4): Gate(8, "DELA1", "DELA8", 2.5, 3.5),
    (2, 3): Gate(3, "DELA2", "DELA7", 1.5, 2.5),
    (2, 4): Gate(4, "DELA2", "DELA8", 2.5, 3.5),
    (3, 4): Gate(5, "DELA3", "DELA8", 2.5, 3.5),
    (1, 2, 3): Gate(13, "TSCO6", "DELA7", 0.0, 2.0),
    (1, 2, 4): Gate(14, "TSCO6", "DELA8", 1.0, 3.0),
    (1, 3, 4): Gate(15, "TSCO7", "DELA8", 0.0, 2.0),
    (2, 3, 4): Gate(16, "TSCO3", "DELA8", 0.0, 2.0),
    (1, 2, 3, 4): Gate(24, "TSCO6", "TSCO16", 1.0, 3.0),
}
"""Patterns of channels and the combiners that count them."""


def second_delay(channel: int) -> int:
    """The block with the second delay of inputs 2, 3 and 4 in the preset COUNT."""
    return channel + 4


def pass_through(channel: int) -> int:
    """The combiner that hands an input on to tags and histograms when it does not count coincidences."""
    return channel + 4


def pass_through_orders(channel: int) -> tuple[str, ...]:
    """Orders that link an input through its delay and its combiner, without any gate."""
    block = f"TSCO{pass_through(channel)}"
    return (
        f"DELA{channel}:LINK INPU{channel}",
        f"{block}:WIND:ENAB OFF;:{block}:FIR:LINK DELA{channel}",
        f"{block}:OPIN ONLYFIR;OPOU ONLYFIR",
    )


@dataclass(frozen=True, slots=True)
class ControllerPlace:
    """Where a Time Controller and its DataLinkTarget are; `data_link` None: no tags can be streamed.

    `stream_port`: of channel 1 on the DataLinkTarget's host, the others follow; None: a free one on this
    host, else 4242.
    """

    controller: Place
    data_link: Place | None
    stream_port: int | None = None


def controller_place(address: str, *, instrument: str) -> ControllerPlace:
    """From `tcp://HOST:5555[,DATALINK_HOST:6060[,STREAM_PORT]]`. Raises ConfigError."""
    controller, *rest = (piece.strip() for piece in address.split(","))
    if len(rest) > 2 or (len(rest) == 2 and not rest[1].isdigit()):
        problem = f'"{address}" is not tcp://HOST:{PORT}[,DATALINK_HOST:{DATA_LINK_PORT}[,STREAM_PORT]]'
        raise ConfigError(problem, where=instrument)
    return ControllerPlace(
        place(controller, PORT, instrument=instrument),
        place(rest[0], DATA_LINK_PORT, instrument=instrument) if rest else None,
        int(rest[1]) if len(rest) == 2 else None,
    )


def is_refusal(reply: str) -> bool:
    """Whether a reply says that the order was not carried out."""
    return any(word in reply.upper() for word in REFUSALS)


def number_of(reply: str, unit: str = "") -> float:
    """The number of a reply in `unit`; a reply without unit is in the unit of the device.

    Raises ValueError for anything else, or another unit.
    """
    found = _NUMBER.fullmatch(reply)
    if found is None:
        raise ValueError(f"{reply!r} is not a number")
    told = found["unit"].upper()
    prefix = told.removesuffix(unit)
    if told and (not unit or not told.endswith(unit) or prefix not in _MULTIPLES):
        raise ValueError(f"{reply!r} is not in {unit or 'no unit'}")
    return float(found["number"]) * (_MULTIPLES[prefix] if told else 1.0)


def picoseconds_of(reply: str) -> int:
    """Whole picoseconds of a reply in units of the time base (1200TB). Raises ValueError."""
    value = number_of(reply, "TB")
    if value != int(value):
        raise ValueError(f"{reply!r} is not a whole number of picoseconds")
    return int(value)


def bins_of(reply: str) -> list[int]:
    """Counts of a histogram, told as [1, 2, ...]. Raises ValueError."""
    bins: Any = json.loads(reply)
    if not isinstance(bins, list):
        raise ValueError(f"{reply[:40]!r} is no list of counts")
    counts: list[Any] = bins
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError(f"{reply[:40]!r} holds something else than counts")
    return counts


def times_of(octets: bytes) -> NDArray[np.int64]:
    """Picoseconds of packed tags (u64, little endian), since the start of their acquisition.

    Raises ValueError for a message that is no whole number of tags, or out of order.
    """
    import numpy as np

    times = np.frombuffer(octets, "<u8").astype(np.int64)
    if len(times) and (times[0] < 0 or bool((np.diff(times) < 0).any())):
        raise ValueError("tags are out of order")
    return times


def referenced_times_of(octets: bytes, reference_period_ps: int) -> NDArray[np.int64]:
    """Picoseconds of packed pairs (tag since the last reference edge, index of that edge), both u64.

    Time is index x period + tag. Raises ValueError for a message that is no whole number of pairs.
    """
    import numpy as np

    pairs = np.frombuffer(octets, "<u8").reshape(-1, 2).astype(np.int64)
    times: NDArray[np.int64] = pairs[:, 1] * reference_period_ps + pairs[:, 0]
    return times
