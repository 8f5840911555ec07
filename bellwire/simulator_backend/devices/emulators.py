"""Which emulator plays which driver's instrument, and how one is made for a place in a lab.

Owns the table (by driver name) and the meaning of an emulated address. Modules are imported when an
emulator is made, so that the table costs nothing. Further emulators come by the entry point group
`bellwire.emulators`, name = driver.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.lines import Line, TcpLine, TerminalLine
from bellwire.simulator_backend.devices.message_addresses import message_line
from bellwire.simulator_backend.devices.own_clock import OwnClock
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring

ENTRY_POINTS = "bellwire.emulators"
TCP = re.compile(
    r"(?:TCPIP\d*::(?P<visa_host>127\.[\d.]+|localhost)::(?P<visa_port>\d+)::SOCKET"
    r"|(?:[a-z]+://)?(?P<host>127\.[\d.]+|localhost)(?::(?P<port>\d+))?)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorOrder:
    """What is to be emulated and where. `address` as in the lab file; `pty:NAME` lies in `device_dir`.

    `own_clock`: of an instrument whose time is not the lab's; its wiring is in that time.
    """

    name: str
    address: str
    serial_number: str | None = None
    device_dir: Path = field(default_factory=Path)
    wiring: Wiring = field(default_factory=lambda: Wiring(Alone()))
    pace: float = 1.0
    seed: int = 0
    own_clock: OwnClock | None = None

    def now_ns(self) -> int:
        """Unix time in ns, as the instrument has it."""
        return time.time_ns() if self.own_clock is None else self.own_clock.shown_ns(time.time_ns())

    def terminal(self, baud_rate: int | None = None) -> TerminalLine:
        """The serial line of this device; only hosts at `baud_rate` are understood, None: all of them.

        Raises ConfigError for an address that is none.
        """
        if self.address.startswith("pty:"):
            return TerminalLine(self.device_dir / self.address.removeprefix("pty:"), baud_rate)
        if self.address.startswith("/"):
            return TerminalLine(Path(self.address), baud_rate)
        raise ConfigError(
            f'an emulated serial device has the address pty:NAME, not "{self.address}"', where=self.name
        )

    def tcp(self, default_port: int) -> TcpLine:
        """The TCP port of this device; port 0 is a free one. Raises ConfigError for an address that is
        none.
        """
        found = TCP.fullmatch(self.address)
        if found is None:
            raise ConfigError(
                f'an emulated network device has the address tcp://127.0.0.1:PORT, not "{self.address}"',
                where=self.name,
            )
        port = found["visa_port"] or found["port"] or default_port
        return TcpLine(int(port), found["visa_host"] or found["host"])

    def stream(self, default_port: int) -> Line:
        """TCP or serial, whatever the address says."""
        if self.address.startswith(("pty:", "/")):
            return self.terminal()
        return self.tcp(default_port)

    def messages(self, default_port: int) -> Line:
        """VXI-11 or HiSLIP where the address says so, else as `stream`; for devices that take text."""
        return message_line(self.address) or self.stream(default_port)


Make = Callable[[EmulatorOrder], InstrumentEmulator]

EMULATORS: dict[str, str] = {
    "swabian_pulse_streamer": "bellwire.simulator_backend.devices.pulse_streamer_emulator:make",
    "fpga_tagger": "bellwire.simulator_backend.devices.fpga_tagger_emulator:make",
    "single_quantum_websq": "bellwire.simulator_backend.devices.websq_emulator:make",
    "idq_id900": "bellwire.simulator_backend.devices.id900_emulator:make",
    "idq_id1000": "bellwire.simulator_backend.devices.id900_emulator:make_id1000",
    "nkt_basik": "bellwire.simulator_backend.devices.basik_emulator:make",
    "nkt_boostik": "bellwire.simulator_backend.devices.boostik_emulator:make",
    "white_rabbit_switch": "bellwire.simulator_backend.devices.wr_switch_emulator:make",
    "thorlabs_mpc320": "bellwire.simulator_backend.devices.mpc320_emulator:make",
    "toptica_dlc_pro": "bellwire.simulator_backend.devices.dlc_pro_emulator:make",
    "thorlabs_pm100": "bellwire.simulator_backend.devices.pm100_emulator:make",
    "thorlabs_pm100usb": "bellwire.simulator_backend.devices.pm100_emulator:make_pm100usb",
    "thorlabs_pm400": "bellwire.simulator_backend.devices.pm100_emulator:make_pm400",
    "polatis_oxc": "bellwire.simulator_backend.devices.polatis_emulator:make",
    "srs_dg645": "bellwire.simulator_backend.devices.dg645_emulator:make",
    "oz_odl650": "bellwire.simulator_backend.devices.odl650_emulator:make",
    "qubitekk_qes2": "bellwire.simulator_backend.devices.qes2_emulator:make",
    "qubitekk_cc1": "bellwire.simulator_backend.devices.cc1_emulator:make",
    "thorlabs_tc200": "bellwire.simulator_backend.devices.tc200_emulator:make",
}
"""Driver name to "module:function"."""


def emulator_names() -> list[str]:
    """Drivers whose instrument can be emulated alone."""
    return sorted({*EMULATORS, *(point.name for point in _entry_points())})


def make_emulator(driver: str, order: EmulatorOrder) -> InstrumentEmulator:
    """The emulator of a driver's instrument, without power yet. Raises ConfigError for an unknown one."""
    for point in _entry_points():
        if point.name == driver:
            make: Make = point.load()
            return make(order)
    if driver not in EMULATORS:
        raise ConfigError(f'nothing emulates "{driver}"{nearest(driver, emulator_names())}', where=order.name)
    module, _, function = EMULATORS[driver].partition(":")
    make = getattr(importlib.import_module(module), function)
    return make(order)


def _entry_points() -> importlib.metadata.EntryPoints:
    return importlib.metadata.entry_points(group=ENTRY_POINTS)
