"""All emulated instruments of a lab in one event loop, around one World.

Owns the wiring of devices to paths and links, and the planned clicks until they happen. Refuses to be a
shortcut: drivers reach the devices by their serial lines and sockets only; what is offered here beside them
is power, faults, and links that drift.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bellwire.core.errors import LocalMisuse
from bellwire.core.photonics import HeraldOutcome, HeraldPhysics
from bellwire.core.settings import Architecture
from bellwire.simulator_backend.devices.emulators import EmulatorOrder, make_emulator
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.framed_emulator import FramedEmulator
from bellwire.simulator_backend.devices.herald_clock import HeraldHardware
from bellwire.simulator_backend.devices.herald_core import HeraldCore
from bellwire.simulator_backend.devices.herald_fired import FIRED
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.memory_core import MemoryCore
from bellwire.simulator_backend.devices.operation_durations import OperationDurations
from bellwire.simulator_backend.devices.world_port import TruthLog, WorldPort
from bellwire.simulator_backend.world_words import Click, PlannedClick


@dataclass(frozen=True, slots=True, kw_only=True)
class StationWiring:
    """A heralding FPGA: one station, one link. `nodes` are side 0 and side 1 of the link in the World.

    `path`: where the serial line appears; `udp_port`: instead of it, a port of 127.0.0.1 (0: any free one).
    `etherbone_port`: the registers on Etherbone beside it; None = not.
    `identity`: another ID register, to emulate a wrong device; None is right.
    `architecture`: of the link, which says what a success fires at the device.
    """

    station: str
    link: str
    nodes: tuple[str, str]
    path: Path | None = None
    udp_port: int | None = None
    etherbone_port: int | None = None
    serial_number: int = 1
    identity: int | None = None
    hardware: HeraldHardware | None = None
    architecture: Architecture = "double_click"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedStation:
    """A station without an FPGA: its clicks go to the inputs of a tagger (injected_tags.py). `nodes` as in
    StationWiring.
    """

    station: str
    link: str
    nodes: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeWiring:
    """A memory controller. `ports`: the World's link at each port number of the node."""

    node: str
    path: Path
    slots: int
    ports: Mapping[int, str]
    serial_number: int = 1
    durations: OperationDurations | None = None
    identity: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerWiring:
    """A DG645 delay generator at an address of 127.0.0.1 (port 0: any free one, see its line) or at
    `pty:NAME` of `device_dir`.
    """

    name: str
    address: str = "TCPIP::127.0.0.1::0::SOCKET"
    device_dir: Path = Path()
    serial_number: str | None = None


class EmulatedBench:
    """Emulators by the names of their stations, nodes and triggers. An asynchronous context manager."""

    def __init__(
        self,
        world: WorldPort,
        *,
        stations: Iterable[StationWiring] = (),
        nodes: Iterable[NodeWiring] = (),
        triggers: Iterable[TriggerWiring] = (),
        tagged: Iterable[TaggedStation] = (),
        truth_log: TruthLog | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._world = world
        self._clock = clock
        self._now_ns = clock()
        self._truth_log = truth_log
        self._planned: dict[tuple[str, int], PlannedClick] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._realising = False
        self.stations: dict[str, FramedEmulator[HeraldCore]] = {}
        self.nodes: dict[str, FramedEmulator[MemoryCore]] = {}
        self.triggers: dict[str, InstrumentEmulator] = {}
        self.on_plan: Callable[[PlannedClick, int], None] = lambda planned, now_ns: None
        self.on_tagged_click: Callable[[Click], None] = lambda click: None
        """A success of a link whose station is tagged; the light of its attempts comes as planned."""
        self._tagged_of_link = {station.link: station for station in tagged}
        self._station_of_link: dict[str, StationWiring] = {}
        for station in stations:
            if station.link in self._station_of_link:
                raise LocalMisuse(f"link {station.link} has two stations")
            if station.architecture not in FIRED:
                raise LocalMisuse(
                    f"nothing is known of the hardware of {station.link}: {station.architecture}"
                )
            self._station_of_link[station.link] = station
            self._claim(station.station)
            self.stations[station.station] = self._station(station)
        for node in nodes:
            self._claim(node.node)
            self.nodes[node.node] = self._node(node)
        for trigger in triggers:
            self._claim(trigger.name)
            order = EmulatorOrder(
                name=trigger.name,
                address=trigger.address,
                device_dir=trigger.device_dir,
                serial_number=trigger.serial_number,
            )
            self.triggers[trigger.name] = make_emulator("srs_dg645", order)

    def _claim(self, name: str) -> None:
        if name in self.stations or name in self.nodes or name in self.triggers:
            raise LocalMisuse(f"two emulated devices are called {name}")

    def _station(self, wiring: StationWiring) -> FramedEmulator[HeraldCore]:
        def make_core(boot_count: int, now_ns: int) -> HeraldCore:
            core = HeraldCore(
                serial_number=wiring.serial_number,
                boot_count=boot_count,
                boot_ns=now_ns,
                identity=wiring.identity,
                hardware=wiring.hardware,
                fired=FIRED[wiring.architecture],
            )
            core.expected_clicks = lambda: self._expected(wiring.link)
            return core

        place = wiring.path if wiring.udp_port is None else wiring.udp_port
        if place is None:
            raise LocalMisuse(f"{wiring.station} has neither a path nor a UDP port")
        return FramedEmulator(place, make_core, lambda core: None, self.now, wiring.etherbone_port)

    def _node(self, wiring: NodeWiring) -> FramedEmulator[MemoryCore]:
        def make_core(boot_count: int, now_ns: int) -> MemoryCore:
            core = MemoryCore(
                node=wiring.node,
                world=self._world,
                ports=wiring.ports,
                slots=wiring.slots,
                serial_number=wiring.serial_number,
                boot_count=boot_count,
                boot_ns=now_ns,
                schedule=self._schedule,
                planned=self._plan,
                truth_log=self._truth_log,
                durations=wiring.durations,
                identity=wiring.identity,
            )
            core.changed = lambda: self._pump_node(wiring.node)
            return core

        def power_lost(core: MemoryCore) -> None:
            core.alive = False
            self._world.lose_node(wiring.node, self.now())

        return FramedEmulator(wiring.path, make_core, power_lost, self.now)

    # -- power and faults -----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        for name in (*self.stations, *self.nodes, *self.triggers):
            await self.start(name)
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in (*self.stations, *self.nodes, *self.triggers):
            await self.stop(name)
        if self._timer is not None:
            self._timer.cancel()

    async def start(self, name: str) -> None:
        """Power a device on."""
        device = self._device(name)
        if isinstance(device, InstrumentEmulator):
            await device.start()
        else:
            device.start()

    async def stop(self, name: str) -> None:
        """Power a device off: transport closed, configuration and volatile state gone."""
        device = self._device(name)
        if isinstance(device, InstrumentEmulator):
            await device.stop()
        else:
            device.stop()

    async def power_cycle(self, name: str, off_s: float) -> None:
        """Off, wait `off_s`, on again."""
        await self.stop(name)
        await asyncio.sleep(off_s)
        await self.start(name)

    def set_fault(
        self,
        name: str,
        fault: Fault | str,
        *,
        rate: float = 1.0,
        delay_s: float = 0.0,
        times: int | None = None,
    ) -> None:
        """Switch a named fault of a device on (see `faults.Fault`)."""
        self._device(name).set_fault(Fault(fault), rate=rate, delay_s=delay_s, times=times)

    def clear_fault(self, name: str, fault: Fault | str | None = None) -> None:
        """Switch one fault of a device, or all, off."""
        self._device(name).clear_fault(None if fault is None else Fault(fault))

    def change_link(
        self,
        link: str,
        *,
        success_probability: float | None = None,
        outcomes: tuple[HeraldOutcome, ...] | None = None,
        points: tuple[HeraldPhysics, ...] | None = None,
    ) -> None:
        """The hidden truth of a link changes now (`World.change_link`); no device can tell."""
        now_ns = self.now()
        for planned in self._world.change_link(
            link, now_ns, success_probability=success_probability, outcomes=outcomes, points=points
        ):
            self._plan(planned)

    def _device(
        self, name: str
    ) -> FramedEmulator[HeraldCore] | FramedEmulator[MemoryCore] | InstrumentEmulator:
        for devices in (self.stations, self.nodes, self.triggers):
            if name in devices:
                return devices[name]
        raise LocalMisuse(f"no emulated device is called {name!r}")

    # -- time and clicks ------------------------------------------------------------------------------------

    def now(self) -> int:
        """The time in ns, never backwards; every click that is due has happened when this returns."""
        self._now_ns = max(self._now_ns, self._clock())
        self._realise_due()
        return self._now_ns

    def _expected(self, link: str) -> list[tuple[int, int]]:
        return [(planned.at_ns, lane) for (name, lane), planned in self._planned.items() if name == link]

    def _plan(self, planned: PlannedClick) -> None:
        # A lane has one plan at a time: a newer one overtakes the older in the World as well.
        self._planned[planned.link, planned.lane] = planned
        self.on_plan(planned, self._now_ns)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._planned and not self._realising:
            at_ns = min(planned.at_ns for planned in self._planned.values())
            delay_s = max(0, at_ns - self._clock()) / 1e9
            # Called again in time when the clock of the loop and the clock of the lab disagree.
            self._timer = asyncio.get_running_loop().call_later(min(delay_s, 1.0), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.now()
        self._set_timer()

    def _realise_due(self) -> None:
        if self._realising:
            return
        self._realising = True
        try:
            while due := [planned for planned in self._planned.values() if planned.at_ns <= self._now_ns]:
                self._realise(min(due, key=lambda planned: planned.at_ns))
        finally:
            self._realising = False

    def _realise(self, planned: PlannedClick) -> None:
        del self._planned[planned.link, planned.lane]
        click = self._world.realise(planned, self._now_ns)
        wiring = self._station_of_link.get(planned.link) or self._tagged_of_link.get(planned.link)
        if click is None or wiring is None:
            return
        outcome = 0
        if isinstance(wiring, TaggedStation):
            # Nothing decides here; the memories notice the click as they would notice the herald pin.
            outcome = click.code
            self.on_tagged_click(click)
        else:
            station = self.stations[wiring.station]
            if station.core is not None and station.endpoint is not None:
                outcome = station.core.click(click.at_ns, click.lane, click.code, self._now_ns)
                station.endpoint.pump()
        for side, node in enumerate(wiring.nodes):
            memory = self.nodes.get(node)
            if memory is None or memory.core is None or not click.held[side]:
                continue
            if outcome:
                memory.core.herald(click, click.slots[side], self._now_ns)
            else:
                memory.core.no_herald(click.slots[side], self._now_ns)

    def _schedule(self, at_ns: int, callback: Callable[[int], None]) -> None:
        delay_s = max(0, at_ns - self._clock()) / 1e9
        asyncio.get_running_loop().call_later(delay_s, lambda: callback(max(at_ns, self.now())))

    def _pump_node(self, node: str) -> None:
        endpoint = self.nodes[node].endpoint
        if endpoint is not None:
            endpoint.pump()
