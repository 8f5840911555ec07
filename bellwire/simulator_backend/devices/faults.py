"""Named fault switches of the emulators (instruments.md section 7.5).

Owns which fault is on, how often it strikes, and how many times still. Refuses to carry out a fault: that is
the transport's or the device's business.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What can be made to go wrong. Serial lines take FIN and RST alike as a hang-up.

    `LOST_FRAME` loses a whole request or reply, `DROPPED_BYTE` one byte of a reply, `GARBAGE` sends other
    bytes of the same length, `HANG` holds every answer for its delay while requests wait. `OVERFLOW`,
    `INTERLOCK`, `DRIFT`, `PPS_MISSING` and `REFERENCE_LOST` are of the device: it shows them as its maker
    says, for as long as they are on; a device without such a thing refuses them.
    """

    LATE_REPLY = "late_reply"
    HALF_REPLY = "half_reply"
    DOUBLE_REPLY = "double_reply"
    FIN = "fin"
    RST = "rst"
    SILENT = "silent"
    REFUSED = "refused"
    LOST_FRAME = "lost_frame"
    BAD_CRC = "bad_crc"
    IGNORED_SET = "ignored_set"
    UNSOLICITED = "unsolicited"
    RESTART = "restart"
    GARBAGE = "garbage"
    DROPPED_BYTE = "dropped_byte"
    HANG = "hang"
    OVERFLOW = "overflow"
    INTERLOCK = "interlock"
    DRIFT = "drift"
    PPS_MISSING = "pps_missing"
    REFERENCE_LOST = "reference_lost"


OF_THE_DEVICE = frozenset(
    {Fault.OVERFLOW, Fault.INTERLOCK, Fault.DRIFT, Fault.PPS_MISSING, Fault.REFERENCE_LOST}
)
"""Faults that a device model carries out itself; the others act on what passes its line."""


@dataclass(slots=True)
class _Switch:
    rate: float
    delay_s: float
    remaining: int | None


class FaultSwitches:
    """The switches of one emulator. Chance is seeded, so that a test repeats."""

    def __init__(self, seed: int = 0) -> None:
        self._on: dict[Fault, _Switch] = {}
        self._chance = random.Random(seed)

    def set(self, fault: Fault, *, rate: float = 1.0, delay_s: float = 0.0, times: int | None = None) -> None:
        """Switch a fault on: probability `rate` per occasion, `delay_s` for late replies, `times` strikes
        (None: no end).
        """
        self._on[fault] = _Switch(rate, delay_s, times)

    def clear(self, fault: Fault | None = None) -> None:
        """Switch one fault, or all, off."""
        if fault is None:
            self._on.clear()
        else:
            self._on.pop(fault, None)

    def is_on(self, fault: Fault) -> bool:
        """Whether the fault is switched on, and has not struck as often as it was to."""
        switch = self._on.get(fault)
        return switch is not None and switch.remaining != 0

    def strikes(self, fault: Fault) -> bool:
        """Whether the fault strikes on this occasion."""
        switch = self._on.get(fault)
        if switch is None or switch.remaining == 0 or self._chance.random() >= switch.rate:
            return False
        if switch.remaining is not None:
            switch.remaining -= 1
        return True

    def delay_s(self, fault: Fault) -> float:
        """The delay given with the fault."""
        switch = self._on.get(fault)
        return 0.0 if switch is None else switch.delay_s
