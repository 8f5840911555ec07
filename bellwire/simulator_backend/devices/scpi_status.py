"""The status registers of a SCPI instrument: byte, standard event, operation, questionable (IEEE 488.2
chapter 11).

Owns which bit is set by what and cleared by whom, and when service is requested. Refuses to know commands.
"""

from __future__ import annotations

from enum import IntFlag

from bellwire.simulator_backend.devices.scpi_errors import StandardEvent

GROUP_BITS = 0x7FFF
"""The registers of SCPI are 16 bits wide, of which the highest is never used."""


class Status(IntFlag):
    """The status byte."""

    ERROR_AVAILABLE = 4
    QUESTIONABLE = 8
    MESSAGE_AVAILABLE = 16
    STANDARD_EVENT = 32
    SERVICE = 64
    OPERATION = 128


class RegisterGroup:
    """Condition, event and enable register of OPERation or QUEStionable; a condition that rises is an
    event.
    """

    def __init__(self) -> None:
        self.condition = 0
        self._event = 0
        self._enable = 0

    def set_condition(self, bits: int, on: bool) -> None:
        """The device's condition changes."""
        before = self.condition
        self.condition = (before | bits if on else before & ~bits) & GROUP_BITS
        self._event |= self.condition & ~before

    def read_condition(self) -> int:
        """The condition register; reading changes nothing."""
        return self.condition

    def take_event(self) -> int:
        """The event register, cleared by reading."""
        event, self._event = self._event, 0
        return event

    def read_enable(self) -> int:
        """The enable register."""
        return self._enable

    def write_enable(self, bits: int) -> None:
        """Which events show in the summary."""
        self._enable = bits & GROUP_BITS

    def clear(self) -> None:
        """*CLS: forget the events."""
        self._event = 0

    def preset(self) -> None:
        """STATus:PRESet: no event shows."""
        self._enable = 0

    @property
    def summary(self) -> bool:
        """Whether an enabled event stands."""
        return bool(self._event & self._enable)


class StatusRegisters:
    """All of one instrument since it was switched on."""

    def __init__(self) -> None:
        self.operation = RegisterGroup()
        self.questionable = RegisterGroup()
        self._standard = StandardEvent.POWER_ON
        self._standard_enable = 0
        self._service_enable = 0
        self._service_told = False

    def raise_event(self, event: StandardEvent) -> None:
        """A standard event happens."""
        self._standard |= event

    def take_standard(self) -> int:
        """*ESR?: the events, cleared by reading."""
        events, self._standard = self._standard, StandardEvent(0)
        return int(events)

    def read_standard_enable(self) -> int:
        """*ESE?"""
        return self._standard_enable

    def write_standard_enable(self, bits: int) -> None:
        """*ESE"""
        self._standard_enable = bits

    def read_service_enable(self) -> int:
        """*SRE?"""
        return self._service_enable

    def write_service_enable(self, bits: int) -> None:
        """*SRE; bit 6 cannot be enabled."""
        self._service_enable = bits & ~Status.SERVICE

    def byte(self, errors: bool, message_available: bool) -> int:
        """*STB?: the status byte with the master summary in bit 6."""
        status = Status(0)
        for on, bit in (
            (errors, Status.ERROR_AVAILABLE),
            (self.questionable.summary, Status.QUESTIONABLE),
            (message_available, Status.MESSAGE_AVAILABLE),
            (self._standard & self._standard_enable, Status.STANDARD_EVENT),
            (self.operation.summary, Status.OPERATION),
        ):
            if on:
                status |= bit
        if status & self._service_enable:
            status |= Status.SERVICE
        return int(status)

    def poll(self, errors: bool, message_available: bool) -> int:
        """Serial poll: bit 6 asks for service once for each reason that comes, and is taken back by the
        poll.
        """
        status = self.byte(errors, message_available)
        if not status & Status.SERVICE:
            self._service_told = False
            return status
        told, self._service_told = self._service_told, True
        return status & ~Status.SERVICE if told else status

    def clear(self) -> None:
        """*CLS: forget all events."""
        self._standard = StandardEvent(0)
        self.operation.clear()
        self.questionable.clear()

    def preset(self) -> None:
        """STATus:PRESet."""
        self.operation.preset()
        self.questionable.preset()
