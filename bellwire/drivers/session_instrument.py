"""Base of the drivers whose instrument is one session: open, shut, watch by probing.

Owns the joint between `Instrument` (life cycle) and `Session` (line), and the remembered configuration:
values by parameter name, asserted in the order of the driver's table after each connection, compared at
each probe, and asserted again when the instrument has forgotten them. A driver supplies transport,
identity, parameters and dialect. Waits that a device needs are multiplied by `pace`, so that tests of many
cycles need not take its time.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from bellwire.core.errors import DeviceFault, LocalMisuse
from bellwire.drivers.faults import DeviceError, DeviceRestarted, Disconnected, ProtocolFault
from bellwire.drivers.instrument import Backoff, Condition, Instrument, InstrumentState
from bellwire.drivers.parameters import Parameter
from bellwire.drivers.readings import Reading, Value
from bellwire.drivers.session import Session, SessionSettings, Transport


class SessionInstrument(Instrument):
    """One instrument at one address, see addresses.py. `probe_s`: how often it is looked at while nothing
    else happens.
    """

    session_settings: ClassVar[SessionSettings] = SessionSettings()
    probe_s: ClassVar[float] = 2.0

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
        super().__init__(name, serial_number=serial_number, backoff=backoff, on_state=on_state)
        self.address = address
        self.session: Session | None = None
        self._settings_of_session = settings or self.session_settings
        self._probe_period_s = self.probe_s if probe_s is None else probe_s
        self._pace = pace
        self._wanted: dict[str, Value] = {}

    @abstractmethod
    def _transport(self) -> Transport:
        """The transport that `address` means. Raises ConfigError."""

    def _take_stray(self) -> Callable[[bytes], None] | None:
        """What takes unsolicited bytes; None: they are a fault."""
        return None

    # -- configuration --------------------------------------------------------------------------------------

    async def configure(self, wanted: Mapping[str, Value]) -> None:
        """Remember values by parameter name, and assert them now when connected, else at the next
        connection.

        What is not named stays as it is. Raises LocalMisuse (unknown, not settable, out of range),
        DeviceError.
        """
        checked: dict[str, Value] = {}
        for name, value in wanted.items():
            parameter = self.parameter(name)
            if parameter.write is None or not parameter.repeatable:
                raise LocalMisuse(f"{name} of {self.name} is not a setting that can be asserted again")
            checked[name] = parameter.checked(value)
        async with self._configuration_lock:  # or a probe would judge the old settings by the new wishes
            self._wanted.update(checked)
            if self._is_open():
                await self._apply()

    async def write_parameter(self, name: str, value: Value, *, token: int) -> Reading | None:
        """As of `Instrument`; a value that is part of the configuration is remembered anew."""
        async with self._configuration_lock:
            reading = await super().write_parameter(name, value, token=token)
            if name in self._wanted:
                self._wanted[name] = self.parameter(name).checked(value)
        return reading

    async def _apply(self) -> None:
        for parameter in self.parameters:
            if parameter.name in self._wanted:
                await self._write(parameter, self._wanted[parameter.name])

    async def _probe(self) -> None:
        """One look: is the configuration still there? Raises DeviceRestarted, or the fault that was found.

        Drivers whose reading costs much, or that have no configuration, look at something of their own.
        """
        asked = False
        for parameter in self.parameters:
            if parameter.name in self._wanted and parameter.read is not None:
                asked = True
                wanted, found = (
                    self._wanted[parameter.name],
                    (await self.read_parameter(parameter.name)).value,
                )
                if not parameter.holds(wanted, found):
                    raise DeviceRestarted(
                        self.name, f"{parameter.name} is {found}, no longer {wanted}; asserting it again"
                    )
        if not asked:
            await self._checked_identity()

    async def _write(self, parameter: Parameter, value: Value) -> None:
        assert parameter.write is not None
        method: Callable[..., Any] = getattr(self, parameter.write)
        await (method(value) if parameter.argument is None else method(parameter.argument, value))

    # -- life -----------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        session = Session(
            self.name,
            self._transport(),
            self._settings_of_session,
            on_stray=self._take_stray(),
            on_fault=lambda fault: self._fell_out(session, fault),
        )
        try:
            await session.open()
        except BaseException:
            await session.close()
            raise
        self.session = session  # not before: whoever asks meanwhile shall hear that nothing is connected

    def _fell_out(self, session: Session, fault: DeviceFault) -> None:
        """Nobody shall take the instrument for ready until the supervising task has noticed."""
        if session is self.session and self.state.condition is Condition.READY:
            self._enter_fault(fault)

    async def _shut(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            await session.close()

    async def _watch(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._probe_period_s):
                    raise await self._line().failed()
            except TimeoutError:
                async with self._configuration_lock:
                    await self._probe()

    def _is_open(self) -> bool:
        return self.session is not None and self.session.is_open

    def _heard_at_ns(self) -> int | None:
        return self.session.heard_at_ns if self.session is not None else super()._heard_at_ns()

    def _line(self) -> Session:
        """The session. Raises Disconnected when there is none."""
        if self.session is None:
            raise Disconnected(self.name, "not connected")
        return self.session

    def _same(self, what: str, wanted: object, found: object) -> None:
        """Raises DeviceError when a read-back differs from what was set."""
        if wanted != found:
            raise DeviceError(self.name, f"{what} was set to {wanted} but reads {found}")

    def _close_to(self, what: str, wanted: float, found: float, tolerance: float) -> None:
        """Raises DeviceError when a read-back is farther than `tolerance` from what was set."""
        if not abs(found - wanted) <= tolerance:
            raise DeviceError(self.name, f"{what} was set to {wanted:g} but reads {found:g}")

    def _broken(self, detail: str) -> ProtocolFault:
        """A reply that is not what was asked for: the line is out of step from here on."""
        fault = ProtocolFault(self.name, detail)
        self._line().give_up(fault)
        return fault

    def _in_range(self, what: str, value: float, limits: tuple[float, float], unit: str) -> None:
        if not limits[0] <= value <= limits[1]:
            raise LocalMisuse(f"{what} {value:g} {unit} is outside {limits[0]:g} to {limits[1]:g} {unit}")

    async def _settle(self, seconds: float) -> None:
        """Wait as long as the device needs, by its `pace`."""
        await asyncio.sleep(seconds * self._pace)
