"""What stands in a network file of SeQUeNCe, as typed records.

Owns the keys that bellwire reads of both dialects (`qconnections`; `qchannels` with BSM nodes) and of
component templates. Refuses their meaning (sequence_json.py). Keys that are not named here are no error: most
of them steer the simulator.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from bellwire.core.errors import ConfigError

T = TypeVar("T")

Template = Mapping[str, Any]
"""Parts of one kind of node: name of a part -> its properties."""


class SequenceNode(msgspec.Struct, frozen=True):
    """A router, or the BSM node between two of them."""

    name: str
    type: str
    memo_size: int | None = None
    template: str | None = None
    gate_fidelity: float | None = None
    measurement_fidelity: float | None = None


class QuantumConnection(msgspec.Struct, frozen=True):
    """Two routers with a BSM node half-way that the file does not list."""

    node1: str
    node2: str
    distance: float  # metres, whole way
    attenuation: float  # dB per metre
    type: str = "meet_in_the_middle"
    template: str | None = None  # of the BSM node


class QuantumChannel(msgspec.Struct, frozen=True):
    """Fibre from a router to a BSM node."""

    source: str
    destination: str
    distance: float  # metres
    attenuation: float  # dB per metre


class ClassicalConnection(msgspec.Struct, frozen=True):
    """Words in both directions."""

    node1: str
    node2: str
    delay: float | None = None  # picoseconds; None or -1: as long as light takes over the distance
    distance: float | None = None  # metres

    @property
    def ends(self) -> tuple[str, str]:
        """Who talks with whom."""
        return (self.node1, self.node2)


class ClassicalChannel(msgspec.Struct, frozen=True):
    """Words in one direction."""

    source: str
    destination: str
    delay: float | None = None
    distance: float | None = None

    @property
    def ends(self) -> tuple[str, str]:
        """Who tells whom."""
        return (self.source, self.destination)


class SequenceFile(msgspec.Struct, frozen=True):
    """The whole file."""

    nodes: list[SequenceNode]
    qconnections: list[QuantumConnection] = []
    qchannels: list[QuantumChannel] = []
    cconnections: list[ClassicalConnection] = []
    cchannels: list[ClassicalChannel] = []
    templates: dict[str, dict[str, Any]] = {}


class MemoryArray(msgspec.Struct, frozen=True):
    """Memories of a router, all alike."""

    fidelity: float | None = None  # of a fresh pair
    efficiency: float | None = None  # chance that an excited memory gives a photon
    frequency: float | None = None  # excitations per second of each memory, at most
    coherence_time: float | None = None  # seconds; 0 or less: for ever
    decoherence_errors: tuple[float, float, float] | None = None  # shares of X, Y, Z errors


class EntanglementSwapping(msgspec.Struct, frozen=True):
    """Swaps of a router."""

    swapping_success_prob: float | None = None


class Detector(msgspec.Struct, frozen=True):
    """One of the two detectors of a BSM node."""

    efficiency: float | None = None


class OpticalBsm(msgspec.Struct, frozen=True):
    """The measurement of a BSM node."""

    detectors: list[Detector] = []


def part(template: Template, key: str, kind: type[T], what: str) -> T:
    """One part of a template; the empty part where the template has none.

    Raises:
        ConfigError: a value of the wrong kind; the text names the template and the path.
    """
    try:
        return msgspec.convert(template.get(key, {}), kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{what}, {key}: {error}") from error


def unused_keys(template: Template, key: str, kind: type[msgspec.Struct]) -> Iterable[str]:
    """Keys of a part that nobody reads."""
    found = template.get(key, {})
    return sorted(set(found) - set(kind.__struct_fields__)) if isinstance(found, Mapping) else ()
