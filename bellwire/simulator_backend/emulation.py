"""From a lab to the bench of its instruments that make pairs, all around one World.

Owns the wiring, and the World's truth log. Refuses equipment and light (lab_emulation.py) and the process
(emulation_process.py).
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.core.settings import NetworkSettings
from bellwire.simulator_backend import clusters as clusters  # loading it within the first gate would be late
from bellwire.simulator_backend.devices.bench import (
    EmulatedBench,
    NodeWiring,
    StationWiring,
    TaggedStation,
    TriggerWiring,
)
from bellwire.simulator_backend.devices.equipment_bench import EquipmentEntry
from bellwire.simulator_backend.devices.operation_durations import OperationDurations
from bellwire.simulator_backend.injected_tags import HeraldInputs
from bellwire.simulator_backend.world import LinkTruth, MemoryTruth, World
from bellwire.simulator_backend.world_fusions import GroupTruth
from bellwire.simulator_backend.world_words import PairTruth

EMULATED_DRIVERS = {
    "memory": ("memory_controller",),
    "herald": ("herald_fpga", "tagger_herald"),
    "timing": ("srs_dg645",),
}


class InstrumentEntry(Protocol):
    """One instrument of a lab file."""

    @property
    def owner(self) -> NodeId: ...

    @property
    def role(self) -> Literal["memory", "herald", "timing"]: ...

    @property
    def driver(self) -> str: ...

    @property
    def address(self) -> str: ...

    @property
    def serial_number(self) -> str | None: ...

    @property
    def emulated(self) -> bool: ...

    @property
    def inputs(self) -> HeraldInputs | None:
        """Of a station whose tagger's clicks are matched; None for an instrument of its own."""
        ...


class EmulatedLab(Protocol):
    """A lab whose instruments are played."""

    @property
    def path(self) -> str | None: ...

    @property
    def seed(self) -> int: ...

    @property
    def network(self) -> NetworkSettings: ...

    @property
    def instruments(self) -> Sequence[InstrumentEntry]: ...

    @property
    def equipment(self) -> Sequence[EquipmentEntry]: ...

    def world(self) -> tuple[list[LinkTruth], list[MemoryTruth]]:
        """The hidden truth."""
        ...


def wire(lab: EmulatedLab, device_dir: Path, log: "TruthFile | None" = None) -> EmulatedBench:
    """The bench of a lab's emulated instruments; the World is drawn from the lab's seed.

    Raises:
        ConfigError: an entry that no emulator can play.
    """
    links, memories = lab.world()
    slots = {memory.node: memory.slots for memory in memories}
    nodes: list[NodeWiring] = []
    stations: list[StationWiring] = []
    triggers: list[TriggerWiring] = []
    tagged: list[TaggedStation] = []
    for entry in lab.instruments:
        if not entry.emulated:
            continue
        if entry.driver not in EMULATED_DRIVERS[entry.role]:
            problem = f'nothing emulates "{entry.driver}" as {entry.role}'
            raise ConfigError(problem, where=f"{lab.path} ({entry.owner})")
        own_links = lab.network.nodes[entry.owner].links
        if entry.role == "memory":
            nodes.append(
                NodeWiring(
                    node=entry.owner,
                    path=_line(entry, device_dir),
                    slots=slots[entry.owner],
                    ports=dict(enumerate(own_links)),
                    serial_number=_number(entry),
                    durations=_durations(lab.network, entry.owner),
                )
            )
        elif entry.role == "herald":
            (link,) = own_links
            if entry.inputs is not None:
                nodes_of_link = lab.network.links[link].nodes
                tagged.append(TaggedStation(station=entry.owner, link=link, nodes=nodes_of_link))
                continue
            stations.append(
                StationWiring(
                    station=entry.owner,
                    link=link,
                    nodes=lab.network.links[link].nodes,
                    path=None if _is_udp(entry) else _line(entry, device_dir),
                    udp_port=_udp_port(entry) if _is_udp(entry) else None,
                    serial_number=_number(entry),
                    architecture=lab.network.links[link].architecture,
                )
            )
        else:
            triggers.append(_trigger(entry, device_dir))
    device_dir.mkdir(parents=True, exist_ok=True)
    world = World(links, memories, lab.seed)
    truth_log = None if log is None else log.put
    return EmulatedBench(
        world, stations=stations, nodes=nodes, triggers=triggers, tagged=tagged, truth_log=truth_log
    )


def _durations(network: NetworkSettings, node: NodeId) -> OperationDurations:
    # The Bell measurement is as long as the lab says and plans with; nothing is said about the rest.
    memory = network.nodes[node].memory
    return OperationDurations() if memory is None else OperationDurations(bell_ns=memory.bsm_duration_ns)


def _line(entry: InstrumentEntry, device_dir: Path) -> Path:
    if not entry.address.startswith("pty:"):
        problem = f'an emulated serial device has the address pty:NAME, not "{entry.address}"'
        raise ConfigError(problem, where=entry.owner)
    return device_dir / entry.address.removeprefix("pty:")


def _is_udp(entry: InstrumentEntry) -> bool:
    return entry.address.startswith("udp:")


def _udp_port(entry: InstrumentEntry) -> int:
    place = re.fullmatch(r"udp://127\.0\.0\.1:(\d+)", entry.address)
    if place is None:
        problem = f'an emulated station on UDP has the address udp://127.0.0.1:PORT, not "{entry.address}"'
        raise ConfigError(problem, where=entry.owner)
    return int(place[1])


def _number(entry: InstrumentEntry) -> int:
    try:
        return 1 if entry.serial_number is None else int(entry.serial_number)
    except ValueError:
        raise ConfigError(
            f'serial number "{entry.serial_number}" is not a number', where=entry.owner
        ) from None


def _trigger(entry: InstrumentEntry, device_dir: Path) -> TriggerWiring:
    return TriggerWiring(
        name=f"{entry.owner}-timing",
        address=entry.address,
        device_dir=device_dir,
        serial_number=entry.serial_number,
    )


class TruthFile:
    """The World's truth of every qubit that was released, measured or corrected, one JSON line each."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")

    def put(
        self,
        node: str,
        slot: int,
        operation: str,
        at_ns: int,
        truth: PairTruth | GroupTruth | None,
        tag: int,
    ) -> None:
        """One line; `truth` is null for what is no half of a pair, and three or more entangled qubits are a
        `group`."""
        line: dict[str, Any] = {
            "node": node,
            "slot": slot,
            "operation": operation,
            "at_ns": at_ns,
            "tag": tag,
        }
        known = truth._asdict() if isinstance(truth, PairTruth) else None
        if truth is not None and not isinstance(truth, PairTruth):
            line["group"] = {
                "ends": truth.ends,
                "ghz_fidelity": truth.ghz_fidelity(),
                "frame_zero": truth.has_frame_zero(),
            }
            apart = len(set(truth.nodes)) == len(truth.nodes)
            if tag or (apart and operation.startswith("measure")):  # delivered; what for, the reader knows
                line["group"] |= {"nodes": truth.nodes, "density": truth.density_parts()}
        self._file.write(msgspec.json.encode(line | {"truth": known}) + b"\n")

    def flush(self) -> None:
        """Hand everything to the file system."""
        self._file.flush()

    def close(self) -> None:
        """End the file."""
        self._file.close()
