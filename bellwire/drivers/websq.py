"""Driver of Single Quantum's WebSQ, the controller of nanowire detectors (instruments.md section 5.1).

Owns the control port (JSON without request numbers, so values are matched by label and read back) and the
port of counts, which tells one line for each measurement period. Counts are taken over a connection of
their own, and from its second line, because the period of the first began before it was asked for. An
answer that comes late is told from the right one by the rule of the session alone. Refuses currents and
levels out of range before they are sent. Sources: the maker's public Python client; never checked on a
physical instrument.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.addresses import Place, place
from bellwire.drivers.faults import DeviceError, LinkTimeout, ProtocolFault
from bellwire.drivers.instrument import Backoff, Identity, InstrumentState
from bellwire.drivers.parameters import Parameter
from bellwire.drivers.session import SessionSettings, Transport
from bellwire.drivers.session_instrument import SessionInstrument
from bellwire.drivers.transports import TcpTransport
from bellwire.drivers.websq_counts import counts_of_next_period
from bellwire.drivers.websq_parameters import (
    BIAS_UA,
    CHANNELS_MAX,
    PERIOD_MS,
    TOLERANCE,
    TRIGGER_MV,
    WEBSQ_PARAMETERS,
)
from bellwire.drivers.websq_words import (
    CONTROL_PORT,
    COUNTS_ABOVE,
    END,
    Label,
    news,
    objects_of,
    parts,
    properties,
)

MODEL = "WebSQ"
READ_BACKS_MAX = 5
READ_BACK_S = 0.05
CALIBRATION_POLL_S = 0.2
CALIBRATION_S = 120.0
NO_ERROR = ("", "None", "none", "No error", False, None, 0)

DUMP: Label = {"request": "labelProps", "value": "None"}
DETECTORS, BIAS, TRIGGER = "NumberOfDetectors", "BiasCurrent", "TriggerLevel"
ENABLE, PERIOD = "DetectorEnable", "InptMeasurementPeriod"
VOLTAGE, CALIBRATING, DARK_COUNTS, FOUND_BIAS = (
    "BiasVoltage",
    "StartAutoIV",
    "DarkCountsAutoIV",
    "BiasCurrentAutoIV",
)


class WebSq(SessionInstrument):
    """WebSQ with up to 8 detectors, numbered from 1. It tells no serial number, so `serial_number` must stay
    None.
    """

    model = MODEL
    session_settings = SessionSettings(timeout_s=2.0, reply_bytes_max=1 << 20)
    parameters: ClassVar[tuple[Parameter, ...]] = WEBSQ_PARAMETERS

    def __init__(
        self,
        name: str,
        address: str,
        *,
        serial_number: str | None = None,
        settings: SessionSettings | None = None,
        backoff: Backoff | None = None,
        on_state: Callable[[InstrumentState], None] | None = None,
        probe_s: float | None = None,
        pace: float = 1.0,
    ) -> None:
        super().__init__(
            name,
            address,
            serial_number=serial_number,
            settings=settings,
            backoff=backoff,
            on_state=on_state,
            probe_s=probe_s,
            pace=pace,
        )
        self._channels: tuple[int, ...] = tuple(range(1, CHANNELS_MAX + 1))
        self._error = ""
        self._row_lock = asyncio.Lock()

    @property
    def channels(self) -> Sequence[int]:
        """The detectors, from 1; before the first connection as many as the driver can have."""
        return self._channels

    def _transport(self) -> Transport:
        found = place(self.address, CONTROL_PORT, instrument=self.name)
        return TcpTransport(self.name, found.host, found.port)

    def _take_stray(self) -> Callable[[bytes], None]:
        return self._hear

    async def _identify(self) -> Identity:
        count = await self._value(DETECTORS)
        if isinstance(count, bool) or not isinstance(count, int) or not count > 0:
            raise self._broken(f"{DETECTORS} is {count!r}, not a number of detectors")
        self._channels = tuple(range(1, min(count, CHANNELS_MAX) + 1))
        # The table of the class is for the largest system; that of this one has what is really there.
        vars(self)["parameters"] = tuple(
            one for one in type(self).parameters if one.argument is None or one.argument in self._channels
        )
        return Identity(MODEL, "", "")

    async def safe_state(self) -> None:
        """All detectors without bias, confirmed by read-back, and kept so over reconnects until
        `configure`.
        """
        if "enabled" in self._wanted:
            self._wanted["enabled"] = False
        await self.set_enabled(False)

    # -- detectors ------------------------------------------------------------------------------------------

    async def set_bias_ua(self, channel: int, bias_ua: float) -> None:
        """Bias current of one detector, 0 to 90.9 uA; it flows while the detectors are enabled."""
        self._in_range("bias current", bias_ua, BIAS_UA, "uA")
        await self._set_one("SetAllBiasCurrents", BIAS, channel, bias_ua)

    async def read_bias_ua(self, channel: int) -> float:
        """Bias current of one detector in uA, as it is set."""
        return await self._one(BIAS, channel)

    async def set_trigger_mv(self, channel: int, level_mv: float) -> None:
        """Trigger level of one detector, -500 to 500 mV."""
        self._in_range("trigger level", level_mv, TRIGGER_MV, "mV")
        await self._set_one("SetAllTriggerLevels", TRIGGER, channel, level_mv)

    async def read_trigger_mv(self, channel: int) -> float:
        """Trigger level of one detector in mV."""
        return await self._one(TRIGGER, channel)

    async def set_enabled(self, on: bool) -> None:
        """Bias of all detectors on or off; off and on again is what brings a latched one back."""
        await self._set({"command": ENABLE, "label": ENABLE, "value": on}, ENABLE, on)

    async def read_enabled(self) -> bool:
        """Whether the detectors have their bias."""
        found = await self._value(ENABLE)
        if not isinstance(found, bool):
            raise self._broken(f"{ENABLE} is {found!r}, not true or false")
        return found

    async def read_bias_voltage_mv(self, channel: int) -> float:
        """Voltage at the bias input of one detector in mV; a detector that has latched is a resistor."""
        row = self._row(VOLTAGE, await self._ask({"request": VOLTAGE}, VOLTAGE, broadcast=True))
        return row[self._index(channel)]

    async def set_period_ms(self, period_ms: int) -> None:
        """Measurement period of the counts, 10 to 60000 ms."""
        self._in_range("period", period_ms, PERIOD_MS, "ms")
        request: Label = {"command": "SetMeasurementPeriod", "label": PERIOD, "value": period_ms}
        await self._set(request, PERIOD, period_ms)

    async def read_period_ms(self) -> int:
        """Measurement period of the counts in ms."""
        found = await self._value(PERIOD)
        if isinstance(found, bool) or not isinstance(found, int | float) or not found > 0:
            raise self._broken(f"{PERIOD} is {found!r}, not a period in ms")
        return round(found)

    async def read_error(self) -> str:
        """What the controller complained of last since the connection; empty when of nothing."""
        await self._value(DETECTORS)
        return self._error

    async def calibrate_bias(
        self, dark_counts: Sequence[int], within_s: float = CALIBRATION_S
    ) -> Mapping[int, float]:
        """Let the controller search the bias at which each detector has so many dark counts in a period;
        the currents found, in uA, which it has set.

        For dark detectors only. Never repeated by the driver. Raises DeviceError, LinkTimeout after
        `within_s`.
        """
        if len(dark_counts) != len(self._channels):
            raise LocalMisuse(
                f"{len(dark_counts)} numbers of dark counts for {len(self._channels)} detectors"
            )
        wanted = list(dark_counts)
        async with self._row_lock:
            await self._set(
                {"command": DARK_COUNTS, "label": DARK_COUNTS, "value": wanted}, DARK_COUNTS, wanted
            )
            await self._send({"command": "AutoCaliBiasCurrents", "value": True})
            await self._settle(CALIBRATION_POLL_S)
            for _ in range(max(1, int(within_s / CALIBRATION_POLL_S))):
                if await self._value(CALIBRATING) is False:
                    self._complain()
                    found = self._row(FOUND_BIAS, await self._value(FOUND_BIAS))
                    biases_ua = dict(zip(self._channels, found, strict=False))
                    for channel, bias_ua in biases_ua.items():
                        if f"bias_ua.{channel}" in self._wanted:
                            self._wanted[f"bias_ua.{channel}"] = bias_ua
                    return biases_ua
                await self._settle(CALIBRATION_POLL_S)
        raise LinkTimeout(self.name, f"the search for bias currents did not end within {within_s:g} s")

    # -- counts ---------------------------------------------------------------------------------------------

    async def read_rates_hz(self) -> Mapping[int, float]:
        """Counts of one whole period that began after the call, as rates in Hz by detector.

        Takes up to two periods. Raises LinkTimeout, Disconnected, ProtocolFault.
        """
        period_ms = await self.read_period_ms()
        counts = await self._next_counts(period_ms / 1000)
        return {channel: 1000 * counts[channel - 1] / period_ms for channel in self._channels}

    async def read_rate_hz(self, channel: int) -> float:
        """Rate of one detector in Hz."""
        return (await self.read_rates_hz())[self._channels[self._index(channel)]]

    async def _next_counts(self, period_s: float) -> list[int]:
        control = place(self.address, CONTROL_PORT, instrument=self.name)
        return await counts_of_next_period(
            self.name,
            Place(control.host, control.port + COUNTS_ABOVE),
            self._settings_of_session,
            period_s=period_s,
            detectors=len(self._channels),
        )

    # -- lines ----------------------------------------------------------------------------------------------

    async def _set_one(self, command: str, label: str, channel: int, value: float) -> None:
        index = self._index(channel)
        async with self._row_lock:  # the controller takes whole rows: two callers must not undo each other
            row = self._row(label, await self._value(label))
            row[index] = float(value)
            await self._set({"command": command, "label": label, "value": row}, label, row)

    async def _set(self, request: Label, label: str, wanted: Any) -> None:
        """Send a set and read it back, a few times, because the server takes it at its own pace."""
        self._error = ""
        await self._send(request)
        found = None
        for _ in range(READ_BACKS_MAX):
            found = await self._value(label)
            self._complain()
            if _alike(wanted, found):
                return
            await self._settle(READ_BACK_S)
        raise DeviceError(self.name, f"{label} was set to {wanted} but reads {found}")

    async def _one(self, label: str, channel: int) -> float:
        index = self._index(channel)
        return self._row(label, await self._value(label))[index]

    async def _value(self, label: str) -> Any:
        return await self._ask(DUMP, label, broadcast=False)

    async def _ask(self, request: Label, label: str, *, broadcast: bool) -> Any:
        """Ask, and wait for a label: of a dump, or else told by itself."""
        told = news if broadcast else properties

        def take(octets: bytes) -> tuple[bytes, bytes] | None:
            whole, _ = parts(octets)
            end = 0
            for number, part in enumerate(whole):
                end += len(part) + len(END)
                if label in told(self._objects(part, first=number == 0)):
                    return octets[:end], octets[end:]
            return None

        reply = await self._line().exchange(json.dumps(request).encode(), take)
        self._hear(reply)
        whole, _ = parts(reply)
        return told(self._objects(whole[-1], first=len(whole) == 1))[label]

    async def _send(self, request: Label) -> None:
        await self._line().send(json.dumps(request).encode())

    def _objects(self, part: bytes, *, first: bool) -> list[Label]:
        """The objects of a part; the first may be the tail of something that was not waited for."""
        try:
            return objects_of(part)
        except ValueError as error:
            if first:
                return []
            raise ProtocolFault(self.name, f"the control port said {part[:64]!r}: {error}") from None

    def _hear(self, octets: bytes) -> None:
        """What the server tells of errors, asked or not."""
        for part in parts(octets)[0]:
            objects = self._objects(part, first=True)
            for label, value in {**properties(objects), **news(objects)}.items():
                if "Error" in label and value not in NO_ERROR:
                    self._error = f"{label}: {value}"

    def _complain(self) -> None:
        if self._error:
            raise DeviceError(self.name, f"the controller refused: {self._error}")

    def _row(self, label: str, found: Any) -> list[float]:
        if not isinstance(found, list) or len(found) < len(self._channels):
            raise self._broken(
                f"{label} is {found!r}, not a number for each of {len(self._channels)} detectors"
            )
        if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in found):
            raise self._broken(f"{label} is {found!r}, not a row of numbers")
        return [float(one) for one in found]

    def _index(self, channel: int) -> int:
        if channel not in self._channels:
            raise LocalMisuse(f"{self.name} has no detector {channel}, only 1 to {self._channels[-1]}")
        return channel - 1


def _alike(wanted: Any, found: Any) -> bool:
    """Whether a read-back is what was set: switches exactly, numbers and rows within the tolerance."""
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(_alike, wanted, found))
    if isinstance(wanted, bool) or isinstance(found, bool):
        return wanted is found
    if isinstance(wanted, int | float) and isinstance(found, int | float):
        return abs(found - wanted) <= TOLERANCE
    return False
