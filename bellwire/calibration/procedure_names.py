"""Names of the procedures, for lab files and help, which must not load what measuring takes.

`table.py` has the procedures themselves, and a test holds both together.
"""

from __future__ import annotations

from typing import Final

PROCEDURE_NAMES: Final = (
    "darks",
    "oven_scan",
    "clock",
    "detector_delays",
    "window",
    "source_power",
    "polarisation",
    "link_quality",
    "bell_test",
)
