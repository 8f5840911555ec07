"""The thin base of all drivers: identity, configuration, state, and the loop that brings an instrument back.

Owns the order of things: connect (queries only) -> identity and serial number -> configuration with read-back
-> watch -> on any fault close, wait, begin again; the configuration is asserted anew each time. Refuses a
wrong instrument with a clear fault and keeps trying slowly, because somebody may correct the cabling. Knows
no transport.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from bellwire.core.errors import ConfigError, DeviceFault, LocalMisuse
from bellwire.core.registry import nearest
from bellwire.drivers.faults import DeviceRestarted, Disconnected, IdentityRefused, LinkTimeout
from bellwire.drivers.leases import Leases
from bellwire.drivers.parameters import Parameter
from bellwire.drivers.readings import Quality, Reading, Value


class Condition(StrEnum):
    """Where an instrument stands. Only READY may be used."""

    ABSENT = "absent"
    CONNECTING = "connecting"
    READY = "ready"
    DESYNC = "desync"
    LOST = "lost"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class InstrumentState:
    """A condition, why, since when, and when the instrument was last heard (monotonic ns; None = never
    heard).
    """

    instrument: str
    condition: Condition
    reason: str
    changed_at_ns: int
    heard_at_ns: int | None

    def age_ns(self, now_ns: int) -> int | None:
        """Nanoseconds since the instrument was heard, on `time.monotonic_ns`; None when never."""
        return None if self.heard_at_ns is None else now_ns - self.heard_at_ns


@dataclass(frozen=True, slots=True)
class Identity:
    """What an instrument says about itself. `firmware` is informative and never compared."""

    model: str
    serial_number: str
    firmware: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits between connection attempts: from `first_s`, doubled up to `longest_s`; `refused_s` after a
    refusal.
    """

    first_s: float = 0.05
    longest_s: float = 2.0
    refused_s: float = 2.0


class Instrument(ABC):
    """Base of all drivers. A subclass supplies the hooks `_open`, `_identify`, `_apply`, `_watch`, `_shut`.

    `serial_number` is the one that the configuration expects; None accepts any (then the configuration says
    nothing). `on_state` is called in the loop after each change of condition or reason.
    """

    model: str = ""
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    """What people may read and set (`read_parameter`, `write_parameter`)."""

    def __init__(
        self,
        name: str,
        *,
        serial_number: str | None = None,
        backoff: Backoff | None = None,
        on_state: Callable[[InstrumentState], None] | None = None,
    ) -> None:
        self.name = name
        self.identity: Identity | None = None
        self._expected_serial_number = serial_number
        self._backoff = backoff or Backoff()
        self._on_state = on_state
        self._state = InstrumentState(name, Condition.ABSENT, "never connected", time.monotonic_ns(), None)
        self._changed = asyncio.Event()
        self.leases = Leases(name, time.monotonic_ns)
        self.readings: dict[str, Reading] = {}
        # Held while a configuration is asserted or verified, so that nobody judges a half-made one.
        self._configuration_lock = asyncio.Lock()

    # -- hooks ----------------------------------------------------------------------------------------------

    @abstractmethod
    async def _open(self) -> None:
        """Open the transport. Queries only."""

    @abstractmethod
    async def _identify(self) -> Identity:
        """Ask who is there. Queries only."""

    @abstractmethod
    async def _apply(self) -> None:
        """Assert the remembered configuration, with read-back; nothing when there is none."""

    @abstractmethod
    async def _watch(self) -> None:
        """Run while the instrument is well; raise the DeviceFault that ended it."""

    @abstractmethod
    async def _shut(self) -> None:
        """Close the transport; never raises a DeviceFault."""

    @abstractmethod
    async def safe_state(self) -> None:
        """Bring the outputs to the declared safe state, confirmed by read-back."""

    @abstractmethod
    def _is_open(self) -> bool:
        """Whether the transport is open and has not failed."""

    def _heard_at_ns(self) -> int | None:
        """Monotonic ns of the last answer; None when there was none."""
        return self._state.heard_at_ns

    # -- state ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> InstrumentState:
        """The present state, with the present time of last hearing."""
        known = self._state
        return InstrumentState(
            known.instrument, known.condition, known.reason, known.changed_at_ns, self._heard_at_ns()
        )

    def _enter(self, condition: Condition, reason: str) -> None:
        if (self._state.condition, self._state.reason) == (condition, reason):
            return
        if self._state.condition is Condition.READY is not condition:
            self.readings = {name: reading.as_stale() for name, reading in self.readings.items()}
        self._state = InstrumentState(self.name, condition, reason, time.monotonic_ns(), self._heard_at_ns())
        self._changed.set()
        self._changed = asyncio.Event()
        if self._on_state is not None:
            self._on_state(self._state)

    async def wait_for(self, condition: Condition, deadline_s: float) -> InstrumentState:
        """Wait until the condition is reached. Raises LinkTimeout with the last reason after `deadline_s`."""
        try:
            async with asyncio.timeout(deadline_s):
                while not self._stands(condition):
                    await self._changed.wait()
        except TimeoutError:
            raise LinkTimeout(
                self.name,
                f"not {condition} within {deadline_s} s, but {self._state.condition}: {self._state.reason}",
            ) from None
        return self._state

    def _stands(self, condition: Condition) -> bool:
        """Whether the condition holds; a line that has just failed is not ready, whoever notices first."""
        return self._state.condition is condition and (condition is not Condition.READY or self._is_open())

    # -- parameters -----------------------------------------------------------------------------------------

    @classmethod
    def parameter(cls, name: str) -> Parameter:
        """The declared parameter. Raises LocalMisuse with the nearest name."""
        for parameter in cls.parameters:
            if parameter.name == name:
                return parameter
        names = [parameter.name for parameter in cls.parameters]
        raise LocalMisuse(f'{cls.model or cls.__name__} has no parameter "{name}"{nearest(name, names)}')

    async def read_parameter(self, name: str) -> Reading:
        """Ask the instrument for a parameter; also kept in `readings`.

        Raises LocalMisuse (unknown, or it cannot be read), Disconnected and the other faults of a link.
        """
        parameter = self.parameter(name)
        if parameter.read is None:
            raise LocalMisuse(f"{name} of {self.name} can only be set")
        self._require_ready()
        method: Callable[..., Any] = getattr(self, parameter.read)
        value: Value = await (method() if parameter.argument is None else method(parameter.argument))
        reading = Reading(name, value, parameter.unit, self._quality(name), time.monotonic_ns())
        self.readings[name] = reading
        return reading

    async def write_parameter(self, name: str, value: Value, *, token: int) -> Reading | None:
        """Set a parameter under a lease and return what the instrument then says; None when it cannot be
        read.

        Raises LeaseRefused, LocalMisuse (unknown, out of range), DeviceError (refused, or reads back else).
        """
        parameter = self.parameter(name)
        if parameter.write is None:
            raise LocalMisuse(f"{name} of {self.name} can only be read")
        checked = parameter.checked(value)
        self.leases.check(token)
        self._require_ready()
        method: Callable[..., Any] = getattr(self, parameter.write)
        await (method(checked) if parameter.argument is None else method(parameter.argument, checked))
        return None if parameter.read is None else await self.read_parameter(name)

    def _quality(self, parameter: str) -> Quality:
        """What the instrument itself thinks of a value just read; drivers with alarms say SUSPECT."""
        return Quality.GOOD

    def _require_ready(self) -> None:
        if not self._is_open():
            raise Disconnected(self.name, f"not connected ({self._state.condition}: {self._state.reason})")

    # -- life -----------------------------------------------------------------------------------------------

    async def connect(self) -> Identity:
        """Open and check identity and serial number; changes nothing in the hardware.

        Raises Disconnected, LinkTimeout, ProtocolFault, or IdentityRefused naming expected and found.
        """
        self._enter(Condition.CONNECTING, "opening")
        try:
            await self._open()
            identity = await self._checked_identity()
        except DeviceFault as fault:
            await self._shut()
            self._enter_fault(fault)
            raise
        self._enter(Condition.READY, f"{identity.model} {identity.serial_number} {identity.firmware}")
        return identity

    async def close(self) -> None:
        """Close the transport; outputs stay as they are unless a lease runs out."""
        await self._shut()
        self._enter(Condition.ABSENT, "closed")

    async def supervise(self) -> None:
        """Keep the instrument connected and configured until cancelled; every fault leads to another try.

        The state is READY only after the configuration was read back. Raises ConfigError when the instrument
        cannot represent its configuration: no other try would help.
        """
        wait_s = self._backoff.first_s
        try:
            while True:
                try:
                    await self._bring_up()
                    wait_s = self._backoff.first_s
                    await self._watch()
                except ConfigError as error:
                    self._enter(Condition.REFUSED, error.problem)
                    raise
                except DeviceFault as fault:
                    self._enter_fault(fault)
                    if isinstance(fault, DeviceRestarted):
                        wait_s = 0.0
                    elif isinstance(fault, IdentityRefused):
                        wait_s = self._backoff.refused_s
                await self._shut()
                await asyncio.sleep(wait_s)
                wait_s = min(max(2 * wait_s, self._backoff.first_s), self._backoff.longest_s)
        finally:
            await self._shut()

    async def _apply_if_open(self) -> None:
        """Assert a configuration just remembered; without a connection the next one will assert it."""
        async with self._configuration_lock:
            if self._is_open():
                await self._apply()

    async def _checked_identity(self) -> Identity:
        identity = await self._identify()
        if self.model and identity.model != self.model:
            raise IdentityRefused(self.name, "model", self.model, identity.model)
        expected = self._expected_serial_number
        if expected is not None and identity.serial_number != expected:
            raise IdentityRefused(self.name, "serial number", expected, identity.serial_number)
        self.identity = identity
        return identity

    async def _bring_up(self) -> None:
        self._enter(Condition.CONNECTING, "opening")
        await self._open()
        identity = await self._checked_identity()
        async with self._configuration_lock:
            await self._apply()
        self._enter(Condition.READY, f"{identity.model} {identity.serial_number} {identity.firmware}")

    def _enter_fault(self, fault: DeviceFault) -> None:
        if isinstance(fault, IdentityRefused):
            self._enter(Condition.REFUSED, fault.detail)
        elif isinstance(fault, LinkTimeout):
            self._enter(Condition.DESYNC, fault.detail)
        elif self.identity is None:
            self._enter(Condition.ABSENT, fault.detail)
        else:
            self._enter(Condition.LOST, fault.detail)
