"""What the kernel says about the clock of this computer: disciplined by anybody, and how far it may be off.

Owns the one system call (adjtimex with nothing to adjust, which everybody may make). Refuses to set a clock.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass

UNSYNCHRONISED = 0x0040
"""STA_UNSYNC of <sys/timex.h>."""
TIME_ERROR = 5


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


@dataclass(frozen=True, slots=True)
class SystemClock:
    """`error_max_ns`: bound of the kernel, which grows by 0.5 ms a second while nobody disciplines the
    clock."""

    synchronised: bool
    error_max_ns: int


def system_clock() -> SystemClock | None:
    """The state of the clock now; None where the system does not say."""
    if not sys.platform.startswith("linux"):
        return None
    asked = _Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(asked))
    if state < 0:
        return None  # forbidden here, as in some containers
    synchronised = state != TIME_ERROR and not asked.status & UNSYNCHRONISED
    return SystemClock(synchronised, int(asked.maxerror) * 1_000)
