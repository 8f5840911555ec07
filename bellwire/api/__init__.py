"""The Python interface of bellwire: what a physicist types in a script or a notebook.

>>> from bellwire.api import open_lab
>>> with open_lab("entangled_photons") as lab:  # doctest: +SKIP
...     lab["bob-plate"].read("angle_deg.2")
...     lab.link("alice-bob").calibrate("darks")

Owns the list of names; docs/python.md explains them. `bellwire.api.asynchronous` has the same to be awaited.
Everything is loaded when it is first used, because scripts that only count tags need no instruments, and
those that only turn knobs need no numba.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from bellwire.api.asynchronous_device import Description, DoubtfulValue
    from bellwire.api.calibrations import Calibration, Calibrations, Plot
    from bellwire.api.synchronous import Device, Devices, Lab, emulated_lab, open_lab
    from bellwire.api.synchronous_link import Link
    from bellwire.api.tag_clocks import FoundClock, find_clock
    from bellwire.api.tag_counts import (
        accidentals,
        count_coincidences,
        delay_histogram,
        fit_peak,
        g2_by_delay,
        heralded_g2,
    )
    from bellwire.api.tag_work import (
        Written,
        blocks_of,
        convert_tags,
        open_tags,
        read_tags,
        save_tags,
        tag_file,
    )
    from bellwire.calibration.bench import Knob, LinkBench
    from bellwire.calibration.procedure import Finding, Procedure, Unfit
    from bellwire.calibration.records import Check, Quantity
    from bellwire.calibration.work import Work
    from bellwire.core.errors import BellwireError, ConfigError, DeviceFault
    from bellwire.drivers.readings import Reading
    from bellwire.drivers.time_tags import Counts, TagBlock

_PLACES: Final = {
    "bellwire.api.asynchronous_device": ("Description", "DoubtfulValue"),
    "bellwire.api.calibrations": ("Calibration", "Calibrations", "Plot"),
    "bellwire.api.synchronous": ("Device", "Devices", "Lab", "emulated_lab", "open_lab"),
    "bellwire.api.synchronous_link": ("Link",),
    "bellwire.api.tag_clocks": ("FoundClock", "find_clock"),
    "bellwire.api.tag_counts": (
        "accidentals",
        "count_coincidences",
        "delay_histogram",
        "fit_peak",
        "g2_by_delay",
        "heralded_g2",
    ),
    "bellwire.api.tag_work": (
        "Written",
        "blocks_of",
        "convert_tags",
        "open_tags",
        "read_tags",
        "save_tags",
        "tag_file",
    ),
    "bellwire.calibration.bench": ("Knob", "LinkBench"),
    "bellwire.calibration.procedure": ("Finding", "Procedure", "Unfit"),
    "bellwire.calibration.records": ("Check", "Quantity"),
    "bellwire.calibration.work": ("Work",),
    "bellwire.core.errors": ("BellwireError", "ConfigError", "DeviceFault"),
    "bellwire.drivers.readings": ("Reading",),
    "bellwire.drivers.time_tags": ("Counts", "TagBlock"),
}
_PLACE_OF: Final = {name: place for place, names in _PLACES.items() for name in names}

__all__ = [
    "BellwireError",
    "Calibration",
    "Calibrations",
    "Check",
    "ConfigError",
    "Counts",
    "Description",
    "Device",
    "DeviceFault",
    "Devices",
    "DoubtfulValue",
    "Finding",
    "FoundClock",
    "Knob",
    "Lab",
    "Link",
    "LinkBench",
    "Plot",
    "Procedure",
    "Quantity",
    "Reading",
    "TagBlock",
    "Unfit",
    "Work",
    "Written",
    "accidentals",
    "blocks_of",
    "convert_tags",
    "count_coincidences",
    "delay_histogram",
    "emulated_lab",
    "find_clock",
    "fit_peak",
    "g2_by_delay",
    "heralded_g2",
    "open_lab",
    "open_tags",
    "read_tags",
    "save_tags",
    "tag_file",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
