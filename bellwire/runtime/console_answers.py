"""Answers of agents as values and exceptions: what a procedure gets is what a driver of its own would raise.

Owns the table of faults that keep their kind over the bus. Refuses answers to other questions.
"""

from __future__ import annotations

from typing import Final, TypeVar

from bellwire.core.errors import ConfigError, DeviceFault, LocalMisuse, PeerViolation
from bellwire.core.instrument_messages import InstrumentAnswer, InstrumentFaulted, InstrumentRefused
from bellwire.drivers import faults
from bellwire.drivers.faults import LinkTimeout
from bellwire.drivers.leases import LeaseLost, LeaseRefused

FAULTS: Final[dict[str, type[DeviceFault]]] = {
    kind.__name__: kind
    for kind in (
        faults.LinkTimeout,
        faults.Disconnected,
        faults.ProtocolFault,
        faults.DeviceError,
        faults.DeviceRestarted,
    )
}
"""Others come as DeviceFault."""

A = TypeVar("A")


class NoAnswer(LinkTimeout):
    """The agent did not answer in time: nobody can say whether the order was carried out."""


def expect(answer: InstrumentAnswer, kind: type[A], instrument: str, *, acquiring: bool = False) -> A:
    """The answer, if it is of this kind.

    Raises LeaseRefused (acquiring) or LeaseLost, LocalMisuse, ConfigError for a refusal, the fault that was
    told, PeerViolation for anything else.
    """
    match answer:
        case InstrumentRefused(kind="lease"):
            raise LeaseRefused(answer.problem) if acquiring else LeaseLost(instrument, answer.problem)
        case InstrumentRefused(kind="unknown"):
            raise ConfigError(answer.problem)
        case InstrumentRefused(kind="misuse"):
            raise LocalMisuse(answer.problem)
        case InstrumentRefused():
            raise DeviceFault(instrument, answer.problem)
        case InstrumentFaulted():
            raise FAULTS.get(answer.kind, DeviceFault)(answer.instrument, answer.detail)
        case _:
            if isinstance(answer, kind):
                return answer
            raise PeerViolation(instrument, f"{type(answer).__name__} is no answer to what was asked")
