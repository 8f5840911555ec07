"""Sources, converters and stations of several emulated instruments: orders that spare them, and what comes
back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers import load_driver
from bellwire.drivers.analyser_optics import AnalyserOptics, StationSetting
from bellwire.drivers.converter_unit import ConverterUnit
from bellwire.drivers.faults import DeviceError, LinkTimeout
from bellwire.drivers.instrument import Condition
from bellwire.drivers.pair_source import PairSource
from bellwire.simulator_backend.devices.emulators import EmulatorOrder, make_emulator
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring

PATIENCE_S = 20.0


class Table:
    """Emulated instruments on one empty table, and a supervised driver for each; `moments` is who was asked
    what.
    """

    def __init__(self, folder: Path) -> None:
        self.surroundings = Alone(rates_hz={f"rate_hz.{k}": 40.0 for k in range(1, 5)})
        self.emulators: dict[str, InstrumentEmulator] = {}
        self._folder = folder
        self._stack = AsyncExitStack()

    async def put(self, name: str, driver: str, address: str = "") -> Any:
        """An instrument and its driver, ready."""
        order = EmulatorOrder(
            name=name,
            address=address or str(self._folder / name),
            device_dir=self._folder,
            wiring=Wiring(self.surroundings),
            pace=0.0,
        )
        emulator = make_emulator(driver, order)
        await emulator.start()
        self._stack.push_async_callback(emulator.stop)
        self.emulators[name] = emulator
        place = address.replace(":0", f":{getattr(emulator.lines[0], 'port', 0)}") or str(self._folder / name)
        make: Any = load_driver(driver, where="test")
        one = make(name, place, probe_s=60.0, pace=0.0)
        task = asyncio.get_running_loop().create_task(one.supervise())
        self._stack.push_async_callback(asyncio.gather, task, return_exceptions=True)
        self._stack.callback(task.cancel)
        await one.wait_for(Condition.READY, PATIENCE_S)
        return one

    def changes(self) -> list[tuple[str, bytes]]:
        """What changed anything on the table, in the order of time."""
        logged = [
            (entry.at_ns, name, entry.request)
            for name, emulator in self.emulators.items()
            for entry in emulator.log
            if entry.changes
        ]
        return [(name, request) for _, name, request in sorted(logged)]

    async def clear(self) -> None:
        await self._stack.aclose()


@pytest.fixture
async def table(tmp_path: Path) -> AsyncIterator[Table]:
    one = Table(tmp_path)
    yield one
    await one.clear()


async def warmed(table: Table, name: str, temperature_c: float) -> None:
    """Let the crystal be there: the emulated oven takes its time, and this test is not about it."""
    model: Any = table.emulators[name].model
    model.temperature_c = temperature_c


async def test_a_source_heats_before_it_pumps_and_stops_pumping_first(table: Table) -> None:
    pump, oven = await table.put("pump", "nkt_basik"), await table.put("oven", "thorlabs_tc200")
    standings: list[str] = []
    source = PairSource("source", pump, oven, tolerance_c=0.11, look_s=0.01, on_standing=standings.append)
    assert source.pump_unit == "mW"
    await warmed(table, "oven", 40.0)
    await source.set_operating_point(12.0, 40.0)
    await source.set_emission(True)
    assert await source.read_emission()
    assert standings == ["waiting for 40 C", "settled"]
    order = [name for name, _ in table.changes()]
    assert order.index("pump") > max(index for index, name in enumerate(order) if name == "oven")
    await source.safe_state()
    last = [name for name, _ in table.changes()][len(order) :]
    assert last == ["pump", "oven"]
    assert not await pump.read_emission()
    assert not await oven.read_heating()


async def test_a_crystal_that_does_not_get_warm_never_sees_the_pump(table: Table) -> None:
    pump, oven = await table.put("pump", "nkt_basik"), await table.put("oven", "thorlabs_tc200")
    source = PairSource("source", pump, oven, look_s=0.01, within_s=0.05)
    with pytest.raises(LinkTimeout, match="wanted 90 C"):
        await source.set_operating_point(12.0, 90.0)
    assert [name for name, _ in table.changes()] == ["oven", "oven"]
    await source.safe_state()


async def test_the_heater_goes_off_although_the_pump_does_not_answer(table: Table) -> None:
    pump, oven = await table.put("pump", "nkt_basik"), await table.put("oven", "thorlabs_tc200")
    source = PairSource("source", pump, oven, tolerance_c=0.11, look_s=0.01)
    await warmed(table, "oven", 40.0)
    await source.set_operating_point(12.0, 40.0)
    await table.emulators["pump"].stop()
    with pytest.raises(Exception, match="pump"):
        await source.safe_state()
    assert not await oven.read_heating()


async def test_a_source_whose_pump_forgot_its_setting_is_no_longer_settled(table: Table) -> None:
    pump, oven = await table.put("pump", "nkt_basik"), await table.put("oven", "thorlabs_tc200")
    source = PairSource("source", pump, oven, tolerance_c=0.11, look_s=0.01)
    await warmed(table, "oven", 40.0)
    await source.set_operating_point(12.0, 40.0)
    await source.set_emission(True)
    for _ in range(200):
        if await source.is_settled():
            break
        await asyncio.sleep(0.01)
    assert await source.is_settled()
    table.emulators["pump"].set_fault(Fault.RESTART, times=1)
    assert not await source.is_settled()


async def test_a_converter_lights_its_seed_before_its_amplifier(table: Table) -> None:
    seed, amplifier = await table.put("seed", "nkt_basik"), await table.put("amplifier", "nkt_boostik")
    oven = await table.put("oven", "thorlabs_tc200")
    converter = ConverterUnit(
        "converter", seed, oven, amplifier=amplifier, seed_mw=10.0, tolerance_c=0.11, look_s=0.01
    )
    assert converter.pump_unit == "mA"
    await warmed(table, "oven", 50.0)
    await converter.set_crystal_temperature_c(50.0)
    await converter.set_emission(True)
    await converter.set_pump(800.0)
    order = [name for name, _ in table.changes()]
    assert order.index("oven") < order.index("seed") < order.index("amplifier")
    assert await amplifier.read_current_ma() == pytest.approx(800.0, abs=1.0)
    before = len(order)
    await converter.safe_state()
    assert [name for name, _ in table.changes()][before:] == ["amplifier", "seed", "oven"]


async def test_a_station_is_dark_while_its_switch_moves(table: Table) -> None:
    detectors = await table.put("detectors", "single_quantum_websq", "tcp://127.0.0.1:0")
    switch = await table.put("switch", "polatis_oxc", "tcp://127.0.0.1:0")
    delay = await table.put("delay", "oz_odl650")
    station = AnalyserOptics("station", detectors, delay=delay, switch=switch)
    await delay.home()
    await station.prepare(StationSetting(routes={1: 25, 2: 26}, delay_ps=12.0, bias_ua={1: 15.0}))
    assert await switch.read_connections() == {1: 25, 2: 26}
    assert await delay.read_delay_ps() == pytest.approx(12.0, abs=0.001)
    assert await detectors.read_enabled()
    requests = [(name, request) for name, request in table.changes() if name in ("detectors", "switch")]
    first_switch = next(index for index, (name, _) in enumerate(requests) if name == "switch")
    assert any(b"DetectorEnable" in request for name, request in requests[:first_switch])
    assert b"DetectorEnable" in requests[-1][1]
    await station.safe_state()
    assert not await detectors.read_enabled()


async def test_what_a_station_does_not_have_cannot_be_set(table: Table) -> None:
    detectors = await table.put("detectors", "single_quantum_websq", "tcp://127.0.0.1:0")
    station = AnalyserOptics("station", detectors)
    for setting in (
        StationSetting(routes={1: 25}),
        StationSetting(delay_ps=3.0),
        StationSetting(angles_deg=[{1: 10.0}]),
    ):
        with pytest.raises(LocalMisuse, match="station has"):
            await station.prepare(setting)
    with pytest.raises(LocalMisuse, match="no switch"):
        await station.check_darks([1], 100.0)
    assert table.changes() == []


async def test_a_dark_check_opens_the_fibres_again(table: Table) -> None:
    detectors = await table.put("detectors", "single_quantum_websq", "tcp://127.0.0.1:0")
    switch = await table.put("switch", "polatis_oxc", "tcp://127.0.0.1:0")
    station = AnalyserOptics("station", detectors, switch=switch)
    await station.prepare(StationSetting(routes={1: 25, 2: 26}))
    darks = await station.check_darks([1, 2, 3], 1e6)
    assert set(darks) == set(detectors.channels)
    assert await switch.read_connections() == {1: 25, 2: 26}
    with pytest.raises(DeviceError, match="darks above"):
        await station.check_darks([1, 2], -1.0)
    assert await switch.read_connections() == {1: 25, 2: 26}
