"""Driver of the NKT Photonics Koheras BASIK seed laser, the pump of a converter (instruments.md 6.1).

Owns the register map of module types 33h and 36h, which agree in what is used here, and the repetition of
lost requests. Every order is the writing of a value into a register, never a toggle, so a repetition that
the laser carries out twice leaves it as once: therefore both reading and writing may be tried three times.
Each try comes from another host address, and a module answers to the address that asked: an answer to an
earlier try is passed over. Refuses to switch emission on again after an interlock: somebody must ask for it
anew. Sources: the public drivers of QMI and MSL-Equipment, and bits and error codes of a public BASIK driver.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import ClassVar

from bellwire.drivers.addresses import stream
from bellwire.drivers.faults import DeviceError, LinkTimeout
from bellwire.drivers.instrument import Identity
from bellwire.drivers.nktp_words import HOSTS, BadTelegram, Kind, Telegram, next_frame
from bellwire.drivers.parameters import Parameter
from bellwire.drivers.readings import Quality
from bellwire.drivers.session import SessionSettings, Take, Transport
from bellwire.drivers.session_instrument import SessionInstrument

BAUD_RATE = 115_200
MODULE = 1
"""Address of the laser on its bus, as delivered."""
MODULE_TYPES = {0x33: "K1x2", 0x36: "K0x2"}
TRIES = 3
BUSY_S = 0.05

OUTPUT_POWER, TEMPERATURE, POWER_SETPOINT, WAVELENGTH_OFFSET, EMISSION = 0x17, 0x1C, 0x22, 0x2A, 0x30
MODULE_TYPE, FIRMWARE, SERIAL_NUMBER, STATUS, ERROR = 0x61, 0x64, 0x65, 0x66, 0x67

POWER_STEP_MW, OFFSET_STEP_PM, TEMPERATURE_STEP_C = 0.01, 0.1, 0.1
POWER_MW = (0.0, 0xFFFF * POWER_STEP_MW)
OFFSET_PM = (-0x8000 * OFFSET_STEP_PM, 0x7FFF * OFFSET_STEP_PM)
EMITTING, INTERLOCK_OFF, ERROR_PRESENT = 1 << 0, 1 << 1, 1 << 15
NO_ERROR, INTERLOCK = 0, 2
ERRORS = {
    NO_ERROR: "none",
    INTERLOCK: "interlock open",
    3: "supply voltage low",
    7: "module temperature out of range",
    8: "module disabled",
}


class Basik(SessionInstrument):
    """NKT Koheras BASIK on its serial line. `repeated_requests`: tries that went unanswered or were damaged;
    `passed_over`: telegrams and frames that answered nothing that was asked.
    """

    model = "BASIK"
    session_settings: ClassVar[SessionSettings] = SessionSettings(timeout_s=1.0)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="power_set_mw",
            meaning="set optical power",
            unit="mW",
            read="read_power_set_mw",
            write="set_power_mw",
            low=POWER_MW[0],
            high=POWER_MW[1],
            emits=True,
            tolerance=POWER_STEP_MW / 2 + 1e-9,
        ),
        Parameter(
            name="wavelength_offset_pm",
            meaning="set distance from the standard wavelength",
            unit="pm",
            read="read_wavelength_offset_pm",
            write="set_wavelength_offset_pm",
            low=OFFSET_PM[0],
            high=OFFSET_PM[1],
            tolerance=OFFSET_STEP_PM / 2 + 1e-9,
        ),
        Parameter(
            name="emission",
            meaning="light out",
            kind="switch",
            read="read_emission",
            write="set_emission",
            emits=True,
        ),
        Parameter(name="power_mw", meaning="measured optical power", unit="mW", read="read_power_mw"),
        Parameter(
            name="module_temperature_c",
            meaning="temperature of the module",
            unit="C",
            read="read_module_temperature_c",
        ),
        Parameter(name="error", meaning="what the laser complains of", kind="text", read="read_error"),
    )

    repeated_requests = 0
    passed_over = 0
    _host = 0
    _error_code = NO_ERROR

    def _transport(self) -> Transport:
        return stream(self.name, self.address, baud_rate=BAUD_RATE, flow_control=True)

    async def _identify(self) -> Identity:
        kind = (await self._read_register(MODULE_TYPE))[:1]
        name = MODULE_TYPES.get(kind[0]) if kind else None
        serial_number = (await self._read_register(SERIAL_NUMBER)).rstrip(b"\0 ").decode("ascii", "replace")
        version = await self._firmware()
        if name is None:
            return Identity(f"module type {kind.hex() or 'unknown'}h", serial_number, version)
        return Identity(self.model, serial_number, f"{version} ({name})")

    async def _firmware(self) -> str:
        """The firmware's number; some modules do not tell it."""
        reply = await self._ask(Kind.READ, FIRMWARE, b"")
        if reply.kind is not Kind.DATAGRAM or len(reply.data) < 2:
            return "unknown"
        return f"{reply.data[1]}.{reply.data[0]:02d}"

    async def safe_state(self) -> None:
        """Emission off, confirmed by read-back, and kept so over reconnects until `configure`."""
        async with self._configuration_lock:  # or a probe would find light where none is wished any more
            if "emission" in self._wanted:
                self._wanted["emission"] = False
            await self.set_emission(False)

    async def _probe(self) -> None:
        """As of the base; an interlock that opened leaves emission off until it is asked for anew."""
        await self.read_error()
        if self._error_code == INTERLOCK and self._wanted.get("emission") is True:
            self._wanted["emission"] = False
            raise DeviceError(
                self.name, "the interlock opened and emission went off: close it, then ask for emission again"
            )
        await super()._probe()

    def _quality(self, parameter: str) -> Quality:
        return Quality.GOOD if self._error_code == NO_ERROR else Quality.SUSPECT

    # -- pump -----------------------------------------------------------------------------------------------

    async def set_emission(self, on: bool) -> None:
        """Light on or off. Raises DeviceError with the laser's complaint when it refuses."""
        try:
            await self._write_register(EMISSION, bytes([on]))
            self._same("emission", on, await self.read_emission())
        except DeviceError:
            if on and self._error_code == INTERLOCK and "emission" in self._wanted:
                self._wanted["emission"] = False
            raise

    async def read_emission(self) -> bool:
        """Whether light is asked for and the interlock lets it out."""
        asked = self._number("<B", EMISSION, await self._read_register(EMISSION))
        status = self._number("<H", STATUS, await self._read_register(STATUS))
        return bool(asked) and not status & INTERLOCK_OFF

    async def set_power_mw(self, power_mw: float) -> None:
        """Set the optical power in steps of 0.01 mW. Raises DeviceError above what the module can."""
        self._in_range("power", power_mw, POWER_MW, "mW")
        await self._write_register(POWER_SETPOINT, struct.pack("<H", round(power_mw / POWER_STEP_MW)))
        self._close_to("set power", power_mw, await self.read_power_set_mw(), POWER_STEP_MW / 2 + 1e-9)

    async def read_power_set_mw(self) -> float:
        """Set optical power in mW."""
        return POWER_STEP_MW * self._number("<H", POWER_SETPOINT, await self._read_register(POWER_SETPOINT))

    async def read_power_mw(self) -> float:
        """Measured optical power in mW; 0 without emission."""
        return POWER_STEP_MW * self._number("<H", OUTPUT_POWER, await self._read_register(OUTPUT_POWER))

    async def set_wavelength_offset_pm(self, offset_pm: float) -> None:
        """Set the distance from the standard wavelength in steps of 0.1 pm."""
        self._in_range("wavelength offset", offset_pm, OFFSET_PM, "pm")
        await self._write_register(WAVELENGTH_OFFSET, struct.pack("<h", round(offset_pm / OFFSET_STEP_PM)))
        found_pm = await self.read_wavelength_offset_pm()
        self._close_to("wavelength offset", offset_pm, found_pm, OFFSET_STEP_PM / 2 + 1e-9)

    async def read_wavelength_offset_pm(self) -> float:
        """Set distance from the standard wavelength in pm."""
        octets = await self._read_register(WAVELENGTH_OFFSET)
        return OFFSET_STEP_PM * self._number("<h", WAVELENGTH_OFFSET, octets)

    async def read_module_temperature_c(self) -> float:
        """Temperature of the module in C."""
        return TEMPERATURE_STEP_C * self._number("<h", TEMPERATURE, await self._read_register(TEMPERATURE))

    async def read_error(self) -> str:
        """The laser's error, in words."""
        self._error_code = self._number("<B", ERROR, (await self._read_register(ERROR))[:1])
        return ERRORS.get(self._error_code, f"error {self._error_code}")

    # -- registers ------------------------------------------------------------------------------------------

    async def _read_register(self, register: int) -> bytes:
        reply = await self._ask(Kind.READ, register, b"")
        if reply.kind is not Kind.DATAGRAM:
            raise DeviceError(self.name, f"register {register:02X}h cannot be read: {reply.kind.name}")
        return reply.data

    async def _write_register(self, register: int, value: bytes) -> None:
        reply = await self._ask(Kind.WRITE, register, value)
        if reply.kind is Kind.NACK:
            error = await self.read_error()
            raise DeviceError(
                self.name, f"register {register:02X}h refuses {value.hex(' ')}; error of the laser: {error}"
            )
        if reply.kind is not Kind.ACK:
            raise self._broken(f"writing register {register:02X}h was answered with {reply.kind.name}")

    async def _ask(self, kind: Kind, register: int, value: bytes) -> Telegram:
        """Ask up to three times, each from another host address. Raises LinkTimeout after the last."""
        why = "no answer"
        for _ in range(TRIES):
            host = HOSTS[self._host]
            self._host = (self._host + 1) % len(HOSTS)
            frame = Telegram(MODULE, host, kind, register, value).encoded()
            octets = await self._line().try_exchange(frame, self._answer_to(host, register))
            if octets is not None:
                reply = Telegram.decoded(octets)
                if reply.kind not in (Kind.BUSY, Kind.CRC_ERROR):
                    return reply
                why = reply.kind.name
                if reply.kind is Kind.BUSY:
                    await self._settle(BUSY_S)
            self.repeated_requests += 1
        fault = LinkTimeout(self.name, f"register {register:02X}h: {why}, {TRIES} times")
        self._line().give_up(fault)
        raise fault

    def _answer_to(self, host: int, register: int) -> Take:
        """Takes the frame that answers this host about this register, and passes over all others."""

        def take(octets: bytes) -> tuple[bytes, bytes] | None:
            rest = octets
            while (found := next_frame(rest)) is not None:
                frame, rest = found
                try:
                    reply = Telegram.decoded(frame)
                except BadTelegram:
                    continue
                if (reply.destination, reply.source, reply.register) == (host, MODULE, register):
                    return frame, rest
            return None

        return take

    def _take_stray(self) -> Callable[[bytes], None]:
        """Answers that came too late, and noise: passed over, because each try has its own address."""

        def stray(octets: bytes) -> None:
            self.passed_over += 1

        return stray

    def _number(self, layout: str, register: int, octets: bytes) -> int:
        try:
            (value,) = struct.unpack(layout, octets)
        except struct.error:
            raise self._broken(f"register {register:02X}h holds {octets.hex(' ')!r}") from None
        return int(value)
