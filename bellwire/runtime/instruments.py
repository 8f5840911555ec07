"""From the instrument entries of a lab to running drivers with their configuration, for one node or station.

Owns the settings that a network implies for its instruments, and the life of the driver tasks. Refuses a fall
back to emulation: an entry is opened where the file says, and a missing instrument is shown as missing.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bellwire.core.errors import ConfigError, DeviceFault
from bellwire.core.events import Event
from bellwire.core.ids import NodeId
from bellwire.core.settings import LinkSettings, NetworkSettings
from bellwire.core.units import NS_PER_S
from bellwire.drivers import load_driver
from bellwire.drivers.dg645 import Dg645, TriggerSource
from bellwire.drivers.herald_fpga import HeraldFpga
from bellwire.drivers.herald_settings import WINDOW_NS, settings_for_travel
from bellwire.drivers.instrument import Condition, Instrument, InstrumentState
from bellwire.drivers.memory_controller import MemoryController, MemorySettings
from bellwire.drivers.readings import Value
from bellwire.drivers.tagger_herald import StreamingTagger, TaggerHerald, TaggerInputs
from bellwire.runtime.agent import DeviceOrders, NoDevices
from bellwire.runtime.bindings import MemoryBindings, StationBindings
from bellwire.runtime.calibration_watch import CalibrationWatch, StandingReader
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.device_watch import DeviceWatch
from bellwire.runtime.equipment import AppliedSettings, NodeEquipment, device_path
from bellwire.runtime.health import Health
from bellwire.runtime.lab_words import CompositeEntry, EquipmentEntry, HeraldInputs, InstrumentEntry
from bellwire.runtime.slot_frames import attempt_numbers, with_slots
from bellwire.runtime.switch_bindings import SwitchBindings

SAFE_STATE_S = 1.0
"""An instrument that does not confirm its safe state within this has its own dead-man lease."""


class NodeInstruments:
    """The instruments of one node, started; `orders` carries out the machine's device orders."""

    def __init__(
        self,
        network: NetworkSettings,
        node: NodeId,
        entries: tuple[InstrumentEntry, ...],
        device_dir: Path,
        feed: Callable[[Event], None],
        clock: LiveClock,
        health: Health,
        *,
        equipment: Sequence[EquipmentEntry] = (),
        composites: Sequence[CompositeEntry] = (),
        applied: AppliedSettings | None = None,
        standing: StandingReader | None = None,
        incarnation: int = 1,
    ) -> None:
        """standing: of the calibrations without which a station's link may not be used; None: there are
        none."""
        self._incarnation = incarnation
        self.orders: DeviceOrders = NoDevices(health)
        self.watches: dict[str, DeviceWatch] = {}
        self._network = network
        self._node = node
        self._feed = feed
        self._clock = clock
        self._health = health
        self._bindings: list[MemoryBindings | StationBindings] = []
        self._instruments: list[Instrument] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._analyser: HeraldFpga | TaggerHerald | None = None
        self._herald_window_ns = WINDOW_NS
        self.equipment = NodeEquipment(equipment, device_dir, health, self._on_vital, composites, applied)
        self._calibrations = (
            None
            if standing is None
            else CalibrationWatch(f"{node}-calibration", standing, self._on_vital, health)
        )
        for entry in entries:
            self._add(entry, device_dir)
        self._switches: SwitchBindings | None = None
        if any(switch.owner == node for switch in network.switches.values()):
            drivers = self.equipment.drivers
            self._switches = SwitchBindings(network, node, drivers, self.orders, feed, clock, health)
            self.orders = self._switches

    @property
    def ready(self) -> bool:
        """Every configured instrument is ready."""
        calibrated = self._calibrations is None or self._calibrations.ready
        return calibrated and all(watch.ready for watch in self.watches.values()) and self.equipment.ready

    def states(self) -> dict[str, dict[str, str]]:
        """Condition and reason of each instrument, for people."""
        told = {
            one.name: {"condition": one.state.condition.value, "reason": one.state.reason}
            for one in self._instruments
        } | self.equipment.states()
        return told if self._calibrations is None else told | self._calibrations.states()

    def ages_s(self, now_ns: int) -> dict[str, float]:
        """Seconds since each instrument was heard, at `now_ns` (monotonic); without those never heard."""
        drivers = (*self._instruments, *self.equipment.drivers.values())
        ages = {one.name: one.state.age_ns(now_ns) for one in drivers}
        return {name: age_ns / 1e9 for name, age_ns in ages.items() if age_ns is not None}

    async def start(self) -> None:
        """Begin to bring the instruments up; failures are retried by the drivers for ever."""
        if self._calibrations is not None:
            self._calibrations.start()
        for instrument in self._instruments:
            self._tasks.append(asyncio.get_running_loop().create_task(self._run(instrument)))
        await self.equipment.start()

    async def stop(self) -> None:
        """Bring outputs to their safe state where they answer, and close."""
        if self._calibrations is not None:
            await self._calibrations.stop()
        if self._switches is not None:
            await self._switches.close()
        for bindings in self._bindings:
            await bindings.close()
        await self.equipment.stop()
        for instrument in self._instruments:
            try:
                async with asyncio.timeout(SAFE_STATE_S):
                    await instrument.safe_state()
            except (DeviceFault, TimeoutError) as fault:
                self._health.count("safe_state_not_confirmed", instrument=instrument.name, problem=str(fault))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, instrument: Instrument) -> None:
        try:
            await self._remember_settings(instrument)
            await instrument.supervise()
        except ConfigError as problem:
            self._health.tell("instrument_misconfigured", instrument=instrument.name, problem=str(problem))

    async def _remember_settings(self, instrument: Instrument) -> None:
        # `configure` remembers before it speaks; the device is absent yet, and `supervise` asserts it later.
        try:
            match instrument:
                case MemoryController():
                    await instrument.configure(self._memory_settings())
                case HeraldFpga() | TaggerHerald():
                    link = self._link()
                    settings = settings_for_travel(
                        link.period_ns,
                        link.lanes,
                        link.click_delay_ns,
                        architecture=link.architecture,
                        window_ns=self._herald_window_ns,
                    )
                    if isinstance(instrument, HeraldFpga):
                        settings = with_slots(settings, link)
                    await instrument.configure(settings)
                case Dg645():
                    await instrument.configure(_trigger_settings(self._link()))
                case _:
                    raise ConfigError(f"no settings are known for {type(instrument).__name__}")
        except DeviceFault:
            return

    def _add(self, entry: InstrumentEntry, device_dir: Path) -> None:
        load_driver(entry.driver, where=self._node)
        name = f"{entry.owner}-{entry.role}"
        expected = entry.serial_number
        if entry.role == "memory":
            watch = DeviceWatch("memory", self._feed, self._health)
            path = device_path(entry.address, device_dir)
            memory = MemoryController(name, path, serial_number=expected, on_state=watch.on_state)
            memory_bindings = MemoryBindings(
                self._network,
                self._node,
                memory,
                watch,
                self._feed,
                self._clock,
                self._health,
                incarnation=self._incarnation,
            )
            self._keep(entry.role, memory, watch)
            self._bindings.append(memory_bindings)
            self.orders = memory_bindings
        elif entry.role == "herald":
            watch = DeviceWatch("station", self._feed, self._health)
            analyser: HeraldFpga | TaggerHerald
            if entry.inputs is None:
                path = device_path(entry.address, device_dir)
                analyser = HeraldFpga(name, path, serial_number=expected, on_state=self._on_analyser)
            else:
                analyser = self._tagger_herald(name, entry.inputs, expected)
            self._analyser = analyser
            numbers = attempt_numbers(self._link()) if isinstance(analyser, HeraldFpga) else None
            station_bindings = StationBindings(
                self._link(), analyser, watch, self._feed, self._health, numbers
            )
            self._keep(entry.role, analyser, watch)
            self._bindings.append(station_bindings)
            self.orders = station_bindings
        else:
            watch = DeviceWatch("timing", self._feed, self._health)
            if expected is not None:
                expected = expected.removeprefix("s/n")  # as the maker prints it in the answer to *IDN?
            path = device_path(entry.address, device_dir)
            trigger = Dg645(name, path, serial_number=expected, on_state=watch.on_state)
            self._keep(entry.role, trigger, watch)

    def _tagger_herald(self, name: str, inputs: HeraldInputs, serial_number: str | None) -> TaggerHerald:
        tagger = self.equipment.driver(inputs.tagger)
        if not isinstance(tagger, StreamingTagger):
            raise ConfigError(f"{tagger.name} is no time tagger", where=name)
        self._herald_window_ns = inputs.window_ns or WINDOW_NS
        wired = TaggerInputs(
            pps_channel=inputs.pps_channel,
            channels=dict(inputs.channels),
            delays_ps=dict(inputs.delays_ps),
        )
        return TaggerHerald(name, tagger, wired, serial_number=serial_number, on_state=self._on_analyser)

    def _on_analyser(self, state: InstrumentState) -> None:
        """Heralds count only while everything vital around the analyser is ready and calibrated, too."""
        ready, reason = self.equipment.vital
        if ready and self._calibrations is not None:
            ready, reason = self._calibrations.vital
        if state.condition is Condition.READY and not ready:
            state = replace(state, condition=Condition.LOST, reason=reason)
        self.watches["herald"].on_state(state)

    def _on_vital(self, _ready: bool, _reason: str) -> None:
        if self._analyser is not None:
            self._on_analyser(self._analyser.state)

    def _keep(self, role: str, instrument: Instrument, watch: DeviceWatch) -> None:
        self.watches[role] = watch
        self._instruments.append(instrument)

    def _memory_settings(self) -> MemorySettings:
        links = self._network.nodes[self._node].links
        return MemorySettings(
            port_periods_ns={port: self._network.links[link].period_ns for port, link in enumerate(links)}
        )

    def _link(self) -> LinkSettings:
        links = self._network.nodes[self._node].links
        if len(links) != 1:
            raise ConfigError(f"a station serves exactly one link, {self._node} has {len(links)}")
        return self._network.links[links[0]]


def _trigger_settings(link: LinkSettings) -> dict[str, Value]:
    return {
        "burst": False,
        "trigger_rate_hz": NS_PER_S / link.period_ns,
        "trigger_source": TriggerSource.INTERNAL,
    }
