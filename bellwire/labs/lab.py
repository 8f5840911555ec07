"""A lab as the hosts get it: network settings, requests, faults, addresses, instruments and the hidden World.

Owns the `Lab` value and the one conversion from a checked lab file to it. Refuses files and messages about
them (load.py).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from bellwire.baselines.centre import with_centre
from bellwire.calibration.bench import LinkBench, MemoryPlace
from bellwire.core.ids import LinkId, NodeId, RequestId
from bellwire.core.photonics import HeraldPhysics
from bellwire.core.plans import EntanglementRequest
from bellwire.core.settings import LinkSettings, MemorySettings, NetworkSettings, NodeSettings, Timers
from bellwire.core.units import NS_PER_MS, NS_PER_US, ns_from_s
from bellwire.labs import models, scenarios
from bellwire.labs.architectures import believed_physics, true_physics
from bellwire.labs.banks import places_of, with_turns
from bellwire.labs.calibration import link_bench
from bellwire.labs.delays import delay_table
from bellwire.labs.equipment import (
    CompositeSettings,
    EquipmentSettings,
    composite_settings,
    equipment_settings,
)
from bellwire.labs.herald_inputs import HeraldInputs, herald_inputs
from bellwire.labs.light_bench_checks import describe
from bellwire.labs.optics import (
    link_settings,
    memory_settings,
)
from bellwire.labs.request_terms import request_of
from bellwire.labs.schedule import NetworkSchedule, scheduled
from bellwire.labs.slot_tables import check_slot_tables, period_steps_ns
from bellwire.labs.storage import lifetimes_s, memory_times_ns
from bellwire.labs.stores import with_stores
from bellwire.labs.switches import with_switches

if TYPE_CHECKING:
    from bellwire.simulator_backend.photons.description import OpticsDescription
    from bellwire.simulator_backend.world import LinkTruth, MemoryTruth


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """A node that dies `at_ns` after the start and is back `down_ns` later with a higher incarnation."""

    node: NodeId
    at_ns: int
    down_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChange:
    """A link is another one from `at_ns` on, relative to its truth at the start."""

    link: LinkId
    at_ns: int
    success_factor: float = 1.0
    noise: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Faults and changes that the virtual host plants."""

    message_loss_probability: float = 0.0
    duplicate_probability: float = 0.0
    delay_jitter_ns: int = 0
    reorder: bool = False
    crashes: tuple[Crash, ...] = ()
    link_changes: tuple[LinkChange, ...] = ()
    persist_latency_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentSettings:
    """One instrument of a node or station."""

    owner: NodeId
    role: Literal["memory", "herald", "timing"]
    driver: str
    address: str  # `pty:NAME` names an emulated serial device; the host decides where its path lies
    serial_number: str | None  # None: any instrument of the right kind is accepted
    emulated: bool
    inputs: HeraldInputs | None = None  # of a station whose tagger's clicks are matched


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """Everything that a host needs to run a lab."""

    name: str
    description: str
    path: str | None  # None: not read from a lab file
    live: bool
    seed: int
    network: NetworkSettings
    requests: tuple[EntanglementRequest, ...]
    plan_together: Literal["total", "max_min"] | None  # None: each request is planned for itself
    schedule: NetworkSchedule | None  # None: links share their time by their own schedulers
    scenario: Scenario
    addresses: dict[NodeId, str]  # bus addresses; nodes without one run in virtual time only
    listens: dict[NodeId, str]  # where agents listen that are reached by another address
    console: str | None  # where the console listens; None: the lab has none
    instruments: tuple[InstrumentSettings, ...]
    equipment: tuple[EquipmentSettings, ...]
    composites: tuple[CompositeSettings, ...]
    document: dict[str, Any]  # canonical configuration: every default written out
    digest: str  # SHA-256 of the canonical configuration
    _file: models.LabFile = field(repr=False)
    _true_physics: dict[LinkId, tuple[HeraldPhysics, ...]] = field(repr=False)

    def world(self) -> "tuple[list[LinkTruth], list[MemoryTruth]]":
        """The hidden truth from which a World draws heralds and outcomes: what the file says, but for the
        `truth` of its links."""
        # Imported late: a node agent reads a lab file and must not load the emulators.
        from bellwire.simulator_backend.world import HeraldScript, LinkTruth, MemoryTruth

        scripted = self._file.scenario.scripted_heralds
        true_physics = self._true_physics | self._lit_physics()
        links = [
            LinkTruth(
                name=name,
                nodes=link.nodes,
                period_ns=link.period_ns,
                success_probability=true_physics[name][0].success_probability,
                outcomes=true_physics[name][0].outcomes,
                lanes=link.lanes,
                click_delay_ns=link.click_delay_ns,
                points=true_physics[name] if link.points else (),
                script=None
                if scripted is None or name not in scripted.offset_attempts
                else HeraldScript(scripted.every_attempts, scripted.offset_attempts[name]),
            )
            for name, link in self.network.links.items()
        ]
        memories: list[MemoryTruth] = []
        for name, node in self._file.nodes.items():
            t1_ns, t2_ns, depolarising_time_ns = memory_times_ns(node.memory)
            settings = self.network.nodes[name].memory
            memories.append(
                MemoryTruth(
                    node=name,
                    slots=settings.slots + settings.own_slots if settings is not None else 0,
                    t1_ns=t1_ns,
                    t2_ns=t2_ns,
                    depolarising_time_ns=depolarising_time_ns,
                    bsm_success_probability=node.memory.bsm_success_probability,
                    gate_fidelity=node.memory.gate_fidelity,
                    readout_fidelity=node.memory.readout_fidelity,
                    single_gate_fidelity=node.memory.single_gate_fidelity,
                    phase_flip=node.memory.phase_flip,
                )
            )
        return links, memories

    def _lit_physics(self) -> dict[LinkId, tuple[HeraldPhysics, ...]]:
        """Of links that the optics section makes: as its components stand at the start."""
        description = self.optics()
        if description is None:
            return {}
        from bellwire.simulator_backend.photons.optical_bench import OpticalBench

        bench = OpticalBench(description.layout, self.seed)
        return {name: (bench.heralds(link, 0),) for name, link in description.links.items()}

    def optics(self) -> "OpticsDescription | None":
        """The hidden light of the lab's emulated equipment; None where the file has none."""
        return describe(self._file)

    def calibration_bench(self, link: LinkId) -> LinkBench | None:
        """What stands around a link, for procedures; None where the file says nothing."""
        section, source = self._file.links[link].calibration, self._file.links[link].source
        if section is None:
            return None
        return link_bench(
            link,
            section,
            self.equipment,
            self.composites,
            pairs_per_attempt=None if source is None else source.mean_pair_number,
            memories=self._own_memories(link),
        )

    def _own_memories(self, link: LinkId) -> Iterator[MemoryPlace]:
        """Of the nodes of a link, those with slots that no link uses."""
        for node in self.network.links[link].nodes:
            memory = self._file.nodes[node].memory
            if memory.own_slots and self.network.nodes[node].memory is not None:
                yield MemoryPlace(node, memory.own_slots, *lifetimes_s(memory))

    def request(self, request_id: RequestId) -> EntanglementRequest | None:
        """The request of that name in the lab file, or None."""
        return next((request for request in self.requests if request.request_id == request_id), None)


def build_lab(file: models.LabFile, *, path: str | None = None, live: bool = False) -> Lab:
    """A lab from a checked file. `live`: attempts start on whole seconds, with time to arm the hardware."""
    believed = {name: believed_physics(file, link) for name, link in file.links.items()}
    document = canonical_document(file)
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    addresses = {
        name: at.address for name, at in (file.nodes | file.stations).items() if at.address is not None
    }
    network = _network(file, believed, live=live)
    requests = tuple(request_of(file, request) for request in file.requests)
    schedule: NetworkSchedule | None = None
    if file.schedule is not None:
        network, requests, schedule = scheduled(file.schedule, network, requests, period_steps_ns(file))
        check_slot_tables(file, network)
    return Lab(
        name=file.lab,
        description=file.description,
        path=path,
        live=live,
        seed=file.seed,
        network=network,
        requests=requests,
        plan_together=file.plan_together,
        schedule=schedule,
        scenario=_scenario(file.scenario),
        addresses=addresses,
        listens={
            name: at.listen for name, at in (file.nodes | file.stations).items() if at.listen is not None
        },
        console=None if file.console is None else file.console.address,
        instruments=_instruments(file),
        equipment=tuple(
            one
            for name, at in (file.nodes | file.stations).items()
            for one in equipment_settings(name, at.equipment)
        ),
        composites=tuple(
            one
            for name, at in (file.nodes | file.stations).items()
            for one in composite_settings(name, at.composites)
        ),
        document=document,
        digest=hashlib.sha256(canonical).hexdigest(),
        _file=file,
        _true_physics={name: true_physics(file, link) for name, link in file.links.items()},
    )


CALIBRATIONS = "calibrations"
"""Figures of links that were measured, beside the sections of the file; see calibrated.py."""

ORDERED_SECTIONS = ("nodes", "stations", "links")
"""Sections whose order means something: slots are numbered, and peers are told, in the order of the file."""


def canonical_document(file: models.LabFile) -> dict[str, Any]:
    """The whole configuration with every default written out.

    JSON objects have no order that one may rely on, so the order of the named sections stands beside them.
    """
    document: dict[str, Any] = file.model_dump(mode="json", by_alias=True)
    document["order"] = {section: list(document[section]) for section in ORDERED_SECTIONS}
    return document


def file_of_document(document: Mapping[str, Any]) -> models.LabFile:
    """The lab file of a canonical configuration. Raises pydantic's ValidationError, KeyError or TypeError."""
    sections = {key: value for key, value in document.items() if key not in ("order", CALIBRATIONS)}
    for section in ORDERED_SECTIONS:
        sections[section] = {name: document[section][name] for name in document["order"][section]}
    return models.LabFile.model_validate_json(json.dumps(sections))


def _network(
    file: models.LabFile, physics: dict[LinkId, tuple[HeraldPhysics, ...]], *, live: bool
) -> NetworkSettings:
    places = places_of(file)
    incident: dict[NodeId, list[LinkId]] = {name: [] for name in (*file.nodes, *file.stations)}
    links: dict[LinkId, LinkSettings] = {}
    for name, link in file.links.items():
        links[name] = link_settings(
            file, name, places.slots[name], physics[name], live=live, shared=places.shared[name]
        )
        for node in link.nodes:
            incident[node].append(name)
        if link.station is not None:
            incident[link.station].append(name)
    nodes = {
        name: NodeSettings(
            name=name,
            role=node.role,
            memory=_memory(file, node, places.sizes[name]),
            links=tuple(incident[name]),
            purposes=node.purposes,
            relays=node.relays,
            region=node.region or "",
        )
        for name, node in file.nodes.items()
    }
    for name in file.stations:
        nodes[name] = NodeSettings(name=name, role="station", memory=None, links=tuple(incident[name]))
    network = NetworkSettings(
        nodes=nodes,
        links=links,
        delays_ns=delay_table(file),
        timers=_timers(file.timers),
        monitor=file.monitoring.settings(),
        correct_frames=file.correct_frames,
        ledgers=file.ledgers,
        topology=file.topology.settings(live=live),
    )
    if file.central_ledger is not None:
        service_ns = round(file.central_ledger.service_ms * NS_PER_MS)
        network = with_centre(network, file.central_ledger.node, service_ns)
    return with_stores(file, with_switches(file, with_turns(file, network)))


def _memory(file: models.LabFile, node: models.Node, slots: int) -> MemorySettings:
    return memory_settings(node.memory, slots, file.limits.operation_limit_ms)


def _timers(overrides: models.TimerOverrides) -> Timers:
    changed: dict[str, int] = {}
    for key, value in overrides.model_dump(exclude_none=True).items():
        stem, unit = key.rsplit("_", 1)
        changed[f"{stem}_ns"] = round(value * {"ms": 1e6, "s": 1e9}[unit])
    return Timers(**changed)


def _scenario(faults: scenarios.Scenario) -> Scenario:
    return Scenario(
        message_loss_probability=faults.message_loss_probability,
        duplicate_probability=faults.duplicate_probability,
        delay_jitter_ns=round(faults.delay_jitter_us * NS_PER_US),
        reorder=faults.reorder,
        crashes=tuple(
            Crash(node=crash.node, at_ns=ns_from_s(crash.at_s), down_ns=ns_from_s(crash.down_s))
            for crash in faults.crashes
        ),
        link_changes=tuple(
            LinkChange(
                link=change.link,
                at_ns=ns_from_s(change.at_s),
                success_factor=change.success_factor,
                noise=change.noise,
            )
            for change in faults.link_changes
        ),
        persist_latency_ns=round(faults.persist_latency_us * NS_PER_US),
    )


def _instruments(file: models.LabFile) -> tuple[InstrumentSettings, ...]:
    found: list[InstrumentSettings] = []

    def add(
        owner: NodeId,
        role: Literal["memory", "herald", "timing"],
        instrument: models.Instrument | None,
        inputs: HeraldInputs | None = None,
    ) -> None:
        if instrument is not None:
            number = instrument.serial_number
            found.append(
                InstrumentSettings(
                    owner=owner,
                    role=role,
                    driver=instrument.driver,
                    address=instrument.address,
                    serial_number=None if number is None else str(number),
                    emulated=instrument.emulated
                    if inputs is None
                    else file.stations[owner].equipment[inputs.tagger].emulated,
                    inputs=inputs,
                )
            )

    for name, node in file.nodes.items():
        add(name, "memory", node.instruments.memory)
    for name, station in file.stations.items():
        herald = station.instruments.herald
        served = next((link for link in file.links.values() if link.station == name), None)
        inputs = None if herald is None or served is None else herald_inputs(herald, served, file)
        add(name, "herald", herald, inputs)
        add(name, "timing", station.instruments.timing)
    return tuple(found)
