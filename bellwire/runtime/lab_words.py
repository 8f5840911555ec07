"""What the live host needs to know of a lab, as protocols that the values of `bellwire.labs` satisfy.

Owns these protocols. Refuses lab files: reading them stands a floor above.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from bellwire.core.ids import NodeId
from bellwire.core.plans import EntanglementRequest
from bellwire.core.settings import NetworkSettings


class HeraldInputs(Protocol):
    """How a station is wired to the tagger whose clicks it matches; see `labs.herald_inputs`."""

    @property
    def tagger(self) -> str: ...

    @property
    def pps_channel(self) -> int: ...

    @property
    def channels(self) -> Mapping[int, int]: ...

    @property
    def delays_ps(self) -> Mapping[int, int]: ...

    @property
    def window_ns(self) -> int | None: ...


class InstrumentEntry(Protocol):
    """One instrument of a node or station."""

    @property
    def owner(self) -> NodeId: ...

    @property
    def role(self) -> Literal["memory", "herald", "timing"]: ...

    @property
    def driver(self) -> str: ...

    @property
    def address(self) -> str:
        """`pty:NAME` is an emulated serial device of this state directory; anything else is the driver's."""
        ...

    @property
    def serial_number(self) -> str | None: ...

    @property
    def emulated(self) -> bool: ...

    @property
    def inputs(self) -> HeraldInputs | None:
        """None: the instrument is one of its own."""
        ...


class AddressedEntry(Protocol):
    """One instrument of a lab file, whatever its section."""

    @property
    def full_name(self) -> str: ...

    @property
    def driver(self) -> str: ...

    @property
    def address(self) -> str: ...

    @property
    def serial_number(self) -> str | None: ...

    @property
    def emulated(self) -> bool: ...


class EquipmentEntry(AddressedEntry, Protocol):
    """One piece of equipment of a node or station."""

    @property
    def owner(self) -> NodeId: ...

    @property
    def name(self) -> str: ...

    @property
    def vital(self) -> bool: ...

    @property
    def settings(self) -> Mapping[str, bool | int | float | str]: ...


class CompositeEntry(Protocol):
    """Several pieces of equipment of one machine that are one thing."""

    @property
    def owner(self) -> NodeId: ...

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Literal["pair_source", "frequency_converter", "bsa_station"]: ...

    @property
    def parts(self) -> Mapping[str, tuple[str, ...]]: ...

    @property
    def values(self) -> Mapping[str, float]: ...


class LabEntry(Protocol):
    """A lab as the live host sees it."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> str | None: ...

    @property
    def network(self) -> NetworkSettings: ...

    @property
    def addresses(self) -> Mapping[NodeId, str]: ...

    @property
    def listens(self) -> Mapping[NodeId, str]:
        """Where agents listen that are reached by another address, through a relay or a changed port."""
        ...

    @property
    def console(self) -> str | None:
        """Where the console listens; None: the lab has none."""
        ...

    @property
    def instruments(self) -> Sequence[InstrumentEntry]: ...

    @property
    def equipment(self) -> Sequence[EquipmentEntry]: ...

    @property
    def composites(self) -> Sequence[CompositeEntry]: ...

    @property
    def requests(self) -> Sequence[EntanglementRequest]: ...

    @property
    def plan_together(self) -> Literal["total", "max_min"] | None:
        """What is best of all plans at once; None: each request is planned for itself."""
        ...

    @property
    def document(self) -> Mapping[str, Any]: ...

    @property
    def digest(self) -> str: ...
