"""How procedures reach instruments: by full name ("middle-delay"), whoever owns them and wherever they are.

Owns the interface. `bellwire.calibration.direct` implements it with drivers of its own; the live host
implements it over the bus, through the agents that own the instruments. Refuses everything that only one of
the two could do.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

from bellwire.calibration.records import InstrumentSeen
from bellwire.drivers.qubit_storage import Preparation, Stored
from bellwire.drivers.readings import Value
from bellwire.drivers.time_tags import Counts, TagBlock

OnLoss = Literal["safe", "restore"]
"""What becomes of what was written under a lease that ends without its holder."""


class Held(Protocol):
    """Instruments under one lease each; ends with the context, by time, or with the connection.

    Every method raises DeviceFault for what the instrument or its line did, and LeaseLost once a lease has
    ended for any reason: an order that arrives after that is refused by its fencing token.
    """

    async def read(self, instrument: str, parameter: str) -> Value:
        """A parameter as the instrument says it now."""
        ...

    async def write(self, instrument: str, parameter: str, value: Value) -> Value:
        """Set a parameter and return its read-back. Raises DeviceError when it disagrees."""
        ...

    async def count(self, instrument: str, window_s: float) -> Counts:
        """Singles of a time tagger over one window that begins now."""
        ...

    def tags(
        self, instrument: str, duration_s: float, channels: Sequence[int] = ()
    ) -> AsyncGenerator[TagBlock, None]:
        """Blocks of tags of a time tagger from now on until `duration_s` of its time are covered.

        `channels`: only these; empty: all. Use contextlib.aclosing.
        """
        ...

    async def store(self, node: str, state: Preparation, storage_s: float) -> Stored:
        """Have the memory of a node keep a state and measure it, in a slot that no link uses.

        Such a slot is lent for this one state, beside entanglement and without a lease; whatever becomes of
        whoever asked, it is free afterwards. Raises LocalMisuse where there is none, DeviceFault.
        """
        ...

    async def safe(self, instrument: str) -> None:
        """Bring one instrument to its safe state, confirmed by read-back."""
        ...


class Access(Protocol):
    """The instruments of a lab."""

    def hold(
        self,
        instruments: Sequence[str],
        holder: str,
        *,
        lease_s: float = 10.0,
        on_loss: OnLoss = "safe",
    ) -> AbstractAsyncContextManager[Held]:
        """Lease all of them, or none: raises LeaseRefused naming the holder. Renewed while the context lasts.

        When the context ends by an exception, instruments that a procedure has moved are brought to the state
        the procedure asked for (its own duty); when the holder vanishes, the lease runs out and each agent
        does `on_loss` by itself to the instruments that were written under it: their safe state, or the
        values that stood before.
        """
        ...

    async def seen(self, instruments: Sequence[str]) -> tuple[InstrumentSeen, ...]:
        """Who they say they are, without a lease."""
        ...
