"""The drivers that stand in line for the tests of all drivers: how each is served, and what may be set on it.

Owns one row for a driver with an emulator; a driver without a row is a failed test.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bellwire.core.errors import DeviceFault
from bellwire.drivers import load_driver
from bellwire.drivers.faults import DeviceError, Disconnected, LinkTimeout, ProtocolFault
from bellwire.drivers.framed_device import FramedSettings
from bellwire.drivers.instrument import Backoff
from bellwire.drivers.session import SessionSettings
from bellwire.simulator_backend.devices.emulators import EmulatorOrder, make_emulator
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from bellwire.testing.emulator_thread import default_address, real_address

TIMEOUT_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One driver. `setting`: a parameter to be set to each of `values` in turn; "" = nothing can be set.

    `reading`: a parameter that is always readable. `repairs`: faults that the protocol's own repetition
    mends, so that no error is seen. `deaf_to`: faults that cannot act on this protocol. `blind_to`: faults
    that the protocol gives nobody a way to notice. `unsure`: faults that are seen or mended, as time has
    it. `tells_serial`: whether the instrument tells a serial number.
    """

    driver: str
    setting: str = ""
    values: tuple[Any, ...] = ()
    reading: str
    repairs: frozenset[Fault] = frozenset()
    deaf_to: frozenset[Fault] = frozenset()
    blind_to: frozenset[Fault] = frozenset()
    unsure: frozenset[Fault] = frozenset()
    tells_serial: bool = True
    timeout_s: float = TIMEOUT_S


EXPECTED: dict[Fault, tuple[type[DeviceFault], ...]] = {
    Fault.LATE_REPLY: (LinkTimeout,),
    Fault.HALF_REPLY: (LinkTimeout, ProtocolFault),
    Fault.DOUBLE_REPLY: (ProtocolFault,),
    Fault.FIN: (Disconnected, LinkTimeout),  # a hang-up within pyvisa-py shows as a timeout at first
    Fault.RST: (Disconnected, LinkTimeout),
    Fault.SILENT: (LinkTimeout,),
    Fault.REFUSED: (Disconnected, LinkTimeout),
    Fault.LOST_FRAME: (LinkTimeout,),
    Fault.BAD_CRC: (ProtocolFault, DeviceError, LinkTimeout),
    Fault.UNSOLICITED: (ProtocolFault,),
    Fault.GARBAGE: (ProtocolFault, LinkTimeout, DeviceError),
    Fault.DROPPED_BYTE: (ProtocolFault, LinkTimeout, DeviceError),
    Fault.HANG: (LinkTimeout,),
}
"""The errors in which a fault may end, when it does."""

NO_CHECKSUM = frozenset({Fault.BAD_CRC, Fault.DROPPED_BYTE})
"""A digit that is changed or lost on the line is another number, where a protocol has no checksum."""
ZMQ = frozenset(
    {
        Fault.FIN,
        Fault.RST,
        Fault.UNSOLICITED,
        Fault.HALF_REPLY,
        Fault.DOUBLE_REPLY,
        Fault.BAD_CRC,
        Fault.DROPPED_BYTE,
    }
)
"""ZeroMQ reconnects by itself, delivers messages whole or not at all, and drops what was not asked for."""
NKTP_REPEATS = frozenset(EXPECTED) - {Fault.FIN, Fault.RST, Fault.REFUSED}
"""Frames with a checksum and the asker's alternating address: a damaged, late or foreign one costs a
repetition.
"""
SNMP_REPEATS = NKTP_REPEATS
"""Datagrams with request numbers: the same holds."""
FRAMED_REPEATS = NKTP_REPEATS - {Fault.HANG, Fault.LATE_REPLY}
"""Frames with checksum and sequence number; a repeated request is answered from the device's store."""
DISPATCHED = frozenset({Fault.DOUBLE_REPLY, Fault.UNSOLICITED})
"""Messages with a label of their own: a second one of the same says the same."""

ROWS: tuple[Row, ...] = (
    Row(
        driver="thorlabs_tc200",
        setting="temperature_set_c",
        values=(31.0, 42.5, 53.2, 64.8, 75.1),
        reading="power_max_w",
        tells_serial=False,
        blind_to=NO_CHECKSUM,
    ),
    Row(
        driver="oz_odl650",
        setting="delay_ps",
        values=(1.0, 5.5, 10.25, 3.0, 20.0),
        reading="homed",
        blind_to=NO_CHECKSUM,
    ),
    Row(
        driver="qubitekk_qes2",
        setting="temperature_setpoint",
        values=(11_000, 22_500, 33_250, 44_000, 50_000),
        reading="power_steps",
        blind_to=NO_CHECKSUM,
    ),
    Row(
        driver="qubitekk_cc1",
        setting="coincidence_window_ns",
        values=(0.0, 4.0, 8.0, 10.0, 14.0),
        reading="dwell_s",
        tells_serial=False,
        blind_to=NO_CHECKSUM,
    ),
    Row(
        driver="nkt_basik",
        setting="wavelength_offset_pm",
        values=(10.0, 25.6, 120.5, -33.3, 2.0),
        reading="power_set_mw",
        repairs=NKTP_REPEATS,
    ),
    Row(
        driver="nkt_boostik",
        setting="current_ma",
        values=(10.0, 250.0, 1200.0, 3333.0, 20.0),
        reading="current_ma",
        blind_to=NO_CHECKSUM,
    ),
    Row(
        driver="thorlabs_mpc320",
        setting="velocity_percent",
        values=(20, 40, 60, 80, 95),
        reading="home_angle_deg",
        repairs=DISPATCHED,
        blind_to=NO_CHECKSUM,
    ),
    Row(
        driver="toptica_dlc_pro",
        setting="diode_temperature_set_c",
        values=(21.0, 22.5, 24.25, 25.125, 19.5),
        reading="current_max_ma",
        blind_to=NO_CHECKSUM,
    ),
    Row(
        driver="single_quantum_websq",
        setting="trigger_mv.2",
        values=(-50.0, -75.5, -100.0, -125.0, -150.0),
        reading="trigger_mv.1",
        tells_serial=False,
        repairs=DISPATCHED,
        blind_to=NO_CHECKSUM,
    ),
    Row(
        driver="idq_id900",
        setting="threshold_mv.1",
        values=(-100.0, -200.0, 300.0, 450.0, 1000.0),
        reading="threshold_mv.2",
        deaf_to=ZMQ,
    ),
    Row(
        driver="idq_id1000",
        setting="threshold_mv.1",
        values=(-100.0, -200.0, 300.0, 450.0, 1000.0),
        reading="threshold_mv.2",
        deaf_to=ZMQ,
    ),
    Row(
        driver="white_rabbit_switch",
        reading="locked",
        repairs=SNMP_REPEATS,
        deaf_to=frozenset({Fault.FIN, Fault.RST}),  # there is no connection
    ),
    Row(
        driver="srs_dg645",
        setting="trigger_rate_hz",
        values=(100.0, 250.0, 1000.0, 3000.0, 5000.0),
        reading="amplitude_mv.AB",
        blind_to=NO_CHECKSUM,
    ),
    Row(
        driver="polatis_oxc",
        setting="egress.1",
        values=(25, 31, 40, 48, 26),
        reading="egress.2",
        blind_to=NO_CHECKSUM,
    ),
    Row(
        driver="thorlabs_pm100",
        setting="averages",
        values=(1, 20, 300, 4000, 55),
        reading="attenuation_db",
        blind_to=NO_CHECKSUM,
    ),
    Row(
        driver="thorlabs_pm100usb",
        setting="averages",
        values=(1, 20, 300, 4000, 55),
        reading="attenuation_db",
        blind_to=NO_CHECKSUM,
    ),
    Row(
        driver="thorlabs_pm400",
        setting="averages",
        values=(1, 20, 300, 4000, 55),
        reading="attenuation_db",
        blind_to=NO_CHECKSUM,
    ),
    Row(
        driver="fpga_tagger",
        setting="delay.1",
        values=(1000.0, 2000.0, -3000.0, 40000.0, 5000.0),
        reading="dead_time",
        unsure=frozenset({Fault.LATE_REPLY, Fault.HANG}),
        repairs=FRAMED_REPEATS,
    ),
    Row(
        driver="swabian_pulse_streamer",
        setting="trigger_start",
        values=("software", "rising", "falling", "both_edges", "immediate"),
        reading="clock",
        # Each call has a connection of its own: what comes too much or by itself is read by nobody; and the
        # library waits by itself, so that only the watchdog (hang_s more) ends a call.
        repairs=frozenset({Fault.DOUBLE_REPLY, Fault.UNSOLICITED}),
        unsure=frozenset({Fault.LATE_REPLY, Fault.HANG}),
        blind_to=NO_CHECKSUM,
    ),
)
LINEUP = {row.driver: row for row in ROWS}


def kind_of_line(row: Row) -> str:
    """What the cable looks like: instruments of one kind can be taken for each other."""
    from bellwire.drivers import cards

    if row.driver.startswith("idq_"):
        return "zmq"
    if row.driver == "swabian_pulse_streamer":
        return "the maker's client"  # its ports are fixed, so no other instrument is ever there
    address = cards()[row.driver].address
    return "serial" if address.startswith("/") else "udp" if address.startswith(("udp", "snmp")) else "tcp"


@dataclass(slots=True)
class Served:
    """An emulated instrument of a row."""

    row: Row
    emulator: InstrumentEmulator
    address: str

    def driver(self, **keywords: Any) -> Any:
        """A driver for it, not connected, quick to give up and to come back."""
        return self.driver_of(self.row, **keywords)

    def driver_of(self, row: Row, **keywords: Any) -> Any:
        """The driver of a row at this instrument's address."""
        make: Any = load_driver(row.driver, where="lineup")
        chosen: dict[str, Any] = {
            "settings": SessionSettings(timeout_s=row.timeout_s, hang_s=1.0),
            "framed": FramedSettings(reply_timeout_s=row.timeout_s / 3, silence_s=row.timeout_s),
            "backoff": Backoff(first_s=0.01, longest_s=0.1, refused_s=0.1),
            "probe_s": 60.0,
            "pace": 0.0,
            **keywords,
        }
        known = inspect.signature(make).parameters
        chosen = {name: value for name, value in chosen.items() if name in known}
        return make(self.emulator.name, self.address, **chosen)


@asynccontextmanager
async def served(row: Row, folder: Path, *, seed: int = 0) -> AsyncIterator[Served]:
    """The emulated instrument of a row, powered on, without delays of its own."""
    place = default_address(row.driver, folder, "instrument")
    order = EmulatorOrder(
        name="instrument",
        address=place,
        device_dir=folder,
        wiring=Wiring(Alone(seed=seed)),
        pace=0.0,
        seed=seed,
    )
    emulator = make_emulator(row.driver, order)
    await emulator.start()
    try:
        yield Served(row, emulator, real_address(place, folder, emulator))
    finally:
        await emulator.stop()
