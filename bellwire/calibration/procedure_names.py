"""Names of the procedures, for lab files and help, which must not load what measuring takes.

`table.py` has the procedures themselves, and a test holds both together.
"""

from __future__ import annotations

from typing import Final

PROCEDURE_NAMES: Final = (
    "references",
    "detector_bias",
    "darks",
    "oven_scan",
    "dead_time",
    "clock",
    "detector_delays",
    "window",
    "detector_jitter",
    "detector_efficiency",
    "source_power",
    "photon_statistics",
    "polarisation",
    "reference_polarisation",
    "converter_scan",
    "arm_delay",
    "hom",
    "bsm_patterns",
    "herald_rate",
    "memory_lifetime",
    "link_quality",
    "bell_test",
    "tomography",
    "keep_clock",
    "keep_delay",
    "keep_polarisation",
)

LOOKS: Final = ("keep_clock", "keep_delay", "keep_polarisation")
"""Those that look after a link that is in order, see keeping.py."""
