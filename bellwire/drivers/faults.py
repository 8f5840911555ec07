"""What can go wrong between a driver and its instrument, as subclasses of DeviceFault.

Owns the names: four faults of a link (timeout, disconnected, protocol, device error), the refusal of a wrong
instrument, a device that restarted under us, and the two bad ends of an operation. Refuses to decide what
happens next: that is the supervising loop of `instrument.py` or the caller.
"""

from __future__ import annotations

from bellwire.core.errors import DeviceFault


class LinkTimeout(DeviceFault):
    """No answer in time. The link is out of step (DESYNC) until it was drained or reopened and identified
    again.
    """


class Disconnected(DeviceFault):
    """The transport is gone: refused port, closed or reset connection, unplugged serial line."""


class ProtocolFault(DeviceFault):
    """The instrument sent something that its protocol does not allow (overlong line, unsolicited reply, bad
    word).
    """


class DeviceError(DeviceFault):
    """The instrument understood the request and refused it, or a read-back differs from what was set."""


class IdentityRefused(DeviceFault):
    """The instrument that answers is not the one of the configuration."""

    def __init__(self, instrument: str, what: str, expected: str, found: str) -> None:
        super().__init__(
            instrument,
            f"wrong {what}: expected {expected!r}, found {found!r}; check the cabling or the configuration",
        )
        self.expected = expected
        self.found = found


class DeviceRestarted(DeviceFault):
    """The instrument lost its state (power cycle, reset) and must be configured again."""


class OperationRefused(DeviceFault):
    """An operation ended in `failed`: the device did not carry it out.

    `reason` is the device's word for why.
    """

    def __init__(self, instrument: str, operation: str, reason: str) -> None:
        super().__init__(instrument, f"operation {operation} refused: {reason}")
        self.operation = operation
        self.reason = reason


class OperationUnknown(DeviceFault):
    """An operation ended in `unknown`: nobody can say whether it was carried out.

    Its qubits must be discarded.
    """

    def __init__(self, instrument: str, operation: str, detail: str) -> None:
        super().__init__(instrument, f"operation {operation} has an unknown end: {detail}")
        self.operation = operation
