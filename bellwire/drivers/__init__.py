"""Instrument drivers: bytes at the bottom, typed methods and events at the top.

Owns everything that knows a make of instrument. Refuses protocol knowledge (requests, pairs, plans) and
emulators: a driver cannot tell what it talks to. The table below is the registry; a driver that is not in it
does not exist for configuration files.
"""

from __future__ import annotations

from bellwire.drivers.dg645 import Dg645
from bellwire.drivers.herald_fpga import HeraldFpga
from bellwire.drivers.instrument import Instrument
from bellwire.drivers.memory_controller import MemoryController

DRIVERS: dict[str, type[Instrument]] = {
    "srs_dg645": Dg645,
    "herald_fpga": HeraldFpga,
    "memory_controller": MemoryController,
}
"""Driver class by the name used in configuration files."""

DESCRIPTIONS: dict[str, str] = {
    "srs_dg645": "Stanford Research Systems DG645 delay generator; TCP 5025; emulated only so far",
    "herald_fpga": "bellwire heralding FPGA of a station; serial, framed; emulated only, no gateware yet",
    "memory_controller": "bellwire quantum-memory controller of a node; serial, framed; emulated only",
}
"""One line for each driver, as `bellwire drivers` prints it."""
